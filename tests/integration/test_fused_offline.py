"""Logs and spans become one tree, whichever of them come and however late.

Captures are assembled from several mixes of their signals, and what comes out is compared with
the raw records and spans, read with the OTLP classes alone, and with one another.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

import msgspec
import pytest

from bridge.model.requests import ExportRequest, Signal
from tests.golden.fused.signals import (
    FUSED,
    SPAN_SETTLE_MS,
    Spanned,
    assemble_fused,
    capture_spans,
    items_of,
    plain,
    requests_of,
    span_batch,
)
from tests.pipeline import (
    ALL_CAPTURES,
    SETTLE_MS,
    Assembly,
    Json,
    Logged,
    Seen,
    assemble,
    batch,
    by_trace,
    capture_records,
    pipeline,
    result,
)

START_MS = 1_795_400_000_000
USAGE = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "input_cached_tokens",
    "cache_creation_tokens": "input_cache_creation",
}
SHARED_AGENTS = {"2.1.126/e-subagent"}
"""Where records alone cannot tell parallel agents apart."""
WITHOUT_TURN_SPANS = {capture for capture in FUSED if capture.startswith("2.0.76/")}

Money = dict[str | None, tuple[Decimal, dict[str, int]]]


@cache
def fused(capture: str) -> Assembly:
    """What comes of all signals as they came."""
    return assemble_fused(capture)


@cache
def logs_alone(capture: str) -> Assembly:
    """What comes of them without the spans."""
    return assemble_fused(capture, Signal.LOGS, Signal.METRICS)


@cache
def spans_alone(capture: str) -> Assembly:
    """What comes of the spans, from a client that exports nothing else."""
    return assemble_fused(capture, Signal.TRACES)


# --- one tree ------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", [c for c in FUSED if c not in SHARED_AGENTS])
def test_logs_alone_give_the_same_tree(capture: str) -> None:
    """Ids, kinds, names, places, levels, messages, tokens and cost: nothing of them differs."""
    assert _shape(logs_alone(capture)) == _shape(fused(capture))


@pytest.mark.parametrize("capture", [c for c in FUSED if c not in SHARED_AGENTS])
def test_logs_alone_lack_only_what_records_do_not_tell(capture: str) -> None:
    without = {span.id: span for span in logs_alone(capture).of_prompts}
    for span in fused(capture).of_prompts:
        twin = without[span.id]
        differing = {
            key.removeprefix("langfuse.")
            for key in span.attributes.keys() | twin.attributes.keys()
            if span.attributes.get(key) != twin.attributes.get(key)
        }
        assert differing <= _allowed(span, twin), (span.type, span.name)
        _assert_times_are_finer(span, twin)


def _allowed(span: Seen, twin: Seen) -> set[str]:
    """What may differ between an observation with and without its span, and why."""
    own = "observation.metadata."
    always = {
        "trace.metadata.otel_trace_id",  # old records do not name it
        f"{own}otel_trace_id",
        f"{own}otel_span_id",
    }
    told = {key for key in span.metadata if key not in twin.metadata}  # only ever more
    always |= {own + key for key in told}
    if span.type == "agent":
        return always | {f"{own}closed_by"}  # a turn's span is a reason of its own
    if span.type == "generation":
        return always | {
            "observation.model.parameters",  # effort and speed, which old records lack
            "observation.completion_start_time",  # likewise
        }
    if span.type == "tool":
        more = {"observation.output"} if twin.output is None else set()  # tool.output
        return always | more | ({"observation.input"} if twin.input is None else set())
    return always | {f"{own}occurred_at"}  # the turn's span has room for more events


def _assert_times_are_finer(span: Seen, twin: Seen) -> None:
    """Records know the end of a request's last attempt, and no more of its begin than that."""
    retried = span.metadata.get("attempts", 1) > 1
    apart_ms = 2_000 if retried else 250
    if span.parent_id is None:
        apart_ms = 1_500  # the span of a turn begins before its prompt's record and ends later
    assert abs(span.start_ms - twin.start_ms) <= apart_ms
    assert abs(span.end_ms - twin.end_ms) <= apart_ms


