import io

from rich.console import Console

from bridge.model.provisioned import Link, Provisioned, Step, TileOutcome
from bridge.terminal.provisioned import record, remarks, steps_lines, steps_table

STEPS = (
    Step(dashboard="Claude Code", tile=None, outcome=TileOutcome.UPDATED),
    Step(dashboard="Claude Code", tile="Cost", outcome=TileOutcome.CREATED),
    Step(dashboard="Claude Code", tile="Age\t", outcome=TileOutcome.SKIPPED, note="deleted"),
)
LINK = Link(name="Claude Code", url="http://langfuse.test/1")


def a_run(*, dry_run: bool = False, writes: int = 2) -> Provisioned:
    return Provisioned(dry_run=dry_run, writes=writes, steps=STEPS, links=(LINK,))


def test_piped_there_is_a_line_for_each_dashboard_and_tile() -> None:
    assert steps_lines(a_run()) == [
        "dashboard\ttile\toutcome\tnote",
        "Claude Code\t-\tupdated\t",
        "Claude Code\tCost\tcreated\t",
        "Claude Code\tAge\tskipped\tdeleted",
    ]


def test_a_dry_run_says_what_would_be_and_not_what_stays() -> None:
    outcomes = [line.split("\t")[2] for line in steps_lines(a_run(dry_run=True))[1:]]
    assert outcomes == ["would be updated", "would be created", "skipped"]


def test_a_terminal_gets_the_same_rows_in_columns() -> None:
    console = Console(file=io.StringIO(), record=True, width=100)
    console.print(steps_table(a_run()))
    drawn = console.export_text().splitlines()
    assert [line.split() for line in drawn][2] == ["Claude", "Code", "Cost", "created"]


def test_remarks_count_tiles_and_changes_and_end_with_links() -> None:
    link = "Claude Code: http://langfuse.test/1"
    assert list(remarks(a_run())) == ["tiles: 1 created, 1 skipped; 2 changes written", link]
    (told, _) = remarks(a_run(dry_run=True))
    assert told.endswith("; 2 changes would be written, none was")
    (told, _) = remarks(a_run(writes=0))
    assert told.endswith("; nothing to write")


def test_machines_get_all_of_it() -> None:
    told = record(a_run(dry_run=True))
    assert told["dry_run"] is True
    assert told["links"] == ({"name": LINK.name, "url": LINK.url},)
    assert {"tile": "Cost", "outcome": "created"}.items() <= told["steps"][1].items()
