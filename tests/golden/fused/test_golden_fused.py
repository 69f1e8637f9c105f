"""Every capture with spans gives exactly the observations that were reviewed and kept."""

from collections.abc import Iterator

import pytest

from tests.golden.fused.document import FOLDER, golden_path, golden_text
from tests.golden.fused.signals import FUSED, assemble_fused
from tests.golden.fused.trees import TREES
from tests.golden.kept import differences
from tests.pipeline import Assembly, Seen, by_trace

SHOWN_CHARS = 32


@pytest.mark.parametrize("capture", FUSED)
def test_a_capture_with_spans_gives_the_observations_that_were_reviewed(capture: str) -> None:
    diff = differences(golden_path(capture), golden_text(capture))

    assert not diff, "\n".join(
        [f"{capture} (python -m tests.golden.fused.refresh if right):", *diff]
    )


def test_there_is_a_golden_file_for_every_capture_with_spans_and_no_other() -> None:
    kept = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json")}

    assert kept == set(FUSED)
    assert {capture.split("/")[0] for capture in FUSED} == {
        "2.0.76", "2.1.45", "2.1.126", "2.1.207", "2.1.330",
    }  # fmt: skip


@pytest.mark.parametrize("capture", TREES)
def test_a_capture_with_spans_becomes_the_tree_checked_by_hand(capture: str) -> None:
    made = "\n".join(_forest(assemble_fused(capture)))

    assert made == TREES[capture].strip()


def _forest(assembly: Assembly) -> Iterator[str]:
    for spans in by_trace(assembly.of_prompts).values():
        shown = [span for span in spans if span.level != "DEBUG"]
        (root,) = [span for span in shown if span.parent_id is None]
        yield from _lines(root, shown, root.start_ms, 0)


def _lines(span: Seen, spans: list[Seen], origin_ms: int, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{_line(span, origin_ms)}".rstrip()
    children = (child for child in spans if child.parent_id == span.id)
    for child in sorted(children, key=lambda s: (s.start_ms, s.end_ms)):
        yield from _lines(child, spans, origin_ms, depth + 1)


def _line(span: Seen, origin_ms: int) -> str:
    """Kind, name, start after the root's, duration; what only spans tell; level; output."""
    told = {
        "waited": span.metadata.get("waited_ms"),
        "attempts": span.metadata.get("attempts"),
        "stop": span.metadata.get("stop_reason"),
        "closed_by": span.metadata.get("closed_by"),
    }
    facts = [f"{key}={value}" for key, value in told.items() if value is not None]
    level = [] if span.level == "DEFAULT" else [span.level]
    output = (span.output or "").replace("\n", "|")[:SHOWN_CHARS]
    times = f"{span.start_ms - origin_ms:+d}..{span.end_ms - origin_ms:+d}"
    head = " ".join([span.type, span.name, times, *facts, *level])
    return f"{head} -> {output}" if output and span.type != "generation" else head