def test_parallel_agents_that_records_cannot_tell_apart_are_told_apart_by_spans() -> None:
    (capture,) = SHARED_AGENTS
    with_spans, without = fused(capture), logs_alone(capture)

    def agents(made: Assembly) -> list[Seen]:
        return [s for s in made.of_prompts if s.type == "agent" and s.parent_id]

    assert [len(s.metadata.get("parallel_calls", [])) for s in agents(without)] == [2, 0]
    assert [len(s.metadata.get("parallel_calls", [])) for s in agents(with_spans)] == [0, 0]
    below = [
        sorted(s.name for s in with_spans.of_prompts if s.parent_id == agent.id)
        for agent in agents(with_spans)
    ]
    assert sorted(below) == [
        ["Bash", "claude-sonnet-4-6", "claude-sonnet-4-6"],
        ["Read", "claude-sonnet-4-6", "claude-sonnet-4-6"],
    ]
    others = [_shape(made, whole=False) for made in (with_spans, without)]
    assert others[0] == others[1]


def test_a_client_without_traces_gives_the_same_tree_as_one_with_them() -> None:
    """Two runs of the same prompt: ids, times and tokens of the fake model differ in nothing."""
    with_spans, without = (
        sorted(_named(made)) for made in (fused("2.1.330/a-json-full"), _without_traces())
    )

    assert with_spans == without


def _without_traces() -> Assembly:
    return assemble_fused("2.1.330/a-json-notraces")


def _named(made: Assembly) -> Iterator[tuple[object, ...]]:
    by_id = {span.id: span for span in made.of_prompts}
    for span in made.of_prompts:
        usage = tuple(sorted(span.usage.items()))
        yield span.type, span.name, _above(span, by_id), span.level, usage, str(span.cost)


def _shape(made: Assembly, *, whole: bool = True) -> Counter[tuple[object, ...]]:
    by_id = {span.id: span for span in made.of_prompts}
    return Counter(
        (
            span.id,
            span.type,
            span.name,
            _above(span, by_id) if whole else None,
            span.level,
            span.status,
            tuple(sorted(span.usage.items())),
            span.cost,
        )
        for span in made.of_prompts
        if whole or span.type != "agent"
    )


def _above(span: Seen, by_id: dict[str, Seen]) -> tuple[str, ...]:
    names = []
    while span.parent_id:
        span = by_id[span.parent_id]
        names.append(f"{span.type} {span.name}")
    return tuple(names)


# --- every fact of the spans ---------------------------------------------------------------------


@pytest.mark.parametrize("capture", FUSED)
def test_requests_have_the_times_attempts_and_stop_reason_of_their_spans(capture: str) -> None:
    made = Counter(
        (s.start_ms, s.end_ms, s.metadata.get("attempts"), s.metadata.get("stop_reason"), s.failed)
        for s in fused(capture).of_prompts
        if s.type == "generation"
    )
    told = Counter(
        (*_times(span), told["attempt"], told.get("stop_reason"), not told["success"])
        for span, told in _spans(capture, "llm_request")
    )

    if capture == "2.0.76/f-resume":  # two of them are in a session that nothing else tells of
        assert len(made - told) == len(told - made) == 2
    else:
        assert made == told


@pytest.mark.parametrize("capture", FUSED)
def test_tools_ran_and_waited_as_long_as_their_spans_say(capture: str) -> None:
    waits = {
        span.message.parent_span_id: span for span, _ in _spans(capture, "tool.blocked_on_user")
    }
    runs = {span.message.parent_span_id: span for span, _ in _spans(capture, "tool.execution")}
    told = Counter(
        (
            *(_times(runs[span.message.span_id]) if span.message.span_id in runs else (None, None)),
            _length_ms(waits[span.message.span_id]),
            _output(span),
        )
        for span, _ in _spans(capture, "tool")
    )
    made = Counter(
        (
            *((s.start_ms, s.end_ms) if s.level != "WARNING" else (None, None)),
            s.metadata["waited_ms"],
            s.output if s.level == "DEFAULT" else None,
        )
        for s in fused(capture).of_prompts
        if s.type == "tool"
    )

    assert made == told


@pytest.mark.parametrize("capture", sorted(set(FUSED) - WITHOUT_TURN_SPANS))
def test_a_turn_lasts_as_long_as_its_span(capture: str) -> None:
    told = Counter(_times(span) for span, _ in _spans(capture, "interaction"))
    roots = [s for s in fused(capture).of_prompts if s.parent_id is None]
    closed = [s for s in roots if s.metadata["closed_by"] == "interaction"]

    assert Counter((s.start_ms, s.end_ms) for s in closed) == told
    killed = capture == "2.1.330/j-kill9"
    assert [s.metadata["closed_by"] for s in roots if s not in closed] == ["idle"] * killed


