"""Delivery over real HTTP to the Langfuse double, and the double itself.

The double is held to what the real server was seen to do.
"""

import asyncio
import base64
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from structlog.testing import capture_logs

from bridge import __version__
from bridge.langfuse.client import LangfuseClient, LangfuseTarget, connect
from bridge.langfuse.deliver import BatchLimits, Deliverer
from bridge.langfuse.retry import Answer
from bridge.langfuse.wire import encode_export
from bridge.model.delivery import LangfuseState, PendingSpan
from tests.fakes import (
    FakeClock,
    FakeLangfuse,
    FakeSleep,
    MemoryOutbox,
    ReceivedSpans,
    Reply,
    Trouble,
)

NOW_MS = 1_790_000_000_000
START_NS = NOW_MS * 1_000_000
OK, UNREACHABLE = LangfuseState.OK, LangfuseState.UNREACHABLE
UNAUTHORIZED, RATE_LIMITED = LangfuseState.UNAUTHORIZED, LangfuseState.RATE_LIMITED
FAKES = Path(__file__).parent.parent / "fakes.py"


# --------------------------------------------------------------------------------- builders


def any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
        case _:
            return AnyValue(string_value=value)


def key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def a_span(number: int = 1, attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """A sound root in a trace of its own, but for what is asked for."""
    given = {
        "langfuse.observation.type": "agent",
        "langfuse.session.id": "session-1",
        "langfuse.trace.tags": ["member:alex", "claude-code"],
        **(attributes or {}),
    }
    sound = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": span_id(number),
        "name": "claude-code",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000,
        "attributes": key_values({key: it for key, it in given.items() if it is not None}),
    }
    return Span(**{**sound, **fields})


def pending(position: int, *, size_bytes: int = 0) -> PendingSpan:
    padding = {"langfuse.observation.input": "x" * size_bytes}
    return PendingSpan(
        position=position,
        span=a_span(position, padding).SerializeToString(),
        service_name="claude-code",
        service_version="2.1.330",
    )


def spans(n: int) -> list[PendingSpan]:
    return [pending(position) for position in range(1, n + 1)]


def export_of(
    *messages: Span, scope: str = "langfuse-sdk/test", resource: dict[str, Any] | None = None
) -> bytes:
    of_resource = ResourceSpans()
    of_resource.resource.attributes.extend(key_values(resource or {"service.name": "claude-code"}))
    of_scope = ScopeSpans(spans=messages)
    of_scope.scope.name = scope
    of_resource.scope_spans.append(of_scope)
    return ExportTraceServiceRequest(resource_spans=[of_resource]).SerializeToString()


def target_of(langfuse: FakeLangfuse, **options: Any) -> LangfuseTarget:
    keys = {"public_key": langfuse.public_key, "secret_key": langfuse.secret_key}
    return LangfuseTarget(**{"base_url": langfuse.url, **keys, **options})


@asynccontextmanager
async def delivering(
    langfuse: FakeLangfuse,
    outbox: MemoryOutbox,
    *,
    timeout_s: float = 5.0,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> AsyncIterator[asyncio.Task[None]]:
    """A running deliverer, stopped at the end."""
    stop = stop or asyncio.Event()
    async with connect(target_of(langfuse, timeout_s=timeout_s)) as client:
        chosen = {"sleep": FakeSleep(), "jitter": lambda: 0.0, **options}
        chosen.setdefault("wait_for_work", outbox.wait_for_work)
        deliverer = Deliverer(outbox, client, FakeClock(NOW_MS), **chosen)
        task = asyncio.create_task(deliverer.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)


def received_positions(langfuse: FakeLangfuse) -> list[int]:
    return [int(span.span_id, 16) for span in langfuse.spans]


def sizes_of_exports(langfuse: FakeLangfuse) -> list[int]:
    return [len(positions_in(export.body)) for export in langfuse.exports]


def positions_in(body: bytes) -> list[int]:
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    found = [
        span
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    return [int.from_bytes(span.span_id, "big") for span in found]


# --------------------------------------------------------------------------------- delivery


async def test_what_is_pending_arrives_once_oldest_first_and_sound() -> None:
    outbox = MemoryOutbox(reversed(spans(7)))
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox):
        await outbox.wait_until_settled()
    assert received_positions(langfuse) == [1, 2, 3, 4, 5, 6, 7]
    assert outbox.delivered_at_ms == dict.fromkeys(range(1, 8), NOW_MS)
    assert outbox.notes == [(OK, "Langfuse takes what is sent.")]
    langfuse.assert_no_duplicates()
    langfuse.check()


async def test_what_becomes_pending_later_is_delivered_too() -> None:
    outbox = MemoryOutbox(spans(1))
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox):
        await outbox.wait_until_settled()
        await outbox.add(pending(2))
        await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [1, 1]


async def test_without_a_wake_up_the_outbox_is_polled() -> None:
    outbox, sleep = MemoryOutbox(), FakeSleep()
    options: dict[str, Any] = {"wait_for_work": None, "poll_interval_s": 0.25, "sleep": sleep}
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox, **options):
        await outbox.add(pending(1))
        await langfuse.wait_for(1)
    assert set(sleep.waits_s) <= {0.25}


