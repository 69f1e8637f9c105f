import io

import msgspec
from rich.console import Console

from bridge.model.observations import Level, ObservationKind
from bridge.model.views import TraceView
from bridge.terminal import tree
from bridge.terminal.traces import trace_lines, trace_tree
from tests.unit.terminal.samples import FACTS, a_full_trace, a_summary, a_trace, an_observation

OUTPUT = ("Done. " * 40)[:99] + "…"
HEAD = (
    f"trace  {'a' * 32}  session 97d2fd7f-1111-4222-8333-444455556666  "
    "2026-11-22 00:19:44  alex  department:engineering  team:platform"
)


def drawn(view: TraceView, *, show_debug: bool = False, **console: object) -> str:
    recorder = Console(file=io.StringIO(), record=True, width=240, **console)  # type: ignore[arg-type]
    recorder.print(trace_tree(view, show_debug=show_debug))
    return recorder.export_text(styles=bool(console))


def names(nodes: tuple[tree.Node, ...]) -> list[object]:
    """Ids as nested lists: ``["a", ["below a"]]``."""
    found: list[object] = []
    for node in nodes:
        found += [node.observation.id, *([names(node.children)] if node.children else [])]
    return found


def test_a_piped_trace_is_indented_lines_with_every_figure() -> None:
    assert trace_lines(a_full_trace()) == [
        HEAD,
        "  agent       claude-code  1 m 05 s",
        "    input       Fix the add function",
        f"    output      {OUTPUT}",
        "    generation  claude-opus-5-5  3.0 s  11→117 tok (1,010 cached)  $0.003086",
        "    tool        Bash  500 ms  ERROR  exit 3 no such file",
        "    agent       general-purpose  2.0 s",
        "      tool        Read [notes]  500 ms",
        "    event       compaction",
        "  1 hidden (debug), --all shows them",
        "  total  1 generation  3 tools  1 error  1 m 05 s  11→117 tok (1,010 cached)  $0.003086",
    ]


def test_all_shows_debug_observations_too() -> None:
    lines = trace_lines(a_full_trace(), show_debug=True)
    assert "    tool        hook  500 ms  DEBUG" in lines
    assert not [line for line in lines if "hidden" in line]


def test_the_drawn_tree_says_the_same_with_guides() -> None:
    assert [line.rstrip() for line in drawn(a_full_trace()).splitlines()] == [
        HEAD,
        "├── agent       claude-code  1 m 05 s",
        "│   ├── input       Fix the add function",
        f"│   ├── output      {OUTPUT}",
        "│   ├── generation  claude-opus-5-5  3.0 s  11→117 tok (1,010 cached)  $0.003086",
        "│   ├── tool        Bash  500 ms  ERROR  exit 3 no such file",
        "│   ├── agent       general-purpose  2.0 s",
        "│   │   └── tool        Read [notes]  500 ms",
        "│   └── event       compaction",
        "├── 1 hidden (debug), --all shows them",
        "└── total  1 generation  3 tools  1 error  1 m 05 s  11→117 tok (1,010 cached)  $0.003086",
    ]


def test_a_summary_shows_its_card_and_its_counters_and_no_sum_of_its_own() -> None:
    _, *lines = trace_lines(a_summary(lines_added=1_203, commits=1))
    assert lines == [
        "  span        claude-code session  1 m 05 s",
        "    input       Fix the add function",
        "    output      1 min 5 s · 7 s active",
        "                1 prompt · 1 request",
        f"                +3 lines {'x' * 90}…",
        "    event       lines_added  1,203",
        "    event       commits  1",
        "    span        active_time_s  1 h 56 m",
    ]


def test_a_drawn_card_hangs_together() -> None:
    _, *lines = (line.rstrip() for line in drawn(a_summary(commits=1)).splitlines())
    assert lines == [
        "└── span        claude-code session  1 m 05 s",
        "    ├── input       Fix the add function",
        "    ├── output      1 min 5 s · 7 s active",
        "    │               1 prompt · 1 request",
        f"    │               +3 lines {'x' * 90}…",
        "    ├── event       commits  1",
        "    └── span        active_time_s  1 h 56 m",
    ]


def test_levels_and_kinds_have_colours_of_their_own() -> None:
    coloured = drawn(a_full_trace(), color_system="standard", force_terminal=True)
    assert "\x1b[1;31mERROR\x1b[0m" in coloured
    assert "\x1b[1;36mgeneration\x1b[0m" in coloured
    assert "\x1b[1;32mtool      \x1b[0m" in coloured


def test_what_a_live_turn_has_so_far_hangs_below_the_trace_and_says_why() -> None:
    lines = trace_lines(a_trace(an_observation("bash"), live=True))
    assert lines[0] == f"{HEAD}  live"
    assert lines[1] == "  tool        Bash  500 ms  (parent still open)"


def test_a_parent_that_is_no_longer_kept_is_marked() -> None:
    assert trace_lines(a_trace(an_observation("bash")))[1].endswith("(parent not kept)")


def test_a_user_whom_a_tag_names_is_not_named_twice() -> None:
    facts = msgspec.structs.replace(FACTS, user_id="Alex", tags=("member:alex", "team:platform"))
    (heading, *_) = trace_lines(a_trace(an_observation("root", parent_id=None, trace=facts)))
    assert heading.endswith("00:19:44  member:alex  team:platform")


def test_a_trace_without_observations_has_its_lines_all_the_same() -> None:
    assert trace_lines(a_trace(live=True)) == [
        f"trace  {'a' * 32}  session 97d2fd7f-1111-4222-8333-444455556666  live",
        "  total  0 generations  0 tools  0 errors  0 ms  0→0 tok  $0.00",
    ]


def test_siblings_are_ordered_by_start_then_id() -> None:
    view = a_trace(
        an_observation("c", after_ms=5),
        an_observation("b", after_ms=5),
        an_observation("root", parent_id=None),
        an_observation("d", after_ms=1),
    )
    assert names(tree.arrange(view).roots) == ["root", ["d", "b", "c"]]


def test_what_hangs_below_a_hidden_observation_moves_up() -> None:
    view = a_trace(
        an_observation("root", parent_id=None, kind=ObservationKind.AGENT),
        an_observation("hook", level=Level.DEBUG),
        an_observation("inner", parent_id="hook", level=Level.DEBUG),
        an_observation("bash", parent_id="inner"),
    )
    arrangement = tree.arrange(view)
    assert names(arrangement.roots) == ["root", ["bash"]]
    assert arrangement.hidden == 2
    assert names(tree.arrange(view, show_debug=True).roots) == [
        "root",
        ["hook", ["inner", ["bash"]]],
    ]


def test_orphans_of_different_parents_are_ordered_together() -> None:
    view = a_trace(
        an_observation("late", parent_id="gone", after_ms=9),
        an_observation("early", parent_id="lost", after_ms=1),
        an_observation("below", parent_id="late", after_ms=10),
    )
    assert names(tree.arrange(view).adopted) == ["early", "late", ["below"]]