def _spans(capture: str, name: str) -> list[tuple[Spanned, Json]]:
    return [(span, span.attributes) for span in capture_spans(capture) if span.name == name]


def _times(span: Spanned) -> tuple[int, int]:
    message = span.message
    return message.start_time_unix_nano // 10**6, message.end_time_unix_nano // 10**6


def _length_ms(span: Spanned) -> int:
    start_ms, end_ms = _times(span)
    return end_ms - start_ms


def _output(span: Spanned) -> str | None:
    for event in span.message.events:
        told = {pair.key: plain(pair.value) for pair in event.attributes}
        if event.name == "tool.output":
            return told.get("output") or told.get("content") or told.get("diff") or None
    return None


# --- sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", FUSED)
def test_cost_and_tokens_of_a_session_are_those_of_its_requests(capture: str) -> None:
    for made in (fused(capture), logs_alone(capture)):
        assert _sums(made.of_prompts) == _sums_of_records(capture)
        _assert_sound(made)


@pytest.mark.parametrize("capture", FUSED)
@pytest.mark.parametrize("late_ms", [SETTLE_MS + 500, SPAN_SETTLE_MS - 500])
@pytest.mark.parametrize("first", [Signal.LOGS, Signal.TRACES])
def test_one_signal_may_be_later_than_the_settle_time(
    capture: str, late_ms: int, first: Signal
) -> None:
    made = assemble(_one_after_the_other(capture, first, late_ms))

    assert _sums(made.of_prompts) == _sums_of_records(capture)
    if capture not in SHARED_AGENTS:  # whose records leave without waiting for unpromised spans
        assert _shape(made) == _shape(fused(capture))
    assert "duplicate" not in made.outcomes
    _assert_sound(made)


@pytest.mark.parametrize("capture", FUSED)
def test_spans_later_than_the_span_settle_time_are_counted_and_add_nothing(capture: str) -> None:
    logs = assemble([_logs(capture)])
    made = assemble(_one_after_the_other(capture, Signal.LOGS, 3 * SPAN_SETTLE_MS))

    assert _sums(made.of_prompts) == _sums_of_records(capture)
    assert {s.id for s in made.of_prompts} == {s.id for s in logs.of_prompts}
    spans = made.accepted - logs.accepted
    assert made.outcomes.get("late", 0) > 0
    gained = Counter(made.outcomes)
    gained.subtract(logs.outcomes)
    assert sum(gained.values()) == spans
    _assert_sound(made)


@pytest.mark.parametrize("capture", FUSED)
def test_records_later_than_their_spans_are_waited_for_where_records_are_sent_at_all(
    capture: str,
) -> None:
    """The session before this one has sent records; so this one's may only be late."""
    earlier = msgspec.structs.replace(_another_session(capture), received_at_ms=START_MS - 60_000)
    before = _sums(assemble([earlier]).of_prompts)
    made = assemble([earlier, *_one_after_the_other(capture, Signal.TRACES, 4 * SPAN_SETTLE_MS)])

    assert _sums(made.of_prompts) == _sums_of_records(capture) | before
    _assert_sound(made)


def _another_session(capture: str) -> ExportRequest:
    """A prompt of a client of the same installation."""
    records = capture_records(capture)
    prompt = next(r for r in records if r.name == "user_prompt")
    pairs = [
        pair | ({"value": {"stringValue": "another"}} if pair["key"] in _OWN_IDS else {})
        for pair in prompt.record["attributes"]
    ]
    own = {"attributes": pairs} | ({"traceId": "f" * 32} if "traceId" in prompt.record else {})
    return batch([Logged(prompt.resource, prompt.scope, prompt.record | own, START_MS)])


_OWN_IDS = {"session.id", "prompt.id"}


def _one_after_the_other(capture: str, first: Signal, late_ms: int) -> list[ExportRequest]:
    halves = [_logs(capture), _traces(capture)]
    if first is Signal.TRACES:
        halves.reverse()
    return [halves[0], msgspec.structs.replace(halves[1], received_at_ms=START_MS + late_ms)]


def _logs(capture: str) -> ExportRequest:
    return batch(capture_records(capture), START_MS)


def _traces(capture: str) -> ExportRequest:
    return span_batch(capture_spans(capture), START_MS)