async def test_a_server_error_is_tried_again_with_the_same_bytes_until_it_is_over() -> None:
    outbox, sleep = MemoryOutbox(spans(3)), FakeSleep()
    async with FakeLangfuse() as langfuse:
        langfuse.script(500, 503, 524)
        with capture_logs() as logs:
            async with delivering(langfuse, outbox, sleep=sleep, jitter=lambda: 0.999999):
                await outbox.wait_until_settled()
    assert [export.status for export in langfuse.exports] == [500, 503, 524, 200]
    assert len({export.body for export in langfuse.exports}) == 1
    assert sleep.waits_s == pytest.approx([1.0, 2.0, 4.0], abs=1e-4)
    assert outbox.states() == [UNREACHABLE, UNREACHABLE, UNREACHABLE, OK]
    langfuse.assert_no_duplicates()
    assert [(it["event"], it["log_level"]) for it in logs] == [
        ("deliver.retry_scheduled", "warning"),
        ("deliver.retry_scheduled", "debug"),
        ("deliver.retry_scheduled", "debug"),
        ("deliver.recovered", "info"),
        ("deliver.batch_delivered", "debug"),
    ]
    assert logs[0] == {
        "event": "deliver.retry_scheduled",
        "log_level": "warning",
        "state": "unreachable",
        "attempt": 1,
        "after_s": 1.0,
        "reason": 'Langfuse answered 500. It says: "scripted" It is tried again by itself; '
        "if this lasts, check LANGFUSE_BASE_URL, the network and the Langfuse server.",
    }


async def test_the_backoff_begins_anew_after_a_success() -> None:
    outbox, sleep = MemoryOutbox(spans(1)), FakeSleep()
    async with FakeLangfuse() as langfuse:
        langfuse.script(500, 500, 200, 500)
        async with delivering(langfuse, outbox, sleep=sleep, jitter=lambda: 0.999999):
            await outbox.wait_until_settled()
            await outbox.add(pending(2))
            await outbox.wait_until_settled()
    assert sleep.waits_s == pytest.approx([1.0, 2.0, 1.0], abs=1e-4)


async def test_retry_after_holds_everything_for_as_long_as_it_says() -> None:
    outbox, sleep = MemoryOutbox(spans(4)), FakeSleep()
    async with FakeLangfuse() as langfuse:
        langfuse.script(Reply(status=429, headers={"Retry-After": "17"}), 429)
        limits = BatchLimits(claim_spans=2)
        async with delivering(langfuse, outbox, sleep=sleep, limits=limits):
            await outbox.wait_until_settled()
    assert sleep.waits_s == [17.0, 0.5]
    assert outbox.states() == [RATE_LIMITED, OK]
    assert sizes_of_exports(langfuse) == [2, 2, 2, 2]
    assert received_positions(langfuse) == [1, 2, 3, 4]


async def test_a_batch_that_is_too_large_is_halved_until_it_fits() -> None:
    outbox = MemoryOutbox(spans(8))
    async with FakeLangfuse() as langfuse:
        langfuse.script(Reply(status=413, body="too large", content_type="text/plain"), 413)
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [8, 4, 2, 2, 4]
    assert received_positions(langfuse) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert outbox.reasons == {}
    langfuse.assert_no_duplicates()


async def test_a_single_span_that_is_too_large_is_rejected_and_the_next_one_goes() -> None:
    outbox = MemoryOutbox([pending(1, size_bytes=5000), pending(2)])
    async with FakeLangfuse() as langfuse:
        langfuse.script(Reply(status=413, body="<h1>413</h1>", content_type="text/html"))
        limits = BatchLimits(claim_bytes=1000)
        async with delivering(langfuse, outbox, limits=limits):
            await outbox.wait_until_settled()
    assert outbox.reasons == {
        1: "Langfuse did not take this observation: it is too large for the server or a proxy "
        "before it (413)."
    }
    assert received_positions(langfuse) == [2]


@pytest.mark.parametrize("culprits", [{1}, {11}, {6}, {3, 9}, {1, 2, 3}, set(range(1, 12))])
async def test_a_400_is_bisected_to_the_culprits_and_the_rest_arrives_once(
    culprits: set[int],
) -> None:
    outbox = MemoryOutbox(spans(11))
    async with FakeLangfuse() as langfuse:
        for culprit in culprits:
            langfuse.reject_span(span_id(culprit).hex())
        with capture_logs() as logs:
            async with delivering(langfuse, outbox):
                await outbox.wait_until_settled()
    good = [position for position in range(1, 12) if position not in culprits]
    assert received_positions(langfuse) == good
    assert sorted(outbox.delivered_at_ms) == good
    assert outbox.reasons.keys() == culprits
    assert all("1 of 1 span(s)" in reason for reason in outbox.reasons.values())
    assert [
        (it["position"], it["reason"]) for it in logs if it["event"] == "deliver.span_rejected"
    ] == sorted(outbox.reasons.items())
    assert outbox.states() == [OK]


async def test_a_retry_amid_a_bisection_continues_where_it_was() -> None:
    outbox = MemoryOutbox(spans(4))
    async with FakeLangfuse() as langfuse:
        langfuse.script(400, 503, 200, 429)
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [4, 2, 2, 2, 2]
    assert received_positions(langfuse) == [1, 2, 3, 4]


async def test_an_export_that_outgrows_its_limit_by_encoding_is_split_before_it_is_sent() -> None:
    outbox = MemoryOutbox([pending(position, size_bytes=1000) for position in range(1, 5)])
    limits = BatchLimits(claim_bytes=100_000, export_bytes=3000)
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox, limits=limits):
        await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [2, 2]


async def test_a_single_span_above_every_limit_still_goes_alone() -> None:
    outbox = MemoryOutbox([pending(1), pending(2, size_bytes=9000), pending(3)])
    limits = BatchLimits(claim_bytes=1000, export_bytes=2000)
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox, limits=limits):
        await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [1, 1, 1]


