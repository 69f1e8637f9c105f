"""Scores without a network: which route, which bytes, and what each answer means, as tables."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langfuse.api.commons import ScoreDataType
from langfuse.api.core.jsonable_encoder import jsonable_encoder
from langfuse.api.core.serialization import convert_and_respect_annotation_metadata
from langfuse.api.scores import CreateScoreRequest
from msgspec.structs import replace

from bridge.langfuse.client import Document
from bridge.langfuse.retry import Answer
from bridge.langfuse.score_configs import SCORE_DESCRIPTIONS, missing_configs, read_listing
from bridge.langfuse.score_routes import (
    DAY_MS,
    NOT_SAID,
    UPDATES_MS,
    Batch,
    Route,
    Verdict,
    encode,
    envelope_ms,
    event_id,
    halves,
    judge,
    problem_of,
    route_for,
    server_version,
    sift,
)
from bridge.model.delivery import LangfuseState, RetryLater
from bridge.model.scores import PendingScore, Score

ARRAY, INGESTION = Route.ARRAY, Route.INGESTION
MIDNIGHT_MS = 1_789_948_800_000
"""2026-09-21T00:00:00Z."""
NOON_MS = MIDNIGHT_MS + DAY_MS // 2


def pending(number: int = 1, *, revision: int = 0, **fields: Any) -> PendingScore:
    """A sound session score, but for what is asked for."""
    sound = {
        "id": f"{number:032x}",
        "name": "commits",
        "value": 3.0,
        "timestamp_ms": NOON_MS,
        "session_id": "session-1",
    }
    return PendingScore(score=Score(**{**sound, **fields}), revision=revision)


def batch_of(size: int) -> Batch:
    return tuple(pending(number) for number in range(1, size + 1))


def answered(status: int | None, body: Any = None, **fields: Any) -> Document:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Document(answer=Answer(status=status, **fields), body=text)


def verdict_on(
    document: Document, size: int = 3, route: Route = ARRAY, attempt: int = 1
) -> Verdict:
    return judge(route, document, batch_of(size), attempt, 0.5)


# -------------------------------------------------------------------------------------- the route


@pytest.mark.parametrize(
    ("version", "route"),
    [
        ("4.59.0", ARRAY),
        ("4.59.1", ARRAY),
        ("4.100.0", ARRAY),
        ("v4.60.2", ARRAY),
        ("4.60.0-rc.1", ARRAY),
        ("5.0.0", ARRAY),
        ("4.58.9", INGESTION),
        ("4.16.0", INGESTION),
        ("3.179.0", INGESTION),
        ("4.59", INGESTION),
        ("", INGESTION),
        ("latest", INGESTION),
        ("4" * 5000 + ".0.0", INGESTION),
        (None, INGESTION),
    ],
)
def test_the_route_is_chosen_by_the_version(version: str | None, route: Route) -> None:
    assert route_for(version) is route


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"status":"OK","version":"4.16.0"}', "4.16.0"),
        (b'{"status":"OK"}', None),
        (b'{"version":4}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_version_that_cannot_be_read_is_unknown(body: bytes, version: str | None) -> None:
    assert server_version(Document(answer=Answer(status=200), body=body)) == version


# -------------------------------------------------------------------------------------- the bytes


def test_the_array_route_gets_scores_with_their_own_time() -> None:
    session = pending(1, value=12.5, comment="seconds", environment="production", revision=7)
    trace = pending(2, name="cost_usd", session_id=None, trace_id="ab" * 16, value=0.003086)
    assert json.loads(encode(ARRAY, [session, trace])) == [
        {
            "id": f"{1:032x}",
            "name": "commits",
            "value": 12.5,
            "dataType": "NUMERIC",
            "sessionId": "session-1",
            "comment": "seconds",
            "environment": "production",
            "timestamp": "2026-09-21T12:00:00.000Z",
        },
        {
            "id": f"{2:032x}",
            "name": "cost_usd",
            "value": 0.003086,
            "dataType": "NUMERIC",
            "traceId": "ab" * 16,
            "timestamp": "2026-09-21T12:00:00.000Z",
        },
    ]


def test_the_ingestion_route_gets_events_with_an_id_and_a_time_per_revision() -> None:
    body = {
        "id": f"{1:032x}",
        "name": "commits",
        "value": 3.0,
        "dataType": "NUMERIC",
        "sessionId": "session-1",
    }
    sent = [pending(), pending(revision=1), pending(revision=41)]
    assert json.loads(encode(INGESTION, sent)) == {
        "batch": [
            {"id": f"{1:032x}-{n}", "type": "score-create", "timestamp": time, "body": body}
            for n, time in (
                (0, "2026-09-21T12:00:00.000Z"),
                (1, "2026-09-21T12:00:00.001Z"),
                (41, "2026-09-21T12:00:00.041Z"),
            )
        ]
    }


def test_what_the_array_route_gets_is_what_langfuses_own_sdk_would_send() -> None:
    ours = json.loads(encode(ARRAY, [pending(comment="c", environment="production")]))
    theirs = CreateScoreRequest(
        id=f"{1:032x}",
        name="commits",
        value=3.0,
        data_type=ScoreDataType.NUMERIC,
        session_id="session-1",
        comment="c",
        environment="production",
        timestamp=datetime.fromtimestamp(NOON_MS / 1000, UTC),
    )
    written = convert_and_respect_annotation_metadata(
        object_=[theirs], annotation=list[CreateScoreRequest], direction="write"
    )
    (theirs_as_json,) = jsonable_encoder(written)
    sent = {name: value for name, value in theirs_as_json.items() if value is not None}
    assert ours == [{**sent, "timestamp": "2026-09-21T12:00:00.000Z"}]
    assert sent["timestamp"] == "2026-09-21T12:00:00Z"


moments = st.integers(0, 4_000_000_000_000)


@given(moments, st.integers(0, UPDATES_MS - 2))
def test_every_update_is_later_and_on_the_same_day(timestamp_ms: int, revision: int) -> None:
    this = envelope_ms(pending(timestamp_ms=timestamp_ms, revision=revision))
    following = envelope_ms(pending(timestamp_ms=timestamp_ms, revision=revision + 1))
    assert following == this + 1
    assert this // DAY_MS == following // DAY_MS == timestamp_ms // DAY_MS


@pytest.mark.parametrize(
    ("timestamp_ms", "revision", "expected_ms"),
    [
        (MIDNIGHT_MS, 0, MIDNIGHT_MS),
        (NOON_MS, 5, NOON_MS + 5),
        (MIDNIGHT_MS - UPDATES_MS, 1, MIDNIGHT_MS - UPDATES_MS + 1),
        (MIDNIGHT_MS - 1, 0, MIDNIGHT_MS - UPDATES_MS),
        (MIDNIGHT_MS - 1, 2, MIDNIGHT_MS - UPDATES_MS + 2),
    ],
)
def test_a_score_of_a_days_last_minute_is_dated_back(
    timestamp_ms: int, revision: int, expected_ms: int
) -> None:
    assert envelope_ms(pending(timestamp_ms=timestamp_ms, revision=revision)) == expected_ms


@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.integers(0, 3))
def test_a_score_is_the_same_bytes_whatever_it_is_sent_with(
    numbers: list[int], revision: int
) -> None:
    items = [pending(number, revision=revision) for number in numbers]
    whole = b",".join(encode(ARRAY, [item])[1:-1] for item in items)
    assert encode(ARRAY, items) == b"[" + whole + b"]"
    events = b",".join(encode(INGESTION, [item])[10:-2] for item in items)
    assert encode(INGESTION, items) == b'{"batch":[' + events + b"]}"


# ------------------------------------------------------------------------------ what is never sent


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, None),
        ({"value": 0.0}, None),
        ({"value": -1e300}, None),
        ({"session_id": None, "trace_id": "t"}, None),
        ({"value": float("nan")}, "Its value is not a number."),
        ({"value": float("inf")}, "Its value is not a number."),
        ({"session_id": None}, "It is not the score of either a session or a trace."),
        ({"trace_id": "t"}, "It is not the score of either a session or a trace."),
        ({"session_id": ""}, "It is not the score of either a session or a trace."),
        ({"timestamp_ms": -1}, "Its time is not within the years 1970 to 2099."),
        ({"timestamp_ms": 10**18}, "Its time is not within the years 1970 to 2099."),
    ],
)
def test_a_score_no_server_takes_is_known_beforehand(
    fields: dict[str, Any], problem: str | None
) -> None:
    assert problem_of(pending(**fields).score) == problem


def test_what_is_unsound_is_rejected_and_the_rest_goes_on() -> None:
    bad = pending(2, value=float("nan"))
    assert sift((pending(1), bad, pending(3))) == Verdict(
        rejected=((bad, "Its value is not a number."),), again=((pending(1), pending(3)),)
    )
    assert sift((bad,)).again == ()


def test_halves_lose_nothing_and_are_both_smaller() -> None:
    for size in range(2, 20):
        earlier, later = halves(batch_of(size))
        assert earlier + later == batch_of(size)
        assert 0 < len(earlier) <= len(later) < size


# ------------------------------------------------------------------------------------- the answers


@pytest.mark.parametrize("route", Route)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_takes_the_whole_batch_whatever_the_body(route: Route, status: int) -> None:
    document = answered(status, b"<html>")
    assert verdict_on(document, route=route) == Verdict(taken=batch_of(3))


@pytest.mark.parametrize(
    ("status", "after_s", "state"),
    [
        (None, 0.75, LangfuseState.UNREACHABLE),
        (408, 0.75, LangfuseState.UNREACHABLE),
        (500, 0.75, LangfuseState.UNREACHABLE),
        (503, 0.75, LangfuseState.UNREACHABLE),
        (524, 0.75, LangfuseState.UNREACHABLE),
        (429, 17.0, LangfuseState.RATE_LIMITED),
    ],
)
@pytest.mark.parametrize("route", Route)
def test_a_passing_trouble_keeps_the_batch_and_waits(
    route: Route, status: int | None, after_s: float, state: LangfuseState
) -> None:
    verdict = verdict_on(answered(status, retry_after="17"), route=route)
    assert verdict.later is not None
    assert (verdict.later.after_s, verdict.later.state) == (after_s, state)
    assert verdict == Verdict(again=(batch_of(3),), later=verdict.later)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 302, 418])
@pytest.mark.parametrize("route", Route)
def test_where_a_person_must_act_the_batch_waits_for_a_probe(route: Route, status: int) -> None:
    verdict = verdict_on(answered(status), route=route)
    assert verdict.later is not None
    assert verdict.later.after_s == 30.0
    assert verdict == Verdict(again=(batch_of(3),), later=verdict.later, probe=True)


def test_a_missing_route_is_not_said_to_be_the_one_of_spans() -> None:
    later = verdict_on(answered(404)).later
    assert later is not None
    assert later.reason == (
        "What answers at this address takes no scores (404); "
        "check LANGFUSE_BASE_URL, and that the server is Langfuse 3 or newer."
    )


@pytest.mark.parametrize("size", [1, 3])
def test_a_server_that_takes_no_arrays_gets_the_same_batch_the_old_way(size: int) -> None:
    verdict = verdict_on(answered(400), size)
    assert verdict == Verdict(again=(batch_of(size),), fall_back=True)


@pytest.mark.parametrize(
    ("route", "status"), [(ARRAY, 413), (ARRAY, 422), (INGESTION, 400), (INGESTION, 413)]
)
def test_a_refused_batch_is_halved_and_its_culprit_rejected(route: Route, status: int) -> None:
    document = answered(status, error="Body exceeded 1mb limit")
    assert verdict_on(document, 3, route) == Verdict(again=(batch_of(3)[:1], batch_of(3)[1:]))
    reason = f'Langfuse did not take this score ({status}). It says: "Body exceeded 1mb limit"'
    assert verdict_on(document, 1, route) == Verdict(rejected=((pending(1), reason),))


# ------------------------------------------------------------------------------------ partial ones

ONE, TWO, THREE = batch_of(3)
REFUSED = 'Langfuse did not take this score (no status). It says: "{}"'


def partial(rejected: int, *errors: dict[str, Any], of: int = 3) -> dict[str, Any]:
    return {"accepted": of - rejected, "rejected": rejected, "errors": list(errors)}


def named(item: PendingScore, message: str = "bad") -> dict[str, Any]:
    return {"id": item.score.id, "message": message}


ALONE = Verdict(again=((ONE,), (TWO,), (THREE,)))
"""The batch is never repeated: each score is sent once more, by itself."""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (partial(0), Verdict(taken=(ONE, TWO, THREE))),
        (partial(1, {"message": "bad"}), ALONE),
        (partial(2, {"message": "bad"}), ALONE),
        (
            partial(1, named(TWO)),
            Verdict(taken=(ONE, THREE), rejected=((TWO, REFUSED.format("bad")),)),
        ),
        (
            partial(2, named(TWO)),
            Verdict(rejected=((TWO, REFUSED.format("bad")),), again=((ONE,), (THREE,))),
        ),
        (
            partial(1, named(TWO), {"message": "and more"}),
            Verdict(rejected=((TWO, REFUSED.format("bad")),), again=((ONE,), (THREE,))),
        ),
        (partial(1, {"id": "another", "message": "bad"}), ALONE),
        (
            partial(3, {"message": "a"}, {"message": "b"}, {"message": "c"}),
            Verdict(
                rejected=(
                    (ONE, REFUSED.format("a")),
                    (TWO, REFUSED.format("b")),
                    (THREE, REFUSED.format("c")),
                )
            ),
        ),
        (
            partial(3, {"message": "all"}),
            Verdict(rejected=tuple((it, REFUSED.format("all")) for it in (ONE, TWO, THREE))),
        ),
        ({"errors": [{"message": "bad"}]}, ALONE),
        ({}, ALONE),
        ([], ALONE),
        (b"<html>", ALONE),
        (b"\xff", ALONE),
    ],
)
def test_what_a_partial_answer_of_the_array_route_leaves_open_is_sent_alone(
    body: Any, expected: Verdict
) -> None:
    assert verdict_on(answered(207, body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (partial(0, of=1), Verdict(taken=(ONE,))),
        (
            partial(1, {"message": "bad"}, of=1),
            Verdict(rejected=((ONE, REFUSED.format("bad")),)),
        ),
        (
            partial(1, of=1),
            Verdict(rejected=((ONE, "Langfuse did not take this score (no status)."),)),
        ),
        ({}, Verdict(rejected=((ONE, NOT_SAID),))),
        (b"<html>", Verdict(rejected=((ONE, NOT_SAID),))),
    ],
)
def test_the_answer_to_a_single_score_ends_it(body: Any, expected: Verdict) -> None:
    assert verdict_on(answered(207, body), 1) == expected


def success(item: PendingScore) -> dict[str, Any]:
    return {"id": event_id(item), "status": 201}


def failure(item: PendingScore, status: int = 400, message: str = "bad") -> dict[str, Any]:
    return {"id": event_id(item), "status": status, "message": message, "error": "E"}


def events(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "successes": [it for it in items if it["status"] == 201],
        "errors": [it for it in items if it["status"] != 201],
    }


REFUSED_400 = 'Langfuse did not take this score (400). It says: "bad"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (events(success(ONE), success(TWO), success(THREE)), Verdict(taken=(ONE, TWO, THREE))),
        (
            events(failure(TWO), success(THREE), success(ONE)),
            Verdict(taken=(ONE, THREE), rejected=((TWO, REFUSED_400),)),
        ),
        (
            events(failure(ONE), failure(TWO), failure(THREE)),
            Verdict(rejected=tuple((it, REFUSED_400) for it in (ONE, TWO, THREE))),
        ),
        (events(success(ONE), success(THREE)), Verdict(taken=(ONE, THREE), again=((TWO,),))),
        (events(), ALONE),
        (b"", ALONE),
    ],
)
def test_a_partial_answer_of_the_ingestion_route_names_its_events(
    body: Any, expected: Verdict
) -> None:
    assert verdict_on(answered(207, body), route=INGESTION) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (events(success(ONE)), Verdict(taken=(ONE,))),
        (
            {"errors": [{"id": None, "status": 400, "message": "bad"}]},
            Verdict(rejected=((ONE, REFUSED_400),)),
        ),
        (events(success(TWO)), Verdict(rejected=((ONE, NOT_SAID),))),
        (b"", Verdict(rejected=((ONE, NOT_SAID),))),
    ],
)
def test_the_answer_to_a_single_event_ends_it(body: Any, expected: Verdict) -> None:
    assert verdict_on(answered(207, body), 1, INGESTION) == expected


@pytest.mark.parametrize(("status", "after_s"), [(500, 1.25), (503, 1.25), (429, 9.0)])
def test_an_event_that_failed_for_the_moment_stays_pending_and_is_waited_for(
    status: int, after_s: float
) -> None:
    body = events(success(ONE), failure(TWO, status), failure(THREE))
    verdict = verdict_on(answered(207, body, retry_after="9"), 3, INGESTION, attempt=2)
    assert isinstance(verdict.later, RetryLater)
    assert verdict.later.after_s == after_s
    assert verdict == Verdict(taken=(ONE,), rejected=((THREE, REFUSED_400),), later=verdict.later)


def test_the_longest_of_several_waits_counts() -> None:
    body = events(failure(ONE, 500), failure(TWO, 429), failure(THREE, 503))
    verdict = verdict_on(answered(207, body, retry_after="9"), 3, INGESTION)
    assert verdict.later is not None
    assert verdict.later.after_s == 9.0
    assert (verdict.taken, verdict.rejected, verdict.again) == ((), (), ())


answers = st.recursive(
    st.none()
    | st.integers(-1, 600)
    | st.sampled_from(["bad", *(event_id(it) for it in (ONE, TWO))]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["errors", "successes", "rejected", "id", "status", "message"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(Route), answers, st.integers(1, 3))
def test_whatever_a_207_says_each_score_has_one_fate_and_no_batch_is_repeated(
    route: Route, body: Any, size: int
) -> None:
    verdict = verdict_on(answered(207, body), size, route)
    again = [item for batch in verdict.again for item in batch]
    fates = [*verdict.taken, *(item for item, _ in verdict.rejected), *again]
    assert len(fates) == len(set(fates))
    assert len(fates) == size or verdict.later is not None
    assert all(len(batch) == 1 for batch in verdict.again)
    assert not (size == 1 and again)


def test_a_servers_endless_words_are_cut() -> None:
    verdict = verdict_on(answered(207, partial(1, {"message": "x" * 9999}, of=1)), 1)
    ((_, reason),) = verdict.rejected
    assert len(reason) < 600


def test_another_revision_is_another_event() -> None:
    assert event_id(ONE) != event_id(replace(ONE, revision=1))


# ------------------------------------------------------------------------------------- the configs


def test_every_score_is_described_with_its_unit_and_without_bounds() -> None:
    created = {name: json.loads(body) for name, body in missing_configs(set())}
    assert list(created) == [
        "active_s",
        "added",
        "removed",
        "commits",
        "prs",
        "tool_errors",
        "cost_usd",
    ]
    for name, config in created.items():
        assert config == {
            "name": name,
            "dataType": "NUMERIC",
            "description": SCORE_DESCRIPTIONS[name],
        }
    assert "seconds" in SCORE_DESCRIPTIONS["active_s"]
    assert "US dollars" in SCORE_DESCRIPTIONS["cost_usd"]


def test_only_missing_configs_are_created() -> None:
    assert [name for name, _ in missing_configs(SCORE_DESCRIPTIONS.keys() - {"prs"})] == ["prs"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, {}), (None, b""), (200, b"<html>"), (200, []), (200, {"data": []}), (200, b"\xff")],
)
def test_what_is_no_listing_of_configs_is_not_taken_for_an_empty_one(
    status: int | None, body: Any
) -> None:
    assert read_listing(answered(status, body)) is None