def _sums(spans: Sequence[Seen]) -> Money:
    found: Money = {}
    for span in spans:
        if span.type == "generation":
            session = span.attributes.get("langfuse.session.id")
            cost, usage = found.get(session, (Decimal(), {}))
            told = {key: count for key, count in span.usage.items() if count}
            found[session] = cost + (span.cost or 0), _added(usage, told)
    return {key: value for key, value in found.items() if value[1]}


def _sums_of_records(capture: str) -> Money:
    found: Money = {}
    for record in capture_records(capture):
        if record.name == "api_request":
            told = record.attributes
            cost, usage = found.get(told.get("session.id"), (Decimal(), {}))
            cost += _cost(told)
            found[told.get("session.id")] = cost, _added(usage, _usage(told))
    return found


def _cost(told: Json) -> Decimal:
    if "cost_usd_micros" in told:
        return Decimal(told["cost_usd_micros"]) / 1_000_000
    return round(Decimal(str(told["cost_usd"])), 12)


def _usage(told: Json) -> dict[str, int]:
    return {ours: n for theirs, ours in USAGE.items() if (n := int(told.get(theirs) or 0))}


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def _assert_sound(made: Assembly) -> None:
    """Each observation once, under a parent that is there; one root; each record one ending."""
    assert made.accepted == sum(made.outcomes.values())
    assert len({span.id for span in made.spans}) == len(made.spans)
    for spans in by_trace(made.spans).values():
        ids = {span.id for span in spans}
        assert sum(span.parent_id is None for span in spans) == 1
        assert all(span.parent_id in ids for span in spans if span.parent_id)
        assert all(span.trace_facts == spans[0].trace_facts for span in spans)


# --- spans alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", FUSED)
def test_spans_alone_tell_each_request_once_and_leave_its_cost_to_langfuse(capture: str) -> None:
    made = spans_alone(capture)
    told: Money = {}
    for _, attributes in _spans(capture, "llm_request"):
        session = attributes.get("session.id")
        usage = _added(told.get(session, (Decimal(), {}))[1], _usage(attributes))
        told[session] = Decimal(), usage

    assert _sums(made.of_prompts) == {key: value for key, value in told.items() if value[1]}
    generations = [s for s in made.of_prompts if s.type == "generation"]
    assert {s.cost for s in generations if not s.failed} <= {None}
    assert {s.cost for s in generations if s.failed} <= {Decimal()}
    assert len(generations) == len(_spans(capture, "llm_request"))
    assert "late" not in made.outcomes
    _assert_sound(made)


def test_spans_alone_know_when_the_first_token_of_a_request_that_was_retried_came() -> None:
    """A client's time to the first token is that of the last attempt."""
    capture, name = "2.1.330/d-429-then-ok", "langfuse.observation.completion_start_time"
    alone, with_records = (
        next(s for s in made.of_prompts if s.type == "generation")
        for made in (spans_alone(capture), fused(capture))
    )
    came = [datetime.fromisoformat(str(span.attributes[name])) for span in (alone, with_records)]

    assert alone.metadata["attempts"] == 2
    assert abs(came[0] - came[1]) < timedelta(milliseconds=20)


@pytest.mark.parametrize("capture", FUSED)
def test_spans_alone_tell_each_tool_once(capture: str) -> None:
    made = [s for s in spans_alone(capture).of_prompts if s.type == "tool"]
    waits = [_length_ms(span) for span, _ in _spans(capture, "tool.blocked_on_user")]

    assert len(made) == len(_spans(capture, "tool"))
    assert Counter(s.metadata.get("waited_ms") for s in made) == Counter(waits)


@pytest.mark.parametrize("capture", sorted(set(FUSED) - WITHOUT_TURN_SPANS))
def test_spans_alone_give_a_trace_for_each_prompt_with_its_own_root(capture: str) -> None:
    traces = by_trace(spans_alone(capture).of_prompts).values()
    roots = [spans[0] for spans in traces if spans[0].metadata["closed_by"] != "idle"]
    roots.sort(key=lambda root: root.start_ms)
    turns = sorted(_spans(capture, "interaction"), key=lambda item: _times(item[0]))

    assert [(r.start_ms, r.end_ms) for r in roots] == [_times(span) for span, _ in turns]
    for root, (_, told) in zip(roots, turns, strict=True):
        prompt, length = told["user_prompt"], told["user_prompt_length"]
        assert root.input == (
            prompt if prompt != "<REDACTED>" else f"[prompt: {length} characters]"
        )
        assert root.output