async def test_batches_hold_at_most_500_spans() -> None:
    outbox = MemoryOutbox(spans(1100))
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox):
        await outbox.wait_until_settled()
    assert sizes_of_exports(langfuse) == [500, 500, 100]


async def test_batches_stay_below_the_size_langfuse_cloud_takes() -> None:
    outbox = MemoryOutbox(pending(position, size_bytes=100_000) for position in range(1, 81))
    async with FakeLangfuse() as langfuse, delivering(langfuse, outbox):
        await outbox.wait_until_settled()
    sizes_bytes = [len(gzip.decompress(export.body)) for export in langfuse.exports]
    assert len(sizes_bytes) == 3
    assert max(sizes_bytes) < 3_500_000


async def test_refused_keys_pause_delivery_and_are_probed_until_they_are_taken() -> None:
    outbox = MemoryOutbox(spans(3))
    async with FakeLangfuse() as langfuse:
        langfuse.accepts_keys = False

        def mend(wait: int) -> None:
            langfuse.accepts_keys = wait == 3

        sleep = FakeSleep(mend)
        with capture_logs() as logs:
            async with delivering(langfuse, outbox, sleep=sleep):
                await outbox.wait_until_settled()
    assert [export.status for export in langfuse.exports] == [401, 200]
    assert langfuse.probes == 3
    assert sleep.waits_s == [30.0, 30.0, 30.0]
    assert outbox.states() == [UNAUTHORIZED, OK]
    assert [it["log_level"] for it in logs if it["event"] == "deliver.retry_scheduled"] == [
        "error",
        "debug",
        "debug",
    ]
    langfuse.assert_no_duplicates()


async def test_a_suspended_plan_is_probed_and_then_tried_again() -> None:
    outbox, sleep = MemoryOutbox(spans(1)), FakeSleep()
    async with FakeLangfuse() as langfuse:
        words = json.dumps({"message": "Ingestion suspended: Usage threshold exceeded."})
        langfuse.script(*[Reply(status=403, body=words)] * 2)
        async with delivering(langfuse, outbox, sleep=sleep):
            await outbox.wait_until_settled()
    assert langfuse.probes == 2
    assert sleep.waits_s == [30.0, 30.0]
    assert outbox.notes[0][1].endswith('"Ingestion suspended: Usage threshold exceeded."')


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    outbox = MemoryOutbox(spans(1))
    async with FakeLangfuse() as elsewhere, FakeLangfuse() as langfuse:
        there = f"{elsewhere.url}/api/public/otel/v1/traces?token=secret"
        langfuse.script(Reply(status=status, headers={"Location": there}))
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert elsewhere.exports == []
    state, reason = outbox.notes[0]
    assert state is UNREACHABLE
    assert f'It says: "Location: {elsewhere.url}/api/public/otel/v1/traces"' in reason
    assert received_positions(langfuse) == [1]


async def test_a_hanging_server_is_given_up_and_the_export_comes_again() -> None:
    outbox = MemoryOutbox(spans(2))
    async with FakeLangfuse() as langfuse:
        langfuse.script("hang")
        async with delivering(langfuse, outbox, timeout_s=0.1):
            await outbox.wait_until_settled()
    assert outbox.notes[0][1].startswith(
        "Langfuse cannot be reached: no answer within the time limit."
    )
    assert [export.status for export in langfuse.exports] == [None, 200]
    assert langfuse.exports[0].body == langfuse.exports[1].body
    langfuse.assert_no_duplicates()


async def test_a_connection_that_breaks_before_the_answer_is_tried_again() -> None:
    outbox = MemoryOutbox(spans(2))
    async with FakeLangfuse() as langfuse:
        langfuse.script("close")
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert outbox.states() == [UNREACHABLE, OK]
    assert received_positions(langfuse) == [1, 2]


async def test_a_connection_that_breaks_amid_a_large_request_is_tried_again() -> None:
    noise = base64.b64encode(os.urandom(2_000_000)).decode()
    large = a_span(1, {"langfuse.observation.input": noise}).SerializeToString()
    outbox = MemoryOutbox(
        [PendingSpan(position=1, span=large, service_name="agent", service_version=None)]
    )
    async with FakeLangfuse() as langfuse:
        langfuse.script("close")
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert len(langfuse.exports[0].body) < len(langfuse.exports[1].body)
    assert received_positions(langfuse) == [1]


async def test_a_200_whose_body_breaks_off_is_delivered_and_not_sent_again() -> None:
    outbox = MemoryOutbox(spans(2))
    async with FakeLangfuse() as langfuse:
        langfuse.script("break_answer")
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert outbox.states() == [OK]
    langfuse.assert_no_duplicates()


async def test_a_lost_answer_makes_the_one_duplicate_that_cannot_be_avoided_byte_for_byte() -> None:
    outbox = MemoryOutbox(spans(2))
    async with FakeLangfuse() as langfuse:
        langfuse.script("lose_answer")
        async with delivering(langfuse, outbox):
            await outbox.wait_until_settled()
    assert len(langfuse.duplicates()) == 2
    first, again = langfuse.spans[:2], langfuse.spans[2:]
    assert [span.raw for span in first] == [span.raw for span in again]
    assert langfuse.exports[0].body == langfuse.exports[1].body
    with pytest.raises(AssertionError, match="received more than once"):
        langfuse.assert_no_duplicates()


