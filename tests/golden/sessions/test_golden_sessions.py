"""Captures tell of their sessions exactly what was reviewed and kept.

Cards and scores in the tables below were checked one by one against sums over the raw files.
"""

import pytest

from tests.golden.kept import differences
from tests.golden.sessions.document import CAPTURES, FOLDER, golden_path, golden_text
from tests.measurements import Sessions, all_requests, assembled, counted

CARDS = {
    "1.0.60/g-interactive": """
        18 s · 16 s active
        4 prompts · 12 requests · 1 tool call · 2 rejected tools
        $0.011256
        claude-3-5-haiku-20241022: $0.003786, 226 in, 104 out, 14,860 cached, 2,000 cache written
        claude-sonnet-4-20250514: $0.00747, 170 in, 150 out, 10,700 cached, 400 cache written
        +3 &minus;0 lines""",
    "2.0.76/g-interactive": """
        17 s · 13 s active
        4 prompts · 14 requests · 1 tool call · 2 rejected tools
        $0.010187
        claude-haiku-4-5-20251001: $0.002264, 137 in, 104 out, 8,570 cached, 600 cache written
        claude-sonnet-4-5-20250929: $0.007923, 108 in, 152 out, 6,480 cached, 900 cache written
        +3 &minus;0 lines""",
    "2.1.330/a-json-cumulative": """
        0.4 s · 0.5 s active
        1 prompt · 6 requests · 6 tool calls · 2 tool errors
        $0.011826
        claude-opus-5-5: $0.011826, 81 in, 363 out, 6,210 cached, 600 cache written
        +6 &minus;1 lines""",
    "2.1.330/a-json-includes": """
        0.8 s · 1.0 s active
        1 prompt · 1 request
        $0.000946
        claude-opus-5-5: $0.000946, 11 in, 10 out, 1,010 cached, 100 cache written""",
    "2.1.330/e-subagent": """
        0.8 s · 0.8 s active
        1 prompt · 6 requests · 4 tool calls
        $0.008946
        claude-opus-5-5: $0.008946, 81 in, 219 out, 6,210 cached, 600 cache written""",
    "2.1.330/f-resume": """
        2.2 s · 1.0 s active
        3 prompts · 4 requests · 1 tool call
        $0.00424
        claude-opus-5-5: $0.00424, 50 in, 61 out, 4,100 cached, 400 cache written""",
    "2.1.330/g-interactive": """
        19 s · 17 s active
        5 prompts · 6 requests · 2 tool calls · 1 rejected tool
        $0.007626
        claude-opus-5-5: $0.007626, 81 in, 153 out, 6,210 cached, 600 cache written
        +3 &minus;0 lines""",
    "2.1.330/h-commit": """
        0.4 s · 0.5 s active
        1 prompt · 4 requests · 3 tool calls
        $0.0058
        claude-opus-5-5: $0.0058, 50 in, 139 out, 4,100 cached, 400 cache written
        +3 &minus;0 lines · 1 commit · 1 pull request""",
    "2.1.330/x-503-ra": """
        10 s · 11 s active
        1 prompt · 4 requests · 3 tool calls
        $0.00524
        claude-opus-5-5: $0.00524, 50 in, 111 out, 4,100 cached, 400 cache written""",
}
"""The minus sign is written out, for it looks like a hyphen."""

SCORES = {
    "1.0.60/g-interactive": {"active_s": 15.853, "added": 3, "removed": 0, "tool_errors": 0},
    "2.0.76/g-interactive": {"active_s": 13.102, "added": 3, "removed": 0, "tool_errors": 0},
    "2.1.330/a-json-cumulative": {
        "active_s": 0.499,
        "added": 6,
        "removed": 1,
        "tool_errors": 2,
    },
    "2.1.330/a-json-includes": {},
    "2.1.330/e-subagent": {"active_s": 0.781, "tool_errors": 0},
    "2.1.330/f-resume": {"active_s": 0.952, "tool_errors": 0},
    "2.1.330/g-interactive": {"active_s": 17.313, "added": 3, "removed": 0, "tool_errors": 0},
    "2.1.330/h-commit": {
        "active_s": 0.499,
        "added": 3,
        "removed": 0,
        "commits": 1,
        "prs": 1,
        "tool_errors": 0,
    },
    "2.1.330/x-503-ra": {"active_s": 10.592, "tool_errors": 0},
}

_MADE: dict[str, Sessions] = {}


def made(capture: str) -> Sessions:
    """What comes of a capture."""
    if capture not in _MADE:
        _MADE[capture] = assembled(all_requests(capture))
    return _MADE[capture]


@pytest.mark.parametrize("capture", CARDS)
def test_a_summary_has_the_card_that_was_checked_with_the_raw_files(capture: str) -> None:
    lines = [line.strip() for line in CARDS[capture].strip().splitlines()]
    expected = [line.replace("&minus;", "\N{MINUS SIGN}") for line in lines]
    root, *_ = made(capture).summary

    assert (root.output or "").splitlines() == expected


@pytest.mark.parametrize("capture", SCORES)
def test_a_session_has_the_scores_that_were_checked_with_the_raw_files(capture: str) -> None:
    assert made(capture).told == SCORES[capture]


def test_a_session_that_ran_under_two_ids_has_a_summary_of_each() -> None:
    """Until 2.0.76 a continued session asks its first auxiliary requests under the new id."""
    prompted, unprompted = made("2.0.76/f-resume").summaries

    assert counted(prompted) == {"prompts": 3, "tool_calls": 1}
    assert counted(unprompted) == {}
    assert unprompted[0].input == "[no prompt]"
    assert unprompted[0].metadata["requests"] == 3


@pytest.mark.parametrize("capture", CAPTURES)
def test_a_capture_tells_of_its_sessions_what_was_reviewed(capture: str) -> None:
    diff = differences(golden_path(capture), golden_text(capture))

    assert not diff, "\n".join(
        [f"{capture} (python -m tests.golden.sessions.refresh if right):", *diff]
    )


def test_there_is_a_golden_file_for_each_of_these_captures_and_no_other() -> None:
    kept = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json")}

    assert kept == set(CAPTURES)