@pytest.mark.parametrize("capture", sorted(WITHOUT_TURN_SPANS))
def test_spans_alone_of_clients_without_turn_spans_give_a_trace_for_each_session(
    capture: str,
) -> None:
    """Not one for each request and tool, each of which is a trace of its own there."""
    sessions = {told["session.id"] for span in capture_spans(capture) for told in [span.attributes]}
    traces = by_trace(spans_alone(capture).of_prompts)

    assert len(traces) == len(sessions)
    assert {spans[0].attributes["langfuse.session.id"] for spans in traces.values()} == sessions


@pytest.mark.parametrize("capture", FUSED)
def test_spans_alone_know_whose_they_are(capture: str) -> None:
    keys = ("langfuse.user.id", "langfuse.trace.tags", "langfuse.session.id", "langfuse.version")

    def whose(made: Assembly) -> set[str]:
        return {str([span.attributes.get(key) for key in keys]) for span in made.of_prompts}

    if capture != "2.0.76/f-resume":  # has a session that only spans tell of
        assert whose(spans_alone(capture)) == whose(fused(capture))


@pytest.mark.parametrize(
    "capture",
    ["2.1.126/e-subagent", "2.1.207/e-subagent", "2.1.330/e-subagent", "2.1.330/i-ext"],
)
def test_spans_alone_nest_the_work_of_agents_as_records_do(capture: str) -> None:
    assert Counter(_line(s) for s in _named(spans_alone(capture)) if s[0] != "event") == Counter(
        _line(s) for s in _named(fused(capture)) if s[0] != "event"
    )


def _line(named: tuple[object, ...]) -> tuple[object, ...]:
    return named[:-1]  # all but the cost


@pytest.mark.parametrize(
    "capture", ["2.1.126/e-subagent", "2.1.207/e-subagent", "2.1.330/e-subagent"]
)
def test_spans_alone_give_each_parallel_agent_its_own_work(capture: str) -> None:
    """Both agents are called alike and are of one type, so that names tell nothing."""
    assert _work_of_agents(spans_alone(capture)) == _work_of_agents(fused(capture))


def test_spans_alone_give_an_agent_that_only_its_requests_name_their_tools_too() -> None:
    """Between 2.1.126 and 2.1.156 only requests had ``agent_id``; those of 2.1.126 get one here."""
    capture = "2.1.126/e-subagent"
    spans = capture_spans(capture)
    calls = {each.message.span_id for each in spans if each.attributes.get("tool_name") == "Agent"}
    named = [_naming_its_agent(each, calls) for each in spans]

    assert _work_of_agents(assemble([span_batch(named, START_MS)])) == _work_of_agents(
        fused(capture)
    )


def _naming_its_agent(told: Spanned, calls: set[bytes]) -> Spanned:
    span = told.message
    if told.name == "llm_request" and span.parent_span_id in calls:
        span.attributes.add(key="agent_id").value.string_value = f"a{span.parent_span_id.hex()}"
    return replace(told, span=span.SerializeToString())


def _work_of_agents(made: Assembly) -> Counter[tuple[tuple[str, str], ...]]:
    """Names and tokens of what each sub-agent did."""
    agents = [span.id for span in made.of_prompts if span.type == "agent" and span.parent_id]
    below: dict[str, list[tuple[str, str]]] = {agent: [] for agent in agents}
    for span in made.of_prompts:
        if span.parent_id in below:
            below[span.parent_id].append((span.name, str(sorted(span.usage.items()))))
    return Counter(tuple(sorted(work)) for work in below.values())


# --- a promised span -----------------------------------------------------------------------------


@pytest.mark.parametrize("capture", ["2.1.207/b-tools-full", "2.1.330/b-tools-full"])
@pytest.mark.parametrize("span_settle_s", [5, 15])
def test_a_promised_span_that_never_comes_delays_by_its_settle_time_only(
    capture: str, span_settle_s: int
) -> None:
    with pipeline(span_settle_s=span_settle_s) as made:
        made.post(_logs(capture))
        made.work(START_MS)
        due_ms = START_MS + span_settle_s * 1000
        made.work(due_ms - 1)
        early = {span.type for span in made.spans()}
        made.work(due_ms)
        work = Counter(span.type for span in made.spans())
        made.finish(due_ms)

        assert not early & {"generation", "tool"}
        assert work["generation"] == sum(r.name == "api_request" for r in capture_records(capture))
        assert _sums(result(made).of_prompts) == _sums_of_records(capture)