async def test_langfuse_away_altogether_is_waited_for() -> None:
    outbox = MemoryOutbox(spans(1))
    async with FakeLangfuse() as gone:
        url, port = gone.url, int(gone.url.rpartition(":")[2])
    waiting = asyncio.Event()
    back = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await back.wait()

    target = LangfuseTarget(base_url=url, public_key=gone.public_key, secret_key=gone.secret_key)
    stop = asyncio.Event()
    async with connect(target) as client:
        deliverer = Deliverer(outbox, client, FakeClock(), sleep=sleep)
        task = asyncio.create_task(deliverer.run(stop))
        await asyncio.wait_for(waiting.wait(), 5)
        async with FakeLangfuse(port=port) as langfuse:
            back.set()
            await outbox.wait_until_settled()
            stop.set()
            await asyncio.wait_for(task, 5)
    assert "no connection (" in outbox.notes[0][1]
    assert received_positions(langfuse) == [1]


@pytest.mark.parametrize("script", [(503,), (401,)], ids=["backoff", "pause"])
async def test_a_stop_request_ends_a_wait_at_once_and_leaves_the_batch_pending(
    script: tuple[int, ...],
) -> None:
    outbox, asleep, stop = MemoryOutbox(spans(2)), asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    async with FakeLangfuse() as langfuse:
        langfuse.script(*script)
        async with delivering(langfuse, outbox, stop=stop, sleep=sleep) as task:
            await asyncio.wait_for(asleep.wait(), 5)
            stop.set()
            await asyncio.wait_for(task, 5)
    assert sorted(outbox.pending) == [1, 2]
    assert len(langfuse.exports) == 1
    assert langfuse.probes == 0


async def test_a_stop_request_lets_the_request_in_flight_end_and_records_it() -> None:
    outbox, stop, answer = MemoryOutbox(spans(2)), asyncio.Event(), asyncio.Event()
    async with FakeLangfuse() as langfuse:
        langfuse.script(Reply(status=200, after=answer))
        async with delivering(langfuse, outbox, stop=stop) as task:
            await langfuse.wait_for_requests(1)
            stop.set()
            answer.set()
            await asyncio.wait_for(task, 5)
    assert sorted(outbox.delivered_at_ms) == [1, 2]


async def test_a_stop_request_cuts_off_a_request_that_takes_too_long() -> None:
    outbox, stop = MemoryOutbox(spans(2)), asyncio.Event()
    async with FakeLangfuse() as langfuse:
        langfuse.script("hang")
        async with delivering(langfuse, outbox, stop=stop, stop_grace_s=0.01) as task:
            await langfuse.wait_for_requests(1)
            stop.set()
            await asyncio.wait_for(task, 5)
    assert sorted(outbox.pending) == [1, 2]


async def test_a_stop_request_between_two_halves_leaves_the_later_one_pending() -> None:
    outbox, stop, answer = MemoryOutbox(spans(4)), asyncio.Event(), asyncio.Event()
    async with FakeLangfuse() as langfuse:
        langfuse.script(413, Reply(status=200, after=answer))
        async with delivering(langfuse, outbox, stop=stop) as task:
            await langfuse.wait_for_requests(2)
            stop.set()
            answer.set()
            await asyncio.wait_for(task, 5)
    assert sorted(outbox.delivered_at_ms) == [1, 2]
    assert sorted(outbox.pending) == [3, 4]


async def test_a_failing_outbox_ends_delivery_loudly() -> None:
    class FullDisk(MemoryOutbox):
        async def delivered(self, positions: Any, at_ms: int) -> None:
            raise OSError(f"disk full at {at_ms} for {positions}")

    outbox = FullDisk(spans(1))
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        with pytest.raises(OSError, match="disk full"):
            await Deliverer(outbox, client, FakeClock()).run(asyncio.Event())


# --------------------------------------------------------------------------------- client


async def test_an_export_carries_the_headers_langfuse_wants() -> None:
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        assert (await client.post_spans(export_of(a_span()))).status == 200
    assert langfuse.exports[0].body[4:8] == bytes(4), "gzip's time would make each retry differ"
    headers = langfuse.exports[0].headers
    wanted = {name: it for name, it in headers.items() if name.startswith(("x-", "content-"))}
    assert wanted == {
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "content-length": str(len(langfuse.exports[0].body)),
        "x-langfuse-ingestion-version": "4",
        "x-langfuse-sdk-name": "langfuse-bridge",
        "x-langfuse-sdk-version": __version__,
        "x-langfuse-public-key": "pk-lf-test",
    }


@pytest.mark.parametrize("suffix", ["", "/", "/?region=eu#top"])
async def test_the_base_url_may_end_as_people_write_it(suffix: str) -> None:
    async with (
        FakeLangfuse() as langfuse,
        connect(target_of(langfuse, base_url=langfuse.url + suffix)) as client,
    ):
        assert (await client.post_spans(export_of(a_span()))).status == 200
        assert (await client.probe()).status == 200


async def test_the_base_url_may_carry_a_path() -> None:
    async with (
        FakeLangfuse(path="/langfuse") as langfuse,
        connect(target_of(langfuse, base_url=langfuse.url + "/")) as client,
    ):
        assert langfuse.url.endswith("/langfuse")
        assert (await client.post_spans(export_of(a_span()))).status == 200
        assert (await client.probe()).status == 200
        assert repr(client) == f"LangfuseClient({langfuse.url})"


async def test_a_wrong_path_is_a_404() -> None:
    async with FakeLangfuse() as langfuse:
        target = target_of(langfuse, base_url=langfuse.url + "/wrong")
        async with connect(target) as client:
            assert (await client.post_spans(b"")).status == 404
            assert (await client.probe()).status == 404


