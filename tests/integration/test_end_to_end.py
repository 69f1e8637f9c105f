"""The whole bridge as it is run: recorded bodies in, a Langfuse double out, processes between."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.fakes import COST, USAGE, ReceivedSpan, ReceivedSpans, number_object
from tests.processes import OPEN_TURNS, Bridge, Langfuse, command, until
from tests.recordings import (
    Body,
    as_protobuf,
    capture,
    captures,
    cost_usd,
    count,
    records,
    sessions,
    usage,
)

SUBAGENT = capture("2.1.330/e-subagent")


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


def assert_sums(received: ReceivedSpans, bodies: Sequence[Body]) -> None:
    """Per session, cost and tokens are those of the records, to the last digit."""
    costs, tokens = cost_usd(bodies), usage(bodies)
    spans = [span for span in received.spans if span.kind == "generation"]
    assert {each: cost_of(spans, each) for each in costs} == costs
    assert {each: usage_of(spans, each) for each in tokens} == tokens


def cost_of(generations: Sequence[ReceivedSpan], session: str | None) -> Decimal:
    return sum(
        (
            Decimal(number_object(generation.attributes.get(COST, '{"total":0}'))["total"])
            for generation in generations
            if generation.session_id == session
        ),
        Decimal(0),
    )


def usage_of(generations: Sequence[ReceivedSpan], session: str | None) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for generation in generations:
        if generation.session_id == session:
            sums.update(number_object(generation.attributes.get(USAGE, "{}")))
    return dict(+sums)


def assert_one_root_each(received: ReceivedSpans) -> None:
    roots = {
        trace_id: sum(span.parent_id is None for span in spans)
        for trace_id, spans in received.by_trace().items()
    }
    assert {trace_id: n for trace_id, n in roots.items() if n != 1} == {}


def test_every_recorded_session_arrives_whole_and_once(tmp_path: Path, langfuse: Langfuse) -> None:
    bodies = [body for name in captures() for body in capture(name)]
    counts = count(bodies)

    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*bodies)
        health = bridge.wait_until_settled()

    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert received.orphans() == []
    assert_one_root_each(received)
    assert_sums(received, bodies)
    ended = sum(health["outcomes"].values())
    assert health["accepted"] == sum(counts.values()) == ended + health["held"]
    assert ended >= counts["logs"]
    assert (health["quarantined"], health["dead_lettered"], health["pending"]) == (0, 0, 0)
    assert health["delivered"] == len(received.spans)
    assert health["last_delivery"] is not None
    assert (health["status"], health["langfuse"]) == ("ok", "ok")


def test_every_prompt_that_has_an_id_is_a_trace_of_its_own(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    bodies = [body for name in captures() for body in capture(name)]
    prompts = {
        (record["session.id"], record["prompt.id"])
        for record in records(bodies)
        if "prompt.id" in record and "session.id" in record
    }

    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*bodies)
        bridge.wait_until_settled()

    key = "langfuse.trace.metadata.prompt_id"
    spans = langfuse.received().spans
    traces = {(s.session_id, s.attributes[key], s.trace_id) for s in spans if key in s.attributes}
    assert {(session, prompt) for session, prompt, _ in traces} >= prompts
    assert len({trace_id for *_, trace_id in traces}) == len(traces)


def test_the_same_records_in_another_encoding_are_recognised_as_the_same(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    (plain,) = [body for body in SUBAGENT if body.signal == "logs"]
    gzipped = replace(plain, gzipped=True, data=gzip.compress(plain.data))
    protobuf = as_protobuf(plain)

    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(plain, gzipped, protobuf)
        bridge.wait_until_settled()
        spans = len(langfuse.received().spans)
        bridge.post(protobuf, plain, gzipped)
        health = bridge.wait_until_settled()

    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert_sums(received, SUBAGENT)
    assert len(received.spans) == spans
    assert health["accepted"] == 6 * count([plain])["logs"]
    assert health["outcomes"]["duplicate"] == 5 * count([plain])["logs"]


def test_without_keys_everything_is_kept_and_goes_out_once_there_are_some(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    (session,) = sessions(SUBAGENT)
    with Bridge(tmp_path) as bridge:
        bridge.post(*SUBAGENT)
        local = bridge.wait_until_assembled()
        listed = command("sessions", "--json", cwd=tmp_path, **bridge.environment)
        shown = command("show", session[:8], "--json", cwd=tmp_path, **bridge.environment)
        assert bridge.stop() == 0
        bridge.langfuse_url = langfuse.url
        bridge.start()
        health = bridge.wait_until_settled()

    assert local["langfuse"] == "local"
    assert local["delivered"] == 0
    (row,) = json.loads(listed.stdout)
    (trace,) = json.loads(shown.stdout)
    assert row["session_id"] == session
    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert_sums(received, SUBAGENT)
    assert len(received.spans) == local["pending"] == health["delivered"]
    assert {span.span_id for span in received.spans} == {o["id"] for o in trace["observations"]}
    assert health["langfuse"] == "ok"


def test_keys_are_believed_before_anything_was_delivered(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path) as bridge:
        assert bridge.health()["langfuse"] == "local"
        assert bridge.stop() == 0
        bridge.langfuse_url = langfuse.url
        bridge.start()
        assert bridge.health()["langfuse"] == "ok"


def test_a_langfuse_that_is_down_at_the_start_gets_everything_later(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    langfuse.stop()

    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*SUBAGENT)
        until(lambda: bridge.health()["langfuse"] == "unreachable", "the trouble is told")
        assert bridge.health()["pending"] > 0
        langfuse.start()
        health = bridge.wait_until_settled()

    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert_sums(received, SUBAGENT)
    assert (health["langfuse"], health["delivered"]) == ("ok", len(received.spans))


def test_answers_do_not_wait_for_a_langfuse_that_hangs(tmp_path: Path, langfuse: Langfuse) -> None:
    bodies = [body for name in captures()[:12] for body in capture(name)]

    with Bridge(tmp_path, langfuse.url) as bridge:
        langfuse.freeze()
        bridge.post(*SUBAGENT)
        until(lambda: bridge.health()["pending"], "something is on its way")
        bridge.post(*bodies)
        assert bridge.wait_until_assembled()["delivered"] == 0
        langfuse.thaw()
        bridge.wait_until_settled()

    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert_sums(received, [*SUBAGENT, *bodies])


def test_open_turns_outlive_a_restart_and_get_one_root(tmp_path: Path, langfuse: Langfuse) -> None:
    bodies = [body for body in capture("2.1.330/b-tools-slow") if body.signal == "logs"]
    before, after = bodies[: len(bodies) // 2], bodies[len(bodies) // 2 :]

    with Bridge(tmp_path, langfuse.url, **OPEN_TURNS) as bridge:
        bridge.post(*before)
        until(lambda: langfuse.received_bytes, "the first observations are there")
        assert bridge.stop() == 0
        bridge.start()
        bridge.post(*after)
        until(lambda: bridge.health()["delivered"] > 0, "it goes on")
        assert bridge.stop() == 0
        assert all(span.parent_id for span in langfuse.received().spans), "a root was made early"
        bridge.settings |= {"quiet_s": 0.2, "idle_s": 0.2}
        bridge.start()
        bridge.wait_until_settled()

    received = langfuse.received()
    received.check()
    received.assert_no_duplicates()
    assert received.orphans() == []
    assert_one_root_each(received)
    assert_sums(received, bodies)
