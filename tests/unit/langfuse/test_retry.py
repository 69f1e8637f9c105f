"""The retry classes as tables: what each answer means, how long is waited, what a person reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.langfuse.retry import (
    LONGEST_BACKOFF_S,
    LONGEST_RETRY_AFTER_S,
    MAX_ERROR_CHARS,
    PROBE_INTERVAL_S,
    SHORTEST_WAIT_S,
    Answer,
    asks_for_probe,
    backoff_s,
    decide,
    decide_probe,
    retry_after_s,
)
from bridge.model.delivery import Delivered, LangfuseState, Rejected, RetryLater, SplitBatch

HALF = 0.5
NO_ANSWER = Answer(status=None, error="no answer within the time limit")
TRANSIENT = [408, 425, 500, 501, 502, 503, 504, 507, 520, 521, 522, 523, 524, 599]


def later(answer: Answer, attempt: int = 1, fraction: float = HALF) -> RetryLater:
    outcome = decide(answer, 10, attempt, fraction)
    assert isinstance(outcome, RetryLater)
    return outcome


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
def test_any_2xx_means_delivered_whatever_else_the_answer_has(status: int) -> None:
    assert decide(Answer(status=status, error="{}", retry_after="9"), 500, 3, HALF) == Delivered()


@pytest.mark.parametrize("status", TRANSIENT)
def test_a_sick_server_is_tried_again_with_backoff(status: int) -> None:
    outcome = later(Answer(status=status))
    assert (outcome.after_s, outcome.state) == (0.75, LangfuseState.UNREACHABLE)
    assert outcome.reason == (
        f"Langfuse answered {status}. It is tried again by itself; "
        "if this lasts, check LANGFUSE_BASE_URL, the network and the Langfuse server."
    )


def test_no_answer_is_tried_again_with_backoff() -> None:
    assert later(NO_ANSWER) == RetryLater(
        after_s=0.75,
        state=LangfuseState.UNREACHABLE,
        reason="Langfuse cannot be reached: no answer within the time limit. "
        "It is tried again by itself; "
        "if this lasts, check LANGFUSE_BASE_URL, the network and the Langfuse server.",
    )


@pytest.mark.parametrize(
    ("attempt", "fraction", "expected_s"),
    [
        (1, 0.0, 0.5),
        (1, 0.999999, 1.0),
        (2, 0.999999, 2.0),
        (3, 0.5, 2.25),
        (6, 0.999999, 32.0),
        (7, 0.999999, 60.0),
        (7, 0.0, 0.5),
        (5000, 0.5, 30.25),
    ],
)
def test_backoff_doubles_up_to_a_minute_with_full_jitter(
    attempt: int, fraction: float, expected_s: float
) -> None:
    assert backoff_s(attempt, fraction) == pytest.approx(expected_s, abs=1e-3)


@given(st.integers(min_value=1), st.floats(0, 1, exclude_max=True))
def test_backoff_never_hammers_and_never_sleeps_in(attempt: int, fraction: float) -> None:
    assert SHORTEST_WAIT_S <= backoff_s(attempt, fraction) <= LONGEST_BACKOFF_S


@pytest.mark.parametrize(
    ("retry_after", "expected_s"),
    [
        ("7", 7.0),
        (" 60 ", 60.0),
        ("0", SHORTEST_WAIT_S),
        ("999999", LONGEST_RETRY_AFTER_S),
        ("Sun, 22 Nov 2026 10:00:42 GMT", 42.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", SHORTEST_WAIT_S),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("9" * 5000, None),
        ("Sun, 99 Nov 2026 10:00:42 GMT", None),
    ],
)
def test_retry_after_is_obeyed_where_it_can_be_read(
    retry_after: str | None, expected_s: float | None
) -> None:
    answer = Answer(status=429, retry_after=retry_after, date="Sun, 22 Nov 2026 10:00:00 GMT")
    assert retry_after_s(answer) == expected_s
    assert later(answer).after_s == (0.75 if expected_s is None else expected_s)
    assert later(answer).state is LangfuseState.RATE_LIMITED


def test_a_retry_after_date_without_the_servers_own_time_is_not_trusted() -> None:
    answer = Answer(status=429, retry_after="Sun, 22 Nov 2026 10:00:42 GMT")
    assert retry_after_s(answer) is None


@given(st.text(max_size=60))
def test_no_retry_after_whatever_it_says_breaks_the_decision(text: str) -> None:
    wait_s = retry_after_s(Answer(status=429, retry_after=text, date=text))
    assert wait_s is None or SHORTEST_WAIT_S <= wait_s <= LONGEST_RETRY_AFTER_S


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_batch_is_split(status: int) -> None:
    outcome = decide(Answer(status=status, error="no good"), 2, 1, HALF)
    assert outcome == SplitBatch(
        reason=f"Langfuse did not take a batch of 2 observations ({status}); "
        'its halves are tried. It says: "no good"'
    )


@pytest.mark.parametrize(
    ("status", "cause"),
    [(400, "it is not valid"), (413, "it is too large"), (422, "it is not valid")],
)
def test_a_refused_single_span_is_rejected_with_the_servers_words(status: int, cause: str) -> None:
    outcome = decide(Answer(status=status, error="no good"), 1, 1, HALF)
    assert outcome == Rejected(
        reason=f"Langfuse did not take this observation: {cause} for the server or a proxy "
        f'before it ({status}). It says: "no good"'
    )


def test_the_servers_words_are_bounded() -> None:
    outcome = decide(Answer(status=400, error="§" * 5000), 1, 1, HALF)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.count("§") == MAX_ERROR_CHARS


@pytest.mark.parametrize(
    ("status", "state", "advice"),
    [
        (401, LangfuseState.UNAUTHORIZED, "LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY"),
        (402, LangfuseState.UNAUTHORIZED, "check the organisation's plan"),
        (403, LangfuseState.UNAUTHORIZED, "use the keys of a project"),
        (404, LangfuseState.UNREACHABLE, "check LANGFUSE_BASE_URL"),
        (405, LangfuseState.UNREACHABLE, "check LANGFUSE_BASE_URL"),
        (407, LangfuseState.UNREACHABLE, "check HTTPS_PROXY or HTTP_PROXY"),
        (301, LangfuseState.UNREACHABLE, "set LANGFUSE_BASE_URL to the final address"),
        (308, LangfuseState.UNREACHABLE, "set LANGFUSE_BASE_URL to the final address"),
        (418, LangfuseState.UNREACHABLE, "check LANGFUSE_BASE_URL and any proxy"),
    ],
)
def test_what_a_person_must_mend_waits_and_is_probed(
    status: int, state: LangfuseState, advice: str
) -> None:
    answer = Answer(status=status, error="Ingestion suspended")
    outcome = later(answer, attempt=9)
    assert (outcome.after_s, outcome.state) == (PROBE_INTERVAL_S, state)
    assert f"({status})" in outcome.reason
    assert advice in outcome.reason
    assert outcome.reason.endswith('It says: "Ingestion suspended"')
    assert asks_for_probe(answer)


@pytest.mark.parametrize("status", [None, 200, 400, 413, 422, 429, *TRANSIENT])
def test_nothing_else_asks_for_a_probe(status: int | None) -> None:
    assert not asks_for_probe(Answer(status=status))


@given(st.integers(100, 999), st.integers(1, 500))
def test_every_status_has_an_outcome_and_only_a_single_span_is_ever_rejected(
    status: int, batch_size: int
) -> None:
    outcome = decide(Answer(status=status), batch_size, 1, HALF)
    assert not isinstance(outcome, Rejected) or batch_size == 1
    assert not isinstance(outcome, SplitBatch) or batch_size > 1


def test_a_probe_that_is_taken_frees_the_way() -> None:
    assert decide_probe(Answer(status=200), 3, HALF) is None


@pytest.mark.parametrize(
    ("answer", "after_s", "state"),
    [
        (Answer(status=401), PROBE_INTERVAL_S, LangfuseState.UNAUTHORIZED),
        (Answer(status=400), PROBE_INTERVAL_S, LangfuseState.UNREACHABLE),
        (Answer(status=413), PROBE_INTERVAL_S, LangfuseState.UNREACHABLE),
        (Answer(status=429, retry_after="9"), 9.0, LangfuseState.RATE_LIMITED),
        (Answer(status=503), 2.25, LangfuseState.UNREACHABLE),
        (NO_ANSWER, 2.25, LangfuseState.UNREACHABLE),
    ],
)
def test_a_probe_that_is_not_taken_is_repeated_and_rejects_nothing(
    answer: Answer, after_s: float, state: LangfuseState
) -> None:
    outcome = decide_probe(answer, 3, HALF)
    assert outcome is not None
    assert (outcome.after_s, outcome.state) == (after_s, state)