def test_records_that_promise_no_span_wait_for_none() -> None:
    with pipeline() as made:
        made.post(_logs("2.1.330/a-json-notraces"))
        made.work(START_MS)
        made.work(START_MS + SETTLE_MS)

        assert "generation" in {span.type for span in made.spans()}


@pytest.mark.parametrize("capture", [c for c in FUSED if c > "2.1.2" and "kill" not in c])
def test_a_turn_whose_span_has_come_needs_no_silence_to_be_closed(capture: str) -> None:
    with pipeline() as made:
        made.post(_logs(capture), _traces(capture))
        made.work(START_MS)
        made.work(START_MS + SETTLE_MS)
        made.work(START_MS + 2 * SETTLE_MS)  # start-up events find their turn after one
        closed = [s for s in made.spans() if s.parent_id is None]

        assert len(closed) == sum(r.name == "user_prompt" for r in capture_records(capture))


def test_a_root_waits_for_the_record_of_its_answer() -> None:
    """The spans of a turn, its own among them, came well before its last records."""
    records, spans = capture_records("2.1.330/f-resume"), capture_spans("2.1.330/f-resume")
    asked = next(i for i, r in enumerate(records) if r.name == "api_request")
    first, rest = records[:asked], records[asked:]
    with pipeline() as made:
        made.post(batch(first, START_MS), span_batch(spans, START_MS))
        made.work(START_MS)
        made.work(START_MS + SETTLE_MS + 1000)
        open_still = [s for s in made.spans() if s.parent_id is None]
        made.post(batch(rest, START_MS + SPAN_SETTLE_MS - 1000))
        made.work(START_MS + SPAN_SETTLE_MS - 1000)
        made.finish(START_MS + SPAN_SETTLE_MS)
        whole = result(made)

    assert open_still == []
    assert [spans[0].output for spans in by_trace(whole.of_prompts).values()] == [
        "First answer.",
        "Second answer.",
        "Third answer.",
    ]
    assert _sums(whole.of_prompts) == _sums_of_records("2.1.330/f-resume")


def test_spans_that_never_get_their_records_are_not_kept_for_ever() -> None:
    """A session's logs exporter dies between two prompts; the second has spans only."""
    capture = "2.1.330/f-resume"
    records, spans = capture_records(capture), capture_spans(capture)
    prompts = [r for r in records if r.name == "user_prompt"]
    early = [
        r for r in records if r.attributes.get("prompt.id") == prompts[0].attributes["prompt.id"]
    ]
    made = assemble([batch(early, START_MS), span_batch(spans, START_MS)])

    assert made.held == 0
    roots = [spans[0] for spans in by_trace(made.of_prompts).values()]
    assert [r.input for r in roots] == ["First question", "Second question", "Third question"]
    _assert_sound(made)


def test_no_text_of_a_prompt_or_tool_leaves_under_the_metadata_policy() -> None:
    for capture in FUSED:
        texts = set(_texts(capture))
        made = assemble_fused(capture, content="metadata")

        sent = b"\0".join(span.span for span in made.spans)
        found = [text for text in texts if text.encode() in sent]
        assert not found, (capture, found)
        assert _sums(made.of_prompts) == _sums_of_records(capture)


CONTENT = {
    "prompt", "response", "user_prompt", "tool_parameters", "tool_input", "full_command",
    "file_path", "output", "content", "diff", "bash_command", "error", "command", "new_context",
    "description", "body",
}  # fmt: skip
"""Attributes of records, spans and span events that quote."""


def _texts(capture: str) -> Iterator[str]:
    for item in items_of(requests_of(capture)):
        told = [item.attributes]
        if isinstance(item, Spanned):
            events = item.message.events
            told += [{pair.key: plain(pair.value) for pair in e.attributes} for e in events]
        for attributes in told:
            for key in CONTENT & attributes.keys():
                text = str(attributes[key])
                if len(text) > 8 and (" " in text or "/" in text):
                    yield text


def test_what_is_shown_of_captures_without_spans_is_what_it_was() -> None:
    for capture in set(ALL_CAPTURES) - set(FUSED):
        signals = {request.signal for request in requests_of(capture)}
        assert Signal.TRACES not in signals
        assert assemble_fused(capture).outcomes.get("late", 0) == 0