async def test_keys_appear_in_no_text() -> None:
    async with FakeLangfuse() as langfuse:
        address = langfuse.url.replace("http://", "http://someone:hidden-word@")
        target = target_of(langfuse, base_url=address, secret_key="sk-hidden-word")  # noqa: S106 - a marker
        async with connect(target) as client:
            answer = await client.post_spans(export_of(a_span()))
    assert answer.status == 401
    assert "sk-hidden-word" not in repr(target)
    assert "hidden-word" not in f"{client!r} {client} {answer!r}"


async def test_a_server_without_the_ingestion_version_is_asked_without_it_from_then_on() -> None:
    words = 'Unsupported x-langfuse-ingestion-version: "4". Maximum supported: "3".'
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.script(Reply(status=400, body=json.dumps({"error": words})))
        assert (await client.post_spans(export_of(a_span(1)))).status == 200
        assert (await client.post_spans(export_of(a_span(2)))).status == 200
    sent = ["x-langfuse-ingestion-version" in export.headers for export in langfuse.exports]
    assert sent == [True, False, False]
    assert langfuse.exports[0].body == langfuse.exports[1].body


async def test_an_answer_brings_retry_after_date_and_the_servers_words() -> None:
    headers = {"Retry-After": "7", "Date": "Sun, 22 Nov 2026 10:00:00 GMT"}
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        langfuse.script(
            Reply(status=429, headers=headers, body='{"message":"slow\\n down","code":"x"}'),
            Reply(status=500, body='{"message":"Internal Server Error","error":"Redis"}'),
            Reply(status=400, body='{"error":"Invalid content type"}'),
            Reply(status=413, body="Body exceeded 1mb limit", content_type="text/plain"),
            Reply(status=502, body="<html>nginx</html>", content_type="text/html"),
            Reply(status=500, body='{"message":["a","b"]}'),
            Reply(status=500, body="x" * 100_000, content_type="text/plain"),
        )
        answers = [await client.post_spans(b"") for _ in range(7)]
    assert answers[0] == Answer(
        status=429, error="slow down", retry_after="7", date="Sun, 22 Nov 2026 10:00:00 GMT"
    )
    assert [answer.error for answer in answers[1:]] == [
        "Internal Server Error",
        "Invalid content type",
        "Body exceeded 1mb limit",
        "",
        "",
        "x" * 500,
    ]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("hang", "no answer within the time limit"),
        ("close", "the connection was closed before an answer came"),
        ("lose_answer", "the connection was closed before an answer came"),
    ],
)
async def test_a_failure_on_the_way_is_an_answer_without_a_status(
    trouble: Trouble, words: str
) -> None:
    async with (
        FakeLangfuse() as langfuse,
        connect(target_of(langfuse, timeout_s=0.2)) as client,
    ):
        langfuse.script(trouble)
        assert await client.post_spans(export_of(a_span())) == Answer(status=None, error=words)


@pytest.mark.parametrize("base_url", ["https://{}", "http://name.invalid", "ftp://127.0.0.1"])
async def test_an_address_that_cannot_work_is_an_answer_too(base_url: str) -> None:
    async with FakeLangfuse() as langfuse:
        address = base_url.format(langfuse.url.removeprefix("http://"))
        async with connect(target_of(langfuse, base_url=address)) as client:
            answer = await client.probe()
    assert answer.status is None
    assert answer.error


async def test_the_environments_proxy_is_used_and_no_proxy_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeLangfuse() as proxy, FakeLangfuse() as langfuse:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "")
        async with connect(target_of(langfuse, base_url="http://langfuse.invalid")) as client:
            assert (await client.probe()).status == 200
        assert (proxy.probes, langfuse.probes) == (1, 0)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with connect(target_of(langfuse)) as client:
            assert (await client.probe()).status == 200
        assert (proxy.probes, langfuse.probes) == (1, 1)


async def test_a_netrc_does_not_get_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with FakeLangfuse() as langfuse, connect(target_of(langfuse)) as client:
        assert (await client.probe()).status == 200


# ------------------------------------------------------------------------ the double: requests

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


async def post(
    langfuse: FakeLangfuse, path: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    keys = aiohttp.encode_basic_auth(langfuse.public_key, langfuse.secret_key)
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{langfuse.url}/api/public/{path}",
            data=BytesIO(body),
            headers={"Authorization": keys, **(headers or {})},
        ) as response,
    ):
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, json.loads(text) if is_json else text


async def post_json(langfuse: FakeLangfuse, path: str, message: Any) -> tuple[int, Any]:
    return await post(langfuse, path, json.dumps(message).encode(), JSON)


def json_span(**fields: Any) -> dict[str, Any]:
    return {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "claude-code",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": START_NS,
        "attributes": [
            {"key": "langfuse.observation.type", "value": {"stringValue": "span"}},
        ],
        **fields,
    }


def json_export(*messages: dict[str, Any]) -> dict[str, Any]:
    scope = {"scope": {"name": "langfuse-sdk/test"}, "spans": list(messages)}
    return {"resourceSpans": [{"scopeSpans": [scope]}]}


