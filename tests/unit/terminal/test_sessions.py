import io

import pytest
from rich.console import Console

from bridge.terminal.sessions import COLUMNS, left_out, sessions_lines, sessions_table
from tests.unit.terminal.samples import a_session

OTHER = a_session(
    session_id="tab\there",
    user_id=None,
    models=(),
    live=1,
    errors=2,
    tools=1_200,
    tokens={},
    active_ms=65_000,
    lines_added=1_203,
    lines_removed=0,
    commits=0,
    pull_requests=2,
)


def drawn(width: int) -> str:
    console = Console(file=io.StringIO(), record=True, width=width)
    console.print(sessions_table([a_session(), OTHER], width=width))
    return console.export_text()


def test_piped_sessions_are_whole_values_between_tabs() -> None:
    header, first, second = (line.split("\t") for line in sessions_lines([a_session(), OTHER]))
    assert header == list(COLUMNS)
    assert first == [
        "2026-11-22 00:19:44",
        "alex",
        "97d2fd7f-1111-4222-8333-444455556666",
        "claude-opus-5-5",
        "2",
        "2 m 05 s",
        "$0.003086",
        "4",
        "11→117 tok (1,010 cached)",
        "0",
        "-",
        "-",
        "-",
        "-",
    ]
    assert second[1:5] == ["-", "tab here", "-", "2 (1 live)"]
    assert second[7:] == ["1,200", "0→0 tok", "2", "1 m 05 s", "+1,203 \N{MINUS SIGN}0", "0", "2"]


def test_lines_of_one_kind_alone_are_shown_with_none_of_the_other() -> None:
    _, line = sessions_lines([a_session(lines_removed=2)])
    assert line.split("\t")[-3] == "+0 \N{MINUS SIGN}2"


def test_the_header_is_there_when_nothing_else_is() -> None:
    assert sessions_lines([]) == [
        (
            "start\tuser\tsession\tmodel\tprompts\tduration\tcost\ttools\ttokens\terrors"
            "\tactive\tlines\tcommits\tprs"
        )
    ]


def test_the_table_shows_ids_that_show_understands() -> None:
    header, first, second = drawn(200).splitlines()
    assert header.split() == list(COLUMNS)
    assert first.split()[:5] == ["2026-11-22", "00:19:44", "alex", "97d2fd7f", "claude-opus-5-5"]
    assert second.split()[-12:-8] == ["1,200", "0→0", "tok", "2"]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (200, list(COLUMNS)),
        (120, [name for name in COLUMNS if name not in {"prs", "commits", "lines", "active"}]),
        (80, ["start", "user", "session", "prompts", "cost", "tokens", "errors"]),
        (60, ["start", "user", "session", "prompts", "cost"]),
        (45, ["start", "session", "cost"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_folds_none(width: int, columns: list[str]) -> None:
    header, *rows = drawn(width).splitlines()

    assert header.split() == columns
    assert len(rows) == 2
    table = sessions_table([a_session(), OTHER], width=width)
    assert left_out(table) == [name for name in COLUMNS if name not in columns]
