"""What ``doctor`` found, as a table, as lines, and as plain data."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bridge.model.findings import Finding, State
from bridge.terminal import formats

STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red"}


def findings_table(findings: Sequence[Finding]) -> Table:
    """A row for each; the remedy stands below what was found."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for each in findings:
        text = Text(formats.line(each.text))
        if each.remedy:
            text.append(f"\n→ {formats.line(each.remedy)}", style="bold")
        table.add_row(Text(each.state, style=STYLES[each.state]), Text(each.name), text)
    return table


def findings_lines(findings: Sequence[Finding]) -> list[str]:
    """A line for each: state, name, text and remedy with tabs between them."""
    return ["\t".join(filter(None, map(formats.line, _cells(each)))) for each in findings]


def findings_record(findings: Sequence[Finding]) -> list[dict[str, str | None]]:
    """Each as plain data; ``remedy`` is null where all is well."""
    return [
        {"name": f.name, "state": f.state, "text": f.text, "remedy": f.remedy or None}
        for f in findings
    ]


def _cells(finding: Finding) -> tuple[str, ...]:
    return finding.state, finding.name, finding.text, finding.remedy