async def test_the_double_answers_200_with_json_that_is_not_otlp() -> None:
    async with FakeLangfuse() as langfuse:
        body = gzip.compress(export_of(a_span()))
        zipped = {**PROTOBUF, "Content-Encoding": "gzip"}
        status, answer = await post(langfuse, "otel/v1/traces", body, zipped)
    assert status == 200
    assert answer["name"] == "otel-ingestion-job"
    (span,) = langfuse.spans
    assert (span.trace_id, span.span_id) == (f"{1:032x}", f"{1:016x}")
    assert (span.parent_id, span.name) == (None, "claude-code")
    assert (span.start_ms, span.end_ms) == (NOW_MS, NOW_MS + 1)
    assert span.attributes == {
        "langfuse.observation.type": "agent",
        "langfuse.session.id": "session-1",
        "langfuse.trace.tags": ["member:alex", "claude-code"],
    }


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({"Content-Type": "text/plain"}, b"", "Invalid content type"),
        (PROTOBUF, b"\xff\xff\xff", "Failed to parse OTel Protobuf Trace"),
        (PROTOBUF, export_of(a_span())[:-3], "Failed to parse OTel Protobuf Trace"),
        (JSON, b"{", "Failed to parse OTel JSON Trace"),
        ({**PROTOBUF, "Content-Encoding": "gzip"}, b"no", "Failed to decompress request body"),
        (
            {**PROTOBUF, "x-langfuse-ingestion-version": "5"},
            b"",
            'Unsupported x-langfuse-ingestion-version: "5". Maximum supported: "4".',
        ),
        (
            {**PROTOBUF, "x-langfuse-ingestion-version": "new"},
            b"",
            'Unsupported x-langfuse-ingestion-version: "new". Maximum supported: "4".',
        ),
    ],
)
async def test_the_double_refuses_what_the_server_refuses(
    headers: dict[str, str], body: bytes, words: str
) -> None:
    async with FakeLangfuse() as langfuse:
        answer = await post(langfuse, "otel/v1/traces", body, headers)
    assert answer == (400, {"error": words})
    assert langfuse.spans == []


@pytest.mark.parametrize("bad", [{"trace_id": b""}, {"span_id": b""}])
async def test_the_double_refuses_an_entire_export_for_one_missing_id(bad: Any) -> None:
    async with FakeLangfuse() as langfuse:
        body = export_of(a_span(1), a_span(2, **bad), a_span(3))
        status, answer = await post(langfuse, "otel/v1/traces", body, PROTOBUF)
    assert status == 400
    assert "1 of 3 span(s)" in answer["error"]
    assert "The entire export was rejected" in answer["error"]
    assert langfuse.spans == []


async def test_the_double_reads_otlp_json_with_hex_ids() -> None:
    async with FakeLangfuse() as langfuse:
        zipped = {"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps(json_export(json_span(parentSpanId="ef" * 8))).encode())
        assert (await post(langfuse, "otel/v1/traces", body, zipped))[0] == 200
        assert (await post(langfuse, "otel/v1/traces", b"{}", JSON)) == (200, {})
        assert (await post(langfuse, "otel/v1/traces", b"", PROTOBUF)) == (200, {})
    (span,) = langfuse.spans
    assert (span.trace_id, span.span_id, span.parent_id) == ("ab" * 16, "cd" * 8, "ef" * 8)
    assert langfuse.orphans() == [span.key]
    langfuse.check()


@pytest.mark.parametrize("bad", [{"traceId": 7}, {"spanId": None}, {"attributes": {"a": 1}}])
async def test_the_double_refuses_json_of_the_wrong_shape(bad: dict[str, Any]) -> None:
    async with FakeLangfuse() as langfuse:
        answer = await post_json(langfuse, "otel/v1/traces", json_export(json_span(**bad)))
    assert answer[0] == 400


async def test_the_double_knows_its_keys_only() -> None:
    async with FakeLangfuse() as langfuse:
        other = {"Authorization": aiohttp.encode_basic_auth("pk-lf-test", "wrong")}
        for path in ("otel/v1/traces", "scores", "ingestion"):
            status, answer = await post(langfuse, path, b"{}", other)
            assert status == 401
            assert "message" in answer
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{langfuse.url}/api/public/projects") as response:
                assert response.status == 401
            async with session.get(f"{langfuse.url}/api/public/otel/v1/traces") as response:
                assert response.status == 405
            async with session.get(f"{langfuse.url}/api/public/health") as response:
                assert await response.json() == {"status": "OK", "version": "4.16.0"}


async def test_the_double_takes_metrics_and_has_no_logs() -> None:
    async with FakeLangfuse() as langfuse:
        assert (await post(langfuse, "otel/v1/metrics", b"{}", JSON))[0] == 200
        assert (await post(langfuse, "otel/v1/logs", b"{}", JSON))[0] == 404


# --------------------------------------------------------------------- the double: what is sound

GENERATION = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "claude-opus-5-5",
    "langfuse.observation.usage_details": '{"input":11,"output":117,"input_cached_tokens":1010}',
    "langfuse.observation.cost_details": '{"total":0.003086}',
}
COUNTER = {
    "langfuse.observation.type": "event",
    "langfuse.observation.usage_details": '{"lines_added":10,"total":0}',
}


async def problems_of(*messages: Span, **options: Any) -> list[str]:
    async with FakeLangfuse() as langfuse:
        body = export_of(*messages, **options)
        assert (await post(langfuse, "otel/v1/traces", body, PROTOBUF))[0] == 200
    return langfuse.problems()


@pytest.mark.parametrize("attributes", [{}, GENERATION, COUNTER])
async def test_the_double_has_no_objection_to_a_sound_span(attributes: dict[str, Any]) -> None:
    assert await problems_of(a_span(1, attributes)) == []


def usage(text: str) -> dict[str, Any]:
    return {**GENERATION, "langfuse.observation.usage_details": text}


def cost(text: str) -> dict[str, Any]:
    return {**GENERATION, "langfuse.observation.cost_details": text}


