"""Scores over real HTTP to the Langfuse double, old and new, and the double's own strictness."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from bridge.langfuse.client import LangfuseTarget, connect
from bridge.langfuse.deliver import Deliverer
from bridge.langfuse.score_configs import SCORE_DESCRIPTIONS, ensure_configs
from bridge.langfuse.scores import ScoreSender
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.scores import PendingScore, Score
from tests.fakes import (
    FakeClock,
    FakeLangfuse,
    FakeSleep,
    MemoryOutbox,
    MemoryScoreOutbox,
    Reply,
    Trouble,
)

NOW_MS = 1_790_000_000_000
OLD, NEW = "4.16.0", "4.60.0"
ROUTES = {OLD: "ingestion", NEW: "scores"}
POLL_S = 1.0
both_versions = pytest.mark.parametrize("version", [OLD, NEW])


# --------------------------------------------------------------------------------------- builders


def score_id(number: int) -> str:
    return f"{number:032x}"


def pending(number: int = 1, *, revision: int = 0, **fields: Any) -> PendingScore:
    sound = {
        "id": score_id(number),
        "name": "commits",
        "value": float(number),
        "timestamp_ms": NOW_MS,
        "session_id": f"session-{number}",
    }
    return PendingScore(score=Score(**{**sound, **fields}), revision=revision)


def scores(n: int) -> list[PendingScore]:
    return [pending(number) for number in range(1, n + 1)]


def a_span() -> PendingSpan:
    tags = ArrayValue(values=[AnyValue(string_value="claude-code")])
    span = Span(
        trace_id=bytes(15) + b"\1",
        span_id=bytes(7) + b"\1",
        name="claude-code",
        start_time_unix_nano=NOW_MS * 1_000_000,
        end_time_unix_nano=NOW_MS * 1_000_000 + 1,
        attributes=[
            KeyValue(key="langfuse.observation.type", value=AnyValue(string_value="agent")),
            KeyValue(key="langfuse.trace.tags", value=AnyValue(array_value=tags)),
        ],
    )
    return PendingSpan(
        position=1,
        span=span.SerializeToString(),
        service_name="claude-code",
        service_version=None,
    )


class Waits(FakeSleep):
    """Between two looks at the outbox it waits for work; every other wait is over at once."""

    def __init__(self, outbox: MemoryScoreOutbox) -> None:
        super().__init__()
        self._outbox = outbox

    async def __call__(self, seconds: float) -> None:
        if seconds == POLL_S:
            await self._outbox.wait_for_work()
        else:
            await super().__call__(seconds)


def target_of(langfuse: FakeLangfuse) -> LangfuseTarget:
    return LangfuseTarget(
        base_url=langfuse.url,
        public_key=langfuse.public_key,
        secret_key=langfuse.secret_key,
        timeout_s=5.0,
    )


@asynccontextmanager
async def sending(
    langfuse: FakeLangfuse, outbox: MemoryScoreOutbox, **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """A running sender, stopped at the end."""
    stop = options.pop("stop", None) or asyncio.Event()
    async with connect(target_of(langfuse)) as client:
        chosen = {"sleep": Waits(outbox), "jitter": lambda: 0.999999, **options}
        sender = ScoreSender(outbox, client, FakeClock(NOW_MS), poll_interval_s=POLL_S, **chosen)
        task = asyncio.create_task(sender.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)


async def deliver_all(langfuse: FakeLangfuse, outbox: MemoryScoreOutbox, **options: Any) -> None:
    async with sending(langfuse, outbox, **options):
        await outbox.wait_until_settled()


def statuses(langfuse: FakeLangfuse, route: str) -> list[int | None]:
    return [call.status for call in langfuse.calls_to(route)]


def sizes(langfuse: FakeLangfuse, route: str) -> list[int]:
    bodies = [json.loads(call.body) for call in langfuse.calls_to(route)]
    return [len(body["batch"] if route == "ingestion" else body) for body in bodies]


def delivered(outbox: MemoryScoreOutbox) -> list[PendingScore]:
    return [pending for pending, _ in outbox.delivered]


# --------------------------------------------------------------------------------------- delivery


@both_versions
async def test_scores_arrive_once_by_the_route_of_the_version(version: str) -> None:
    outbox = MemoryScoreOutbox(*scores(3), pending(4, session_id=None, trace_id="ab" * 16))
    async with FakeLangfuse(version=version) as langfuse:
        await deliver_all(langfuse, outbox)
    assert sizes(langfuse, ROUTES[version]) == [4]
    assert not langfuse.calls_to(ROUTES[OLD if version == NEW else NEW])
    assert outbox.delivered == [(score, NOW_MS) for score in [*scores(3), outbox.delivered[3][0]]]
    assert {key[0]: kept["value"] for key, kept in langfuse.kept_scores().items()} == {
        score_id(number): number for number in range(1, 5)
    }
    assert all(kept["dataType"] == "NUMERIC" for kept in langfuse.kept_scores().values())
    langfuse.check()


async def test_the_version_is_asked_for_once_and_without_the_keys() -> None:
    outbox = MemoryScoreOutbox(pending(1))
    async with FakeLangfuse() as langfuse, sending(langfuse, outbox):
        await outbox.wait_until_settled()
        await outbox.add(pending(2))
        await outbox.wait_until_settled()
    (call,) = langfuse.calls_to("health")
    assert "authorization" not in call.headers
    assert len(langfuse.calls_to("ingestion")) == 2


async def test_nothing_is_asked_of_langfuse_while_nothing_is_due() -> None:
    outbox, stop = MemoryScoreOutbox(), asyncio.Event()
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == POLL_S
        waiting.set()
        await stop.wait()

    async with FakeLangfuse() as langfuse, sending(langfuse, outbox, stop=stop, sleep=sleep):
        await asyncio.wait_for(waiting.wait(), 5)
    assert langfuse.calls == []


@both_versions
async def test_updates_replace_the_value_and_are_ordered(version: str) -> None:
    outbox = MemoryScoreOutbox(pending(1, value=1.0, comment="so far"))
    async with FakeLangfuse(version=version) as langfuse, sending(langfuse, outbox):
        await outbox.wait_until_settled()
        for revision in (1, 2, 3):
            await outbox.add(pending(1, revision=revision, value=1.0 + revision))
            await outbox.wait_until_settled()
    ((key, kept),) = langfuse.kept_scores().items()
    assert key == (score_id(1), "commits", "2026-09-21")
    assert (kept["value"], kept["timestamp"]) == (4.0, "2026-09-21T14:13:20.000Z")
    assert len(langfuse.updates_of(score_id(1))) == 4
    langfuse.check()


@both_versions
async def test_a_score_from_just_before_midnight_stays_one_score(version: str) -> None:
    last_ms = (NOW_MS // 86_400_000 + 1) * 86_400_000 - 1
    outbox = MemoryScoreOutbox(pending(1, timestamp_ms=last_ms))
    async with FakeLangfuse(version=version) as langfuse, sending(langfuse, outbox):
        await outbox.wait_until_settled()
        await outbox.add(pending(1, revision=1, timestamp_ms=last_ms))
        await outbox.wait_until_settled()
    assert len(langfuse.kept_scores()) == 1
    langfuse.check()


@both_versions
async def test_a_hundred_go_into_one_request_and_no_more(version: str) -> None:
    outbox = MemoryScoreOutbox(*scores(250))
    async with FakeLangfuse(version=version) as langfuse:
        await deliver_all(langfuse, outbox)
    assert sizes(langfuse, ROUTES[version]) == [100, 100, 50]
    langfuse.check()


@both_versions
async def test_large_scores_are_spread_over_requests(version: str) -> None:
    outbox = MemoryScoreOutbox(*(pending(n, comment="x" * 20_000) for n in range(1, 101)))
    async with FakeLangfuse(version=version) as langfuse:
        await deliver_all(langfuse, outbox)
    calls = langfuse.calls_to(ROUTES[version])
    assert sizes(langfuse, ROUTES[version]) == [25, 25, 25, 25]
    assert max(len(call.body) for call in calls) < 900_000
    assert delivered(outbox) == [pending(n, comment="x" * 20_000) for n in range(1, 101)]


@both_versions
async def test_a_score_too_large_for_the_server_is_rejected_alone(version: str) -> None:
    large = pending(2, comment="x" * 5_000_000)
    outbox = MemoryScoreOutbox(pending(1), large, pending(3))
    async with FakeLangfuse(version=version) as langfuse:
        await deliver_all(langfuse, outbox)
    assert delivered(outbox) == [pending(1), pending(3)]
    ((rejected, reason),) = outbox.rejected
    assert rejected == large
    assert reason.startswith("Langfuse did not take this score (413).")


@both_versions
async def test_an_unsound_score_is_rejected_before_it_spoils_a_batch(version: str) -> None:
    outbox = MemoryScoreOutbox(pending(1), pending(2, value=float("inf")))
    async with FakeLangfuse(version=version) as langfuse:
        with capture_logs() as logs:
            await deliver_all(langfuse, outbox)
    assert sizes(langfuse, ROUTES[version]) == [1]
    assert [reason for _, reason in outbox.rejected] == ["Its value is not a number."]
    assert {
        "event": "scores.score_rejected",
        "log_level": "warning",
        "score": "commits",
        "id": score_id(2),
        "revision": 0,
        "reason": "Its value is not a number.",
    } in logs


# ---------------------------------------------------------------------------------- partial errors


@both_versions
async def test_a_refused_score_is_rejected_with_the_reason_and_the_others_are_kept(
    version: str,
) -> None:
    outbox = MemoryScoreOutbox(*scores(4))
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.reject_score(score_id(2), message="no such colour")
        await deliver_all(langfuse, outbox)
    assert {item.score.id for item in delivered(outbox)} == {score_id(n) for n in (1, 3, 4)}
    ((rejected, reason),) = outbox.rejected
    assert rejected == pending(2)
    assert 'It says: "no such colour"' in reason
    langfuse.check()


async def test_where_the_errors_name_nobody_each_score_is_sent_once_more_alone() -> None:
    outbox = MemoryScoreOutbox(*scores(4))
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.reject_score(score_id(2))
        await deliver_all(langfuse, outbox)
    assert sizes(langfuse, "scores") == [4, 1, 1, 1, 1]
    assert [len(langfuse.updates_of(score_id(n))) for n in (1, 2, 3, 4)] == [2, 0, 2, 2]
    first, again = langfuse.updates_of(score_id(1))
    assert again.repeats(first)
    langfuse.check()


async def test_where_the_errors_name_their_scores_nothing_is_sent_again() -> None:
    outbox = MemoryScoreOutbox(*scores(4))
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.names_rejected_scores = True
        langfuse.reject_score(score_id(2))
        await deliver_all(langfuse, outbox)
    assert sizes(langfuse, "scores") == [4]
    assert [item.score.id for item, _ in outbox.rejected] == [score_id(2)]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_event_that_failed_for_the_moment_is_sent_again_and_the_others_are_not(
    status: int,
) -> None:
    outbox = MemoryScoreOutbox(*scores(3))
    sleep = Waits(outbox)
    async with FakeLangfuse() as langfuse:
        langfuse.reject_score(score_id(2), status=status, times=2)
        await deliver_all(langfuse, outbox, sleep=sleep)
    assert sizes(langfuse, "ingestion") == [3, 1, 1]
    assert sleep.waits_s == pytest.approx([1.0, 2.0], abs=1e-4)
    assert (len(outbox.delivered), outbox.rejected) == (3, [])
    langfuse.check()


async def test_an_event_that_fails_on_and_on_holds_up_no_other() -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse() as langfuse:
        langfuse.reject_score(score_id(1), status=500)
        async with sending(langfuse, outbox):
            await langfuse.wait_for_scores(1)
            await outbox.add(pending(3), pending(4))
            await langfuse.wait_for_scores(3)
    assert [item.score.id for item in outbox.pending.values()] == [score_id(1)]
    assert [len(langfuse.updates_of(score_id(n))) for n in (1, 2, 3, 4)] == [0, 1, 1, 1]


async def test_a_server_that_refuses_arrays_after_all_gets_the_old_route_from_then_on() -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.script_route("scores", 400)
        with capture_logs() as logs:
            async with sending(langfuse, outbox):
                await outbox.wait_until_settled()
                await outbox.add(pending(3))
                await outbox.wait_until_settled()
    assert statuses(langfuse, "scores") == [400]
    assert sizes(langfuse, "ingestion") == [2, 1]
    assert [it for it in logs if it["event"].startswith("scores.route")] == [
        {
            "event": "scores.route_chosen",
            "log_level": "info",
            "route": "scores",
            "version": NEW,
        },
        {
            "event": "scores.route_refused",
            "log_level": "warning",
            "route": "scores",
            "reason": "scripted",
        },
    ]
    langfuse.check()


# ----------------------------------------------------------------------------------------- outages


@both_versions
async def test_an_outage_is_waited_out_with_the_same_bytes(version: str) -> None:
    outbox, route = MemoryScoreOutbox(*scores(3)), ROUTES[version]
    sleep = Waits(outbox)
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.script_route(route, 500, 503, "close", 524)
        with capture_logs() as logs:
            await deliver_all(langfuse, outbox, sleep=sleep)
    assert statuses(langfuse, route) == [500, 503, None, 524, 207 if version == OLD else 202]
    assert len({call.body for call in langfuse.calls_to(route)}) == 1
    assert sleep.waits_s == pytest.approx([1.0, 2.0, 4.0, 8.0], abs=1e-3)
    assert [(it["event"], it["log_level"]) for it in logs] == [
        ("scores.route_chosen", "info"),
        ("scores.retry_scheduled", "warning"),
        ("scores.retry_scheduled", "debug"),
        ("scores.retry_scheduled", "debug"),
        ("scores.retry_scheduled", "debug"),
        ("scores.recovered", "info"),
        ("scores.batch_delivered", "debug"),
        ("scores.configs_ensured", "info"),
    ]
    langfuse.check()


@both_versions
async def test_the_backoff_begins_anew_after_a_success(version: str) -> None:
    outbox = MemoryScoreOutbox(pending(1))
    sleep = Waits(outbox)
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.script_route(ROUTES[version], 500, 500, 200, 500)
        async with sending(langfuse, outbox, sleep=sleep):
            await outbox.wait_until_settled()
            await outbox.add(pending(2))
            await outbox.wait_until_settled()
    assert sleep.waits_s == pytest.approx([1.0, 2.0, 1.0], abs=1e-4)


@both_versions
@pytest.mark.parametrize("trouble", ["lose_answer", "break_answer"])
async def test_scores_whose_answer_was_lost_are_sent_again_and_change_nothing(
    version: str, trouble: Trouble
) -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.script_route(ROUTES[version], trouble)
        await deliver_all(langfuse, outbox)
    assert [len(langfuse.updates_of(score_id(n))) for n in (1, 2)] == [2, 2]
    assert (len(langfuse.kept_scores()), outbox.rejected) == (2, [])
    langfuse.check()


@both_versions
async def test_retry_after_is_obeyed(version: str) -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    sleep = Waits(outbox)
    async with FakeLangfuse(version=version) as langfuse:
        reply = Reply(status=429, headers={"Retry-After": "17"})
        langfuse.script_route(ROUTES[version], reply)
        await deliver_all(langfuse, outbox, sleep=sleep)
    assert sleep.waits_s == [17.0]


@pytest.mark.parametrize("status", [401, 403, 404])
@both_versions
async def test_refused_keys_are_asked_about_until_a_person_has_mended_them(
    version: str, status: int
) -> None:
    outbox, route = MemoryScoreOutbox(*scores(2)), ROUTES[version]
    sleep = Waits(outbox)
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.script_route(route, status)
        with capture_logs() as logs:
            await deliver_all(langfuse, outbox, sleep=sleep)
    assert langfuse.probes == 1
    assert sleep.waits_s == [30.0]
    assert statuses(langfuse, route)[0] == status
    loud = [it for it in logs if it["log_level"] == "error"]
    assert [it["event"] for it in loud] == ["scores.retry_scheduled"]
    langfuse.check()


async def test_unknown_keys_send_nothing_but_probes_until_they_are_known() -> None:
    outbox = MemoryScoreOutbox(*scores(2))

    async with FakeLangfuse() as langfuse:
        langfuse.accepts_keys = False

        async def sleep(seconds: float) -> None:
            if seconds == POLL_S:
                await outbox.wait_for_work()
            if langfuse.probes == 3:
                langfuse.accepts_keys = True
            await asyncio.sleep(0)  # no time passes: the loop only gets its turn

        await deliver_all(langfuse, outbox, sleep=sleep)
    assert langfuse.probes == 4
    assert statuses(langfuse, "ingestion") == [401, 207]


async def test_a_langfuse_that_is_away_at_the_start_is_waited_for() -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.script_route("health", "close", 503)
        await deliver_all(langfuse, outbox)
    assert statuses(langfuse, "health") == [None, 503, 200]
    assert sizes(langfuse, "scores") == [2]


@pytest.mark.parametrize("answer", [404, 403, Reply(status=203, body="<html>")])
async def test_a_server_that_hides_its_version_gets_the_old_route(answer: int | Reply) -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.script_route("health", answer)
        await deliver_all(langfuse, outbox)
    assert sizes(langfuse, "ingestion") == [2]
    langfuse.check()


# ----------------------------------------------------------------------------------- stop, restart


@both_versions
async def test_after_a_restart_the_same_revision_is_sent_again_byte_for_byte(version: str) -> None:
    outbox, route = MemoryScoreOutbox(*scores(3)), ROUTES[version]
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.script_route(route, "lose_answer", "hang")
        async with sending(langfuse, outbox, stop_grace_s=0.0):
            await langfuse.wait_for_calls(route, 2)
        assert len(outbox.pending) == 3
        await deliver_all(langfuse, outbox)
    calls = langfuse.calls_to(route)
    assert len(calls) == 3
    assert len({call.body for call in calls}) == 1
    assert [len(langfuse.updates_of(score_id(n))) for n in (1, 2, 3)] == [2, 2, 2]
    langfuse.check()


async def test_a_request_in_flight_is_finished_when_we_are_stopped() -> None:
    outbox, stop, answer = MemoryScoreOutbox(pending(1)), asyncio.Event(), asyncio.Event()
    async with FakeLangfuse(version=NEW) as langfuse:
        langfuse.script_route("scores", Reply(status=200, after=answer))
        async with sending(langfuse, outbox, stop=stop) as task:
            await langfuse.wait_for_calls("scores", 1)
            stop.set()
            answer.set()
            await asyncio.wait_for(task, 5)
    assert (len(langfuse.scores), delivered(outbox)) == (1, [pending(1)])


@pytest.mark.parametrize("route", ["health", "ingestion"])
async def test_a_stop_ends_a_wait_at_once(route: str) -> None:
    outbox, stop, asked = MemoryScoreOutbox(pending(1)), asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with FakeLangfuse() as langfuse:
        langfuse.script_route(route, 503)
        async with sending(langfuse, outbox, stop=stop, sleep=sleep) as task:
            await asyncio.wait_for(asked.wait(), 5)
            stop.set()
            await asyncio.wait_for(task, 5)
    assert len(outbox.pending) == 1


# -------------------------------------------------------------------------------- beside the spans


@pytest.mark.parametrize("trouble", ["hang", 503, 403, Reply(status=429)])
async def test_an_outage_of_scores_neither_delays_spans_nor_shows_in_the_health(
    trouble: Trouble | int | Reply,
) -> None:
    spans, outbox, stop = MemoryOutbox(), MemoryScoreOutbox(pending(1)), asyncio.Event()

    async def forever(_seconds: float) -> None:
        await asyncio.Event().wait()

    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.script_route("ingestion", trouble)
        clock = FakeClock(NOW_MS)
        deliverer = Deliverer(spans, client, clock, wait_for_work=spans.wait_for_work)
        sender = ScoreSender(outbox, client, clock, sleep=forever, stop_grace_s=0.0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.run(stop))
            tasks.create_task(deliverer.run(stop))
            await langfuse.wait_for_calls("ingestion", 1)
            await spans.add(a_span())
            await spans.wait_until_settled()
            stop.set()
    assert spans.delivered_at_ms == {1: NOW_MS}
    assert spans.states() == [LangfuseState.OK]
    assert len(outbox.pending) == 1
    langfuse.check()


# ----------------------------------------------------------------------------------------- configs


@both_versions
async def test_missing_configs_are_created_once_per_start(version: str) -> None:
    async with FakeLangfuse(version=version) as langfuse:
        langfuse.score_configs = [{"name": f"other-{n}"} for n in range(150)] + [{"name": "prs"}]
        for number in (1, 2):
            outbox = MemoryScoreOutbox(pending(number))
            async with sending(langfuse, outbox):
                await outbox.wait_until_settled()
                await outbox.add(pending(number + 10))
                await outbox.wait_until_settled()
                await langfuse.wait_for_calls("score-configs", 8 if number == 1 else 10)
    methods = [call.method for call in langfuse.calls_to("score-configs")]
    assert methods == ["GET", "GET", *["POST"] * 6, "GET", "GET"]
    names = [config["name"] for config in langfuse.score_configs[150:]]
    assert names == ["prs", *(name for name in SCORE_DESCRIPTIONS if name != "prs")]
    langfuse.check()


async def test_scores_name_no_config() -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse(version=NEW) as langfuse:
        await deliver_all(langfuse, outbox)
    assert not any("configId" in score for score in langfuse.scores)


async def test_configs_are_looked_at_only_after_a_score_was_taken() -> None:
    outbox = MemoryScoreOutbox(*scores(2))
    async with FakeLangfuse() as langfuse:
        langfuse.script_route("ingestion", 500, 403)
        await deliver_all(langfuse, outbox)
    routes = [call.route for call in langfuse.calls]
    assert routes[:4] == ["health", "ingestion", "ingestion", "ingestion"]
    assert set(routes[4:]) <= {"score-configs"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500])
@pytest.mark.parametrize("first_answers", [0, 1, 3])
async def test_configs_that_cannot_be_created_are_left_at_that(
    status: int, first_answers: int
) -> None:
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.script_route("score-configs", *[200] * first_answers, status)
        with capture_logs() as logs:
            await ensure_configs(client)
    created = list(SCORE_DESCRIPTIONS)[: max(first_answers - 1, 0)]
    assert logs == [
        {
            "event": "scores.configs_skipped",
            "log_level": "info",
            "status": status,
            "reason": "scripted",
            "created": created,
        }
    ]
    assert len(langfuse.calls_to("score-configs")) == first_answers + 1
    assert [config["name"] for config in langfuse.score_configs] == created


async def test_configs_in_a_language_of_its_own_create_nothing() -> None:
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.script_route("score-configs", Reply(status=203, body="<html>"))
        with capture_logs() as logs:
            await ensure_configs(client)
    assert logs[0]["reason"] == "the answer is not a list of score configs"
    assert langfuse.score_configs == []


async def test_configs_without_end_create_nothing() -> None:
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.score_configs = [{"name": "other"}] * 5001
        with capture_logs() as logs:
            await ensure_configs(client)
    assert logs[0]["reason"] == "the project has more than 50 pages of them"
    assert len(langfuse.score_configs) == 5001


async def test_trouble_with_configs_stops_no_score() -> None:
    outbox = MemoryScoreOutbox(pending(1))
    async with FakeLangfuse() as langfuse:
        langfuse.script_route("score-configs", "close")
        async with sending(langfuse, outbox):
            await outbox.wait_until_settled()
            await outbox.add(pending(2))
            await outbox.wait_until_settled()
    assert len(outbox.delivered) == 2


# -------------------------------------------------------------------------------------- the double

SCORE = {"id": "s1", "name": "commits", "value": 2, "sessionId": "session-1"}


async def post(langfuse: FakeLangfuse, route: str, body: Any, key: str = "") -> tuple[int, Any]:
    secret = key or langfuse.secret_key
    headers = {"Authorization": aiohttp.encode_basic_auth(langfuse.public_key, secret)}
    url = f"{langfuse.url}/api/public/{route}"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, data=json.dumps(body)) as response,
    ):
        return response.status, json.loads(await response.text())


def event(number: int, second: int, value: float, **fields: Any) -> dict[str, Any]:
    envelope = {"type": "score-create", "timestamp": f"2026-11-22T23:59:{second:02d}.000Z"}
    return {"id": f"e{number}", **envelope, "body": {**SCORE, "value": value}, **fields}


@pytest.mark.parametrize("route", ["scores", "ingestion", "score-configs"])
async def test_the_double_knows_one_pair_of_keys(route: str) -> None:
    async with FakeLangfuse() as langfuse:
        assert (await post(langfuse, route, SCORE, key="wrong"))[0] == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": None},
        {"value": "2", "dataType": "NUMERIC"},
        {"value": float("nan")},
        {"traceId": "t"},
        {"sessionId": None},
        {"id": "x" * 801},
        {"timestamp": "2026-11-22T10:00:00"},
        {"timestamp": 5},
    ],
)
async def test_the_double_takes_no_bad_score_by_any_route(wrong: dict[str, Any]) -> None:
    async with FakeLangfuse(version=NEW) as langfuse:
        await post(langfuse, "scores", [{**SCORE, **wrong}])
        await post(langfuse, "ingestion", {"batch": [event(1, 1, 1, body={**SCORE, **wrong})]})
    assert langfuse.scores == []


async def test_the_double_keeps_one_score_per_id_name_and_day_with_its_first_time() -> None:
    async with FakeLangfuse() as langfuse:
        first = event(1, 10, 1, body={**SCORE, "comment": "kept"})
        await post(langfuse, "ingestion", {"batch": [first]})
        await post(langfuse, "ingestion", {"batch": [event(2, 11, 5)]})
    assert langfuse.kept_scores() == {
        ("s1", "commits", "2026-11-22"): {
            **SCORE,
            "value": 5,
            "comment": "kept",
            "timestamp": "2026-11-22T23:59:10.000Z",
        }
    }
    langfuse.check()


@pytest.mark.parametrize(
    ("update", "violation"),
    [
        (event(1, 10, 1), None),
        (event(2, 11, 5), None),
        (event(2, 10, 5), "its envelope is not later"),
        (event(2, 9, 5), "its envelope is not later"),
        (event(1, 10, 5), "its envelope is not later"),
        (event(1, 11, 5), "its event id was used before"),
        (event(2, 11, 5, timestamp="2026-11-23T00:00:00Z"), "there are two of it"),
        (event(2, 11, 5, body={**SCORE, "name": "prs"}), "there are two of it"),
        (event(2, 11, 5, body={**SCORE, "sessionId": "b"}), "it belongs to something else"),
        (event(2, 11, 5, body={**SCORE, "configId": "c"}), "it names a config"),
    ],
)
async def test_the_double_objects_to_updates_that_would_show_wrongly(
    update: dict[str, Any], violation: str | None
) -> None:
    async with FakeLangfuse() as langfuse:
        await post(langfuse, "ingestion", {"batch": [event(1, 10, 1)]})
        await post(langfuse, "ingestion", {"batch": [update]})
    assert bool(langfuse.violations) == bool(violation)
    assert any(violation in sentence for sentence in langfuse.violations) if violation else True


async def test_the_double_objects_to_a_score_whose_time_changes_on_the_array_route() -> None:
    async with FakeLangfuse(version=NEW) as langfuse:
        for second in (1, 2):
            dated = {**SCORE, "timestamp": f"2026-11-22T10:00:0{second}Z"}
            assert (await post(langfuse, "scores", [dated]))[0] == 202
    assert langfuse.violations == ["score s1 (commits): its timestamp has changed"]


async def test_the_double_objects_to_large_arrays_and_to_a_second_config_of_a_name() -> None:
    config = {"name": "commits", "dataType": "NUMERIC"}
    async with FakeLangfuse(version=NEW) as langfuse:
        await post(langfuse, "scores", [{**SCORE, "id": f"s{n}"} for n in range(101)])
        assert (await post(langfuse, "score-configs", config))[0] == 200
        assert (await post(langfuse, "score-configs", config))[0] == 200
        assert (await post(langfuse, "score-configs", {"name": "x"}))[0] == 400
    assert langfuse.violations == [
        "an array of 101 scores is more than one may have",
        "there are two score configs named commits",
    ]


async def test_the_double_says_when_each_update_came() -> None:
    clock = FakeClock(NOW_MS)
    async with FakeLangfuse(version=NEW, clock=clock) as langfuse:
        for _ in range(2):
            await post(langfuse, "scores", [SCORE])
            clock.time_ms += 300_000
    assert [it.arrived_ms - NOW_MS for it in langfuse.updates_of("s1")] == [0, 300_000]