@pytest.mark.parametrize(
    ("span", "sentence"),
    [
        (a_span(name=""), "it has no name"),
        (a_span(start_time_unix_nano=0), "it has no start"),
        (a_span(end_time_unix_nano=0), "it has no end"),
        (a_span(end_time_unix_nano=START_NS - 1), "it ends before it starts"),
        (a_span(trace_id=b"ab"), "its trace id is not 16 bytes long"),
        (a_span(trace_id=bytes(16)), "its trace id is all zero"),
        (a_span(span_id=b"ab"), "its span id is not 8 bytes long"),
        (a_span(span_id=bytes(8)), "its span id is all zero"),
        (a_span(parent_span_id=b"ab"), "its parent id is not 8 bytes long"),
        (a_span(7, parent_span_id=span_id(7)), "it is its own parent"),
        (a_span(attributes={"langfuse.trace.tags": "a,b"}), "its tags are not an array of strings"),
        (a_span(attributes={"langfuse.trace.tags": [1]}), "its tags are not an array of strings"),
        (
            a_span(attributes={"langfuse.observation.type": "AGENT"}),
            "its observation type 'AGENT' is not one of Langfuse's, in lower case",
        ),
        (
            a_span(attributes={"langfuse.observation.type": None}),
            "its observation type None is not one of Langfuse's, in lower case",
        ),
        (
            a_span(attributes={"langfuse.observation.level": "error"}),
            "its level 'error' is not one of Langfuse's",
        ),
        (
            a_span(attributes={"model": "claude-opus-5-5"}),
            "attribute model is not Langfuse's, and might be interpreted",
        ),
        (
            a_span(attributes={"langfuse.observation.input": {"a": 1}}),
            "attribute langfuse.observation.input has a value that Langfuse does not decode",
        ),
        (
            a_span(attributes=usage("[1]")),
            "its langfuse.observation.usage_details is no JSON object: [1] is not a JSON object",
        ),
        (
            a_span(attributes=usage('{"input":1.5}')),
            (
                "its langfuse.observation.usage_details has input = Decimal('1.5'), "
                "which is not a whole number that is not negative"
            ),
        ),
        (
            a_span(attributes=usage('{"input":-1}')),
            (
                "its langfuse.observation.usage_details has input = -1, "
                "which is not a whole number that is not negative"
            ),
        ),
        (
            a_span(attributes=cost('{"total":"1"}')),
            (
                "its langfuse.observation.cost_details has total = '1', "
                "which is not a number that is not negative"
            ),
        ),
        (
            a_span(attributes=cost('{"total":NaN}')),
            "its langfuse.observation.cost_details is no JSON object: NaN is not JSON",
        ),
        (
            a_span(attributes=cost('{"input":1}')),
            "its langfuse.observation.cost_details has no total, so Langfuse shows no cost at all",
        ),
        (
            a_span(attributes={**GENERATION, "langfuse.observation.usage_details": None}),
            "it has a model and no usage, so Langfuse would estimate tokens and cost",
        ),
        (
            a_span(attributes={"langfuse.observation.model.name": "claude"}),
            "it has langfuse.observation.model.name and is no generation",
        ),
        (
            a_span(attributes={"langfuse.observation.cost_details": '{"total":0}'}),
            "it has langfuse.observation.cost_details and is no generation",
        ),
        (
            a_span(attributes={**COUNTER, "langfuse.observation.type": "agent"}),
            (
                "it has langfuse.observation.usage_details "
                "and is neither a generation nor a counter with a total of 0"
            ),
        ),
        (
            a_span(attributes={**COUNTER, "langfuse.observation.usage_details": '{"commits":1}'}),
            (
                "it has langfuse.observation.usage_details "
                "and is neither a generation nor a counter with a total of 0"
            ),
        ),
    ],
)
async def test_the_double_objects_to_what_langfuse_would_show_wrongly(
    span: Span, sentence: str
) -> None:
    (found,) = await problems_of(span)
    assert found.endswith(f": {sentence}")


async def test_the_double_objects_to_an_attribute_given_twice() -> None:
    span = a_span()
    span.attributes.extend(key_values({"langfuse.session.id": "session-1"}))
    (found,) = await problems_of(span)
    assert found.endswith("attribute langfuse.session.id is there 2 times")


async def test_the_double_objects_to_resources_and_scopes_that_litter_the_metadata() -> None:
    resource = {"service.name": "a", "service.version": "1", "host.name": "laptop"}
    found = await problems_of(a_span(), scope="bridge", resource=resource)
    assert [sentence.partition(": ")[2] for sentence in found] == [
        "resource attribute host.name is copied into the metadata of every observation",
        "scope 'bridge' makes Langfuse copy all attributes into the metadata",
    ]


async def test_the_double_objects_to_spans_of_a_trace_that_disagree() -> None:
    trace_id = bytes(15) + b"\x09"
    child = {"trace_id": trace_id, "parent_span_id": span_id(1)}
    assert await problems_of(
        a_span(1, trace_id=trace_id),
        a_span(2, {"langfuse.session.id": "other", "langfuse.release": "eng"}, **child),
        a_span(3, {"langfuse.trace.tags": ["claude-code"], "langfuse.release": "eng"}, **child),
    ) == [
        (
            f"trace {9:032x}: its spans disagree on langfuse.release: "
            """['"eng"', 'null']"""
        ),
        (
            f"trace {9:032x}: its spans disagree on langfuse.session.id: "
            """['"other"', '"session-1"']"""
        ),
        (
            f"trace {9:032x}: its spans disagree on langfuse.trace.tags: "
            """['["claude-code"]', '["member:alex", "claude-code"]']"""
        ),
    ]


async def test_the_double_objects_to_a_second_root_but_not_to_the_same_one_again() -> None:
    trace_id = bytes(15) + b"\x09"
    first, second = a_span(1, trace_id=trace_id), a_span(2, trace_id=trace_id)
    assert await problems_of(first, first) == []
    (found,) = await problems_of(first, second)
    assert found == f"trace {9:032x} has 2 roots: ['{1:016x}', '{2:016x}']"
    async with FakeLangfuse() as langfuse:
        await post(langfuse, "otel/v1/traces", export_of(first, second), PROTOBUF)
        with pytest.raises(AssertionError, match="has 2 roots"):
            langfuse.check()


async def test_the_double_adds_up_every_generation_it_received_duplicates_too() -> None:
    generation = a_span(1, GENERATION)
    other = a_span(2, {**GENERATION, "langfuse.session.id": "session-2"})
    async with FakeLangfuse() as langfuse:
        body = export_of(generation, generation, other, a_span(3, COUNTER))
        await post(langfuse, "otel/v1/traces", body, PROTOBUF)
    assert langfuse.generation_cost_usd("session-1") == Decimal("0.006172")
    assert langfuse.usage("session-1") == {
        "input": 22,
        "output": 234,
        "input_cached_tokens": 2020,
    }
    assert langfuse.duplicates() == [(f"{1:032x}", f"{1:016x}")]
    assert {key: len(found) for key, found in langfuse.by_trace().items()} == {
        f"{1:032x}": 2,
        f"{2:032x}": 1,
        f"{3:032x}": 1,
    }


async def test_waiting_for_what_never_comes_fails_with_what_did_come() -> None:
    async with FakeLangfuse() as langfuse:
        with pytest.raises(AssertionError, match="0 spans in 0 exports"):
            await langfuse.wait_for(1, timeout_s=0.01)


async def test_what_the_bridge_encodes_is_sound_to_the_double() -> None:
    async with FakeLangfuse() as langfuse:
        await post(langfuse, "otel/v1/traces", encode_export(spans(3)), PROTOBUF)
    langfuse.check()
    assert len(langfuse.spans) == 3


# -------------------------------------------------------------------------- the double: scores

SCORE = {"id": "s1", "name": "commits", "value": 2, "sessionId": "session-1"}


async def test_the_double_takes_one_score_at_a_time_as_4_16_does() -> None:
    async with FakeLangfuse() as langfuse:
        assert await post_json(langfuse, "scores", SCORE) == (200, {"id": "s1"})
        assert (await post_json(langfuse, "scores", [SCORE]))[0] == 400
        assert await post(langfuse, "scores", b"x" * 1_100_000, JSON) == (
            413,
            "Body exceeded 1mb limit",
        )
    assert langfuse.scores == [SCORE]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sessionId": None},
        {"traceId": "t"},
        {"observationId": "o"},
        {"name": ""},
        {"value": None},
        {"value": "2", "dataType": "NUMERIC"},
        {"value": 2, "dataType": "BOOLEAN"},
        {"value": "", "dataType": "TEXT"},
        {"dataType": "COLOUR"},
    ],
)
async def test_the_double_refuses_a_score_that_the_server_refuses(wrong: dict[str, Any]) -> None:
    async with FakeLangfuse() as langfuse:
        assert (await post_json(langfuse, "scores", {**SCORE, **wrong}))[0] == 400
    assert langfuse.scores == []


async def test_a_newer_double_takes_arrays_of_scores_each_judged_by_itself() -> None:
    async with FakeLangfuse(version="4.60.0") as langfuse:
        taken = await post_json(langfuse, "scores", [SCORE, {**SCORE, "id": "s2"}])
        assert taken == (202, {"message": "Accepted"})
        status, answer = await post_json(langfuse, "scores", [SCORE, {"name": "x"}])
        assert status == 207
        assert (answer["accepted"], answer["rejected"], len(answer["errors"])) == (1, 1, 1)
    assert [score["id"] for score in langfuse.scores] == ["s1", "s2", "s1"]


async def test_the_ingestion_route_of_the_double_takes_scores_and_no_traces() -> None:
    envelope = {"type": "score-create", "timestamp": "2026-11-22T10:00:00.000Z"}
    batch = [
        {"id": "e1", **envelope, "body": SCORE},
        {"id": "e2", "type": "trace-create", "timestamp": "2026-11-22T10:00:00.000Z", "body": {}},
        {"id": "e3", **envelope, "body": {"name": "x"}},
    ]
    async with FakeLangfuse() as langfuse:
        status, answer = await post_json(langfuse, "ingestion", {"batch": batch})
        assert (await post_json(langfuse, "ingestion", []))[0] == 400
    assert status == 207
    assert answer["successes"] == [{"id": "e1", "status": 201}]
    assert [(it["id"], it["status"], it["message"]) for it in answer["errors"]] == [
        ("e2", 400, "Event type not accepted"),
        ("e3", 400, "Provide exactly one of traceId, sessionId or datasetRunId"),
    ]
    assert langfuse.scores == [{**SCORE, "timestamp": "2026-11-22T10:00:00.000Z"}]


# ----------------------------------------------------------------------- the double: a process


async def test_the_double_runs_as_a_process_and_leaves_what_it_received(tmp_path: Path) -> None:
    dump = tmp_path / "received.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, FAKES, "--dump", dump, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        url = line.decode().split()[-1]
        target = LangfuseTarget(base_url=url, public_key="pk-lf-test", secret_key="sk-lf-test")  # noqa: S106 - the double's
        async with connect(target) as client:
            await post_twice(client)
        received = ReceivedSpans.from_dump(dump)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert [(span.export, int(span.span_id, 16)) for span in received.spans] == [(1, 1), (2, 1)]
    assert received.duplicates() == [(f"{1:032x}", f"{1:016x}")]
    received.check()


async def post_twice(client: LangfuseClient) -> None:
    for _ in range(2):
        assert (await client.post_spans(export_of(a_span()))).status == 200
