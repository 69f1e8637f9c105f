"""Whole sessions, events and metrics, through the real inbox, assembler and ledger.

Time is told, nothing waits. What comes out is compared with sums over the raw files, made with
plain JSON and ``Decimal``.
"""

import json
import random
from collections import Counter, defaultdict
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from bridge.model.requests import ExportRequest, Signal
from bridge.model.views import NO_SESSION
from bridge.store.scores import UPDATE_EVERY_MS
from bridge.terminal import choice
from tests.measurements import (
    CUMULATIVE,
    MANY,
    SESSION,
    START_MS,
    Sessions,
    Sum,
    a_log,
    a_prompt,
    a_request,
    active,
    all_requests,
    arriving,
    assembled,
    capture_points,
    cost,
    counted,
    exploded,
    is_summary,
    lines,
    logs_request,
    metrics_request,
    ms,
    outcome,
    play,
    replaced,
    totals_by_hand,
)
from tests.pipeline import ALL_CAPTURES, IDLE_MS, SETTLE_MS, Pipeline, Seen, pipeline

SESSION_SCORES = {
    "active_s": ("claude_code.active_time.total", {}),
    "added": ("claude_code.lines_of_code.count", {"type": "added"}),
    "removed": ("claude_code.lines_of_code.count", {"type": "removed"}),
    "commits": ("claude_code.commit.count", {}),
    "prs": ("claude_code.pull_request.count", {}),
}
TOKENS = {
    "input": "input",
    "output": "output",
    "cacheRead": "input_cached_tokens",
    "cacheCreation": "input_cache_creation",
}
GHOST_CAPTURES = ["2.1.126/f-resume", "2.1.330/f-resume"]
TWELVE_DECIMALS = Decimal("1e-12")
DAY_S = 86_400
HOUR_S = 3_600

_CAPTURES: dict[str, Sessions] = {}


def of_capture(capture: str) -> Sessions:
    """What comes of a capture as it came."""
    if capture not in _CAPTURES:
        _CAPTURES[capture] = assembled(all_requests(capture))
    return _CAPTURES[capture]


def nonzero(values: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in values.items() if value}


def work_of(made: Sessions) -> list[Seen]:
    """All spans but those of summaries."""
    return [span for span in made.assembly.spans if not is_summary(span)]


# --- sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_session_scores_are_the_sums_over_the_raw_points(capture: str) -> None:
    points = capture_points(capture)
    by_hand = {
        (session, name): float(total)
        for name, (metric, wanted) in SESSION_SCORES.items()
        for session, total in totals_by_hand(points, metric, **wanted).items()
        if session is not None
    }
    told = of_capture(capture).session_scores

    assert {key: value for key, value in told.items() if key[1] != "tool_errors"} == by_hand


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_summaries_tell_the_metrics_sums_and_no_gap_to_the_events(capture: str) -> None:
    """Cost and tokens by metrics, by hand; that they equal those by events is part of it."""
    points = capture_points(capture)
    expected = {
        session: usd.quantize(TWELVE_DECIMALS)
        for session, usd in totals_by_hand(points, "claude_code.cost.usage").items()
    }
    by_metrics: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    by_events: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    for root, *_ in of_capture(capture).summaries:
        session = root.attributes.get("langfuse.session.id")
        by_metrics[session] += sum(
            Decimal(str(v)) for k, v in root.metadata.items() if k.startswith("metrics.cost_usd")
        )
        by_events[session] += Decimal(str(root.metadata.get("cost_usd", 0)))
        assert not [key for key in root.metadata if key.startswith("cost_gap")]
    assert nonzero(by_metrics) == nonzero(expected) == nonzero(by_events)


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_summaries_tell_the_tokens_of_each_type(capture: str) -> None:
    points = capture_points(capture)
    for theirs, ours in TOKENS.items():
        by_hand = totals_by_hand(points, "claude_code.token.usage", type=theirs)
        told: Counter[str | None] = Counter()
        for root, *_ in of_capture(capture).summaries:
            session = root.attributes.get("langfuse.session.id")
            told[session] += root.metadata.get(f"tokens.{ours}", 0)
        assert nonzero(told) == nonzero(by_hand)


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_summaries_change_nothing_about_the_prompts(capture: str) -> None:
    """Generations, tools and roots are byte for byte those that the events alone give."""
    logs = [r for r in all_requests(capture) if r.signal is Signal.LOGS]
    with_metrics, alone = of_capture(capture), assembled(logs)

    assert sorted(s.span for s in work_of(with_metrics)) == sorted(s.span for s in work_of(alone))


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_summaries_cost_nothing_and_use_no_tokens(capture: str) -> None:
    for summary in of_capture(capture).summaries:
        for span in summary:
            assert (span.cost, span.usage.get("total", 0)) == (None, 0)
            assert "langfuse.observation.model.name" not in span.attributes
            assert not [key for key in span.usage if "input" in key or "output" in key]
        assert summary[0].usage == {}


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_records_and_points_have_ended_or_are_held_at_every_moment(capture: str) -> None:
    requests = all_requests(capture)
    with pipeline() as made:
        for request in requests:
            made.post(request)
            assert_balanced(made)
            made.work(request.received_at_ms)
            assert_balanced(made)
        made.finish(request.received_at_ms)
        assert_balanced(made)
        points = sum(r.records for r in requests if r.signal is Signal.METRICS)
        assert made.outcomes().get("session_total", 0) == points
        assert "quarantined" not in made.outcomes()


def assert_balanced(made: Pipeline) -> None:
    view = made.local_view()
    with closing(view):
        totals = view.totals()
    waiting = made.reader.read(totals.watermark, None, MANY**2, MANY)
    unread = sum(entry.request.records for entry in waiting)
    assert made.accepted() == sum(totals.outcomes.values()) + totals.live_records + unread


@pytest.mark.parametrize("kind", ["histogram", "exponentialHistogram", "summary"])
def test_a_point_of_a_distribution_is_one_record(kind: str) -> None:
    request = metrics_request(Sum(metric="claude_code.latency", value=1))
    document = json.loads(request.body)
    (metric,) = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    data = metric.pop("sum")
    data["dataPoints"][0] |= {"count": "3", "sum": 4.5}
    metric[kind] = data
    with pipeline() as made:
        made.post(replaced(request, document))
        made.finish(request.received_at_ms)
        assert_balanced(made)


# --- what is shown -------------------------------------------------------------------------------


def test_a_summary_stands_before_its_first_prompt_and_its_counters_behind_its_root() -> None:
    made = of_capture("2.1.330/h-commit")
    root, *counters = made.summary
    first_ms = min(s.start_ms for s in work_of(made) if s.parent_id is None)

    assert root.start_ms == first_ms - 1
    assert root.input == "Commit the work"
    assert [span.start_ms - root.start_ms for span in counters] == [1, 2, 3, 4, 5, 6, 7]
    assert {span.parent_id for span in counters} == {root.id}
    assert {json.dumps(span.trace_facts) for span in made.summary} == {json.dumps(root.trace_facts)}
    assert counted(made.summary) == {
        "prompts": 1,
        "tool_calls": 3,
        "lines_added": 3,
        "commits": 1,
        "pull_requests": 1,
        "edits_accepted": 1,
        "active_time_s": 0,
    }
    (active_time,) = [span for span in counters if span.name == "active_time_s"]
    assert active_time.end_ms - active_time.start_ms == 499


@pytest.mark.parametrize("capture", GHOST_CAPTURES)
def test_ghost_sessions_of_a_continued_one_show_nothing(capture: str) -> None:
    """Under --continue the client counts a start under a session id that it never uses again."""
    made = of_capture(capture)
    started = {point.session for point in capture_points(capture)}
    assert len(started) > 1

    (session,) = {s.attributes["langfuse.session.id"] for s in made.assembly.spans}
    assert {told for told, _ in made.session_scores} == {session}
    assert len(made.summaries) == 1


def test_a_session_without_any_event_has_its_scores_and_its_summary() -> None:
    made = assembled([metrics_request(lines(3), lines(1, type="removed"), active(12.5), cost(0.5))])
    root, *_ = made.summary

    assert made.told == {"added": 3.0, "removed": 1.0, "active_s": 12.5}
    assert counted(made.summary) == {"lines_added": 3, "lines_removed": 1, "active_time_s": 12}
    assert (root.input, root.metadata["cost_gap_usd"]) == ("[no prompt]", 0.5)
    assert root.metadata["cost_gap_reason"] == "events not exported"
    assert root.attributes["langfuse.user.id"] == "alex"
    assert work_of(made) == []


def test_a_session_of_events_alone_has_a_summary_too() -> None:
    made = assembled([logs_request(a_prompt(0, 0), a_request(1, 1))])
    root, *_ = made.summary
    assert counted(made.summary) == {"prompts": 1}
    assert root.metadata["cost_usd"] == 0.001
    assert "cost_gap_usd" not in root.metadata
    assert made.told == {}


def test_an_unknown_metric_is_kept_and_shown() -> None:
    naps = Sum(metric="claude_code.naps.count", value=2, attributes={"flavour": "sour"})
    made = assembled([metrics_request(naps, naps.later(60))])
    assert made.summary[0].metadata["metrics.naps.count[flavour=sour]"] == 4.0
    assert made.assembly.outcomes == {"session_total": 2}


@pytest.mark.parametrize("start_type", ["fresh", "resume", "continue", None])
def test_how_often_a_session_was_started_and_how_is_kept(start_type: str | None) -> None:
    attributes = {"start_type": start_type} if start_type else {}
    start = Sum(metric="claude_code.session.count", value=1, attributes=attributes)
    made = assembled([metrics_request(start, lines(1))])
    name = f"metrics.sessions[start_type={start_type}]" if start_type else "metrics.sessions"
    assert made.summary[0].metadata[name] == 1.0


def test_without_session_ids_there_is_a_summary_that_says_so_and_no_session_score() -> None:
    made = of_capture("2.1.330/a-json-includes")
    root, *_ = made.summary

    assert made.session_scores == {}
    assert not [s.name for s in made.summary if "langfuse.session.id" in s.attributes]
    assert root.metadata["session"].startswith("The client does not tell its sessions")
    assert counted(made.summary) == {"prompts": 1, "active_time_s": 1}


def test_two_people_who_hide_their_sessions_have_a_summary_each() -> None:
    theirs = {"user.id": "u2"}
    first, second = lines(3, session=None), lines(4, session=None)
    second.attributes.update(theirs)
    made = assembled([metrics_request(first), metrics_request(second)])
    assert sorted(counted(summary)["lines_added"] for summary in made.summaries) == [3, 4]


# --- travel --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "capture", ["2.1.330/x-503-ra", "2.1.330/g-interactive", "1.0.60/b-tools-full"]
)
def test_metrics_that_come_twice_count_once(capture: str) -> None:
    requests = all_requests(capture, refused_too=True)
    end_ms = requests[-1].received_at_ms
    again = [*requests, *(arriving(r, end_ms) for r in requests if r.signal is Signal.METRICS)]
    made, once = assembled(again), of_capture(capture)

    assert made.session_scores == once.session_scores
    assert [spans_of(s) for s in made.summaries] == [spans_of(s) for s in once.summaries]
    assert sum(made.assembly.outcomes.values()) == made.assembly.accepted


def spans_of(summary: list[Seen]) -> list[bytes]:
    return [span.span for span in summary]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "capture", ["1.0.60/g-interactive", "2.1.330/f-resume", "2.1.330/a-json-cumulative"]
)
def test_points_in_any_order_and_any_batches_give_the_same(capture: str, seed: int) -> None:
    requests = all_requests(capture)
    single = [p for r in requests if r.signal is Signal.METRICS for p in exploded(r)]
    random.Random(seed).shuffle(single)  # noqa: S311 - an order, not a secret
    end_ms = requests[-1].received_at_ms
    logs = [r for r in requests if r.signal is Signal.LOGS]
    shuffled = [*logs, *(arriving(point, end_ms, records=1) for point in single)]

    made, once = assembled(shuffled), of_capture(capture)

    assert made.session_scores == once.session_scores
    assert [spans_of(s) for s in made.summaries] == [spans_of(s) for s in once.summaries]


def test_counters_that_start_anew_and_deltas_of_another_process_add_up() -> None:
    made = assembled(
        [
            metrics_request(lines(3, temporality=CUMULATIVE)),
            metrics_request(lines(5, temporality=CUMULATIVE, time_s=120)),
            metrics_request(lines(2, temporality=CUMULATIVE, start_s=130, time_s=180)),
            metrics_request(lines(7, start_s=100, time_s=190, as_int=True)),
        ]
    )
    assert made.told == {"added": 14.0}
    assert counted(made.summary) == {"lines_added": 14}


# --- stretches of activity -----------------------------------------------------------------------


def two_stretches() -> list[ExportRequest]:
    """Work, two hours of silence, more work and a late window of the first stretch."""
    later_s = 2 * HOUR_S
    return [
        logs_request(a_prompt(0, 0), a_request(10, 1), at_s=11),
        metrics_request(lines(3), active(20), cost(0.001)),
        logs_request(
            a_prompt(later_s, 2, prompt="p2"), a_request(later_s + 1, 3, 0.002, prompt="p2")
        ),
        metrics_request(lines(4).later(later_s), active(5).later(later_s), at_s=later_s + 61),
        metrics_request(lines(100, start_s=60, time_s=90), at_s=later_s + 62),
        metrics_request(cost(0.002).later(later_s), at_s=later_s + 63),
    ]


def test_a_second_stretch_tells_what_it_added_and_both_together_the_session() -> None:
    made = assembled(two_stretches())
    first, second = made.summaries

    assert counted(first) == {"prompts": 1, "lines_added": 3, "active_time_s": 20}
    assert counted(second) == {"prompts": 1, "lines_added": 104, "active_time_s": 5}
    assert made.told == {"added": 107.0, "active_s": 25.0}
    assert (first[0].metadata["cost_usd"], second[0].metadata["cost_usd"]) == (0.001, 0.002)
    assert first[0].trace_id != second[0].trace_id
    assert second[0].start_ms == ms(2 * HOUR_S) - 1


def test_sums_over_all_stretches_are_the_session() -> None:
    """A session over two days, cut wherever there is a pause."""
    rng = random.Random(3)  # noqa: S311 - numbers, no secrets
    at_s, requests, added = 0.0, [], 0
    for _ in range(60):
        at_s += rng.choice([5, 60, 600, HOUR_S, 3 * HOUR_S])
        number = rng.randint(1, 9)
        added += number
        requests.append(metrics_request(lines(number, start_s=at_s - 4, time_s=at_s)))
    made = assembled(requests)

    assert len(made.summaries) > 10
    assert sum(counted(summary)["lines_added"] for summary in made.summaries) == added
    assert made.told == {"added": float(added)}


def test_a_pause_shorter_than_the_idle_time_ends_no_stretch() -> None:
    requests = [metrics_request(lines(1).later(place * 1_700)) for place in range(5)]
    assert len(assembled(requests).summaries) == 1
    assert len(assembled(requests, session_idle_s=1_600).summaries) == 5


@pytest.mark.timeout(20)
@pytest.mark.parametrize("settings", [{"session_idle_s": 7_200}, {"idle_s": 60}], ids=str)
def test_a_session_may_be_idle_for_longer_than_a_turn(settings: dict[str, float]) -> None:
    with pipeline(**settings) as made:
        end_ms = play(made, two_stretches()[:2])
        for later_ms in range(0, 5 * IDLE_MS, 60_000):
            made.work(end_ms + later_ms)
        told = outcome(made, end_ms + 5 * IDLE_MS)
    assert counted(told.summary) == {"prompts": 1, "lines_added": 3, "active_time_s": 20}


def test_a_repeated_event_long_afterwards_does_not_take_the_next_summarys_place() -> None:
    """It has the time of the first record, by which a summary is known."""
    first = logs_request(a_prompt(0, 0), a_request(1, 1))
    later_s = 3 * HOUR_S
    made = assembled(
        [
            first,
            arriving(first, ms(later_s)),
            logs_request(a_prompt(later_s + 5, 2, prompt="p2"), at_s=later_s + 6),
        ]
    )
    assert [counted(summary) for summary in made.summaries] == [{"prompts": 1}, {"prompts": 1}]


# --- events against metrics ----------------------------------------------------------------------


def gap_of(*requests: ExportRequest) -> tuple[object, object]:
    metadata = assembled(requests).summary[0].metadata
    return metadata.get("cost_gap_usd"), metadata.get("cost_gap_reason")


def test_what_is_equal_is_not_mentioned() -> None:
    assert gap_of(
        logs_request(a_prompt(0, 0), a_request(1, 1, 0.25)), metrics_request(cost(0.25))
    ) == (None, None)


def test_an_interrupted_request_is_in_the_metrics_only() -> None:
    assert gap_of(
        logs_request(a_prompt(0, 0), a_request(1, 1, 0.25)), metrics_request(cost(0.75))
    ) == (0.5, "interrupted requests")


def test_missing_sequence_numbers_point_to_lost_records() -> None:
    assert gap_of(
        logs_request(a_prompt(0, 0), a_request(1, 4, 0.25)), metrics_request(cost(0.75))
    ) == (0.5, "records lost")


@pytest.mark.parametrize("sequence", [0, 40], ids=["resumed", "after /clear"])
def test_a_new_process_and_a_cleared_session_lost_nothing(sequence: int) -> None:
    """A resumed session counts from 0 again, a cleared one begins in the middle."""
    began = [a_prompt(0, 7), a_request(1, 8, 0.25)] if sequence == 0 else []
    again = [a_prompt(5, sequence, prompt="p2"), a_request(6, sequence + 1, 0.25, prompt="p2")]
    gap = gap_of(logs_request(*began, *again), metrics_request(cost(1.0)))
    assert gap[1] == "interrupted requests"


def test_a_request_without_a_cost_is_counted_and_its_gap_is_not_lost_money() -> None:
    """A known bug of some clients: Langfuse prices the usage, so none is told with cost."""
    made = assembled(
        [
            logs_request(a_prompt(0, 0), a_request(1, 1, 0.25), a_request(2, 5, None)),
            metrics_request(cost(0.75)),
        ]
    )
    metadata = made.summary[0].metadata
    unpriced = [s for s in made.assembly.spans if s.type == "generation" and s.cost is None]

    assert metadata["unpriced_requests"] == 1
    assert metadata["cost_gap_reason"] == "requests without cost"
    assert [span.usage for span in unpriced] == [{"input": 10, "output": 20}]


# --- scores --------------------------------------------------------------------------------------


def test_each_prompt_has_one_cost_score_that_a_late_request_updates() -> None:
    with pipeline() as made:
        end_ms = play(made, [logs_request(a_prompt(0, 0), a_request(1, 1, 0.25))])
        made.wait(end_ms, end_ms + 60_000)
        before = made.ledger.claim_scores(end_ms + 60_000, MANY)
        made.ledger.scores_delivered(before, end_ms + 60_000)
        late = logs_request(a_request(2, 2, 0.5), at_s=120)
        end_ms = play(made, [late])
        made.wait(end_ms, end_ms + 60_000)
        after = made.ledger.claim_scores(end_ms + 60_000, MANY)

        (first,), (second,) = before, after
        assert (first.score.name, first.score.value, first.revision) == ("cost_usd", 0.25, 0)
        assert (second.score.value, second.revision) == (0.75, 1)
        assert (second.score.id, second.score.timestamp_ms) == (
            first.score.id,
            first.score.timestamp_ms,
        )
        (root,) = [span for span in made.spans() if span.parent_id is None]
        assert first.score.trace_id == root.trace_id


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_every_prompts_score_is_the_cost_of_its_generations(capture: str) -> None:
    made = of_capture(capture)
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for span in work_of(made):
        costs[span.trace_id] += span.cost or 0
    told = {p.score.trace_id: p.score.value for p in made.scores if p.score.trace_id}

    assert told == {trace: float(cost) for trace, cost in costs.items()}
    assert {p.score.name for p in made.scores if p.score.trace_id} <= {"cost_usd"}


def test_ids_names_and_times_of_scores_outlive_updates_and_restarts() -> None:
    told: defaultdict[str, set[object]] = defaultdict(set)
    with pipeline() as made:
        for place, request in enumerate(two_stretches()):
            play(made, [request])
            made.restart()
            made.finish(request.received_at_ms)
            now_ms = START_MS + (place + 1) * DAY_S * 1_000
            due = made.ledger.claim_scores(now_ms, MANY)
            made.ledger.scores_delivered(due, now_ms)
            for pending in due:
                told[pending.score.id].add((pending.score.name, pending.score.timestamp_ms))
    assert len(told) == 4
    assert {len(each) for each in told.values()} == {1}


def test_ten_thousand_metric_posts_update_a_score_every_five_minutes_at_most() -> None:
    """Ten thousand posts of one session over hours, looked at after every few of them."""
    posts, every_s = 10_000, 1.5
    told_at: defaultdict[str, list[int]] = defaultdict(list)
    values: dict[str, float] = {}
    with pipeline() as made:

        def deliver(now_ms: int) -> None:
            due = made.ledger.claim_scores(now_ms, MANY)
            made.ledger.scores_delivered(due, now_ms)
            for pending in due:
                told_at[pending.score.name].append(now_ms)
                values[pending.score.name] = pending.score.value

        for first in range(0, posts, 40):
            batch = [
                metrics_request(
                    lines(1, start_s=place * every_s, time_s=(place + 1) * every_s),
                    active(0.5, start_s=place * every_s, time_s=(place + 1) * every_s),
                )
                for place in range(first, first + 40)
            ]
            made.post(*batch)
            made.work(batch[-1].received_at_ms)
            deliver(batch[-1].received_at_ms)
        updates = {name: list(times) for name, times in told_at.items()}
        end_ms = batch[-1].received_at_ms
        made.finish(end_ms)
        deliver(end_ms + IDLE_MS)

    took_ms = round(posts * every_s * 1_000)
    for name, times in updates.items():
        assert min(later - at for at, later in pairwise(times)) >= UPDATE_EVERY_MS
        assert len(times) <= took_ms // UPDATE_EVERY_MS + 1
        assert len(told_at[name]) - len(times) <= 1
    assert values == {"added": 10_000.0, "active_s": 5_000.0}


def test_the_final_value_is_told_as_soon_as_the_session_falls_silent() -> None:
    with pipeline() as made:
        play(made, [metrics_request(lines(3))])
        made.ledger.scores_delivered(made.ledger.claim_scores(ms(60), MANY), ms(60))
        play(made, [metrics_request(lines(4).later(10))])
        assert made.ledger.claim_scores(ms(71), MANY) == []
        made.wait(ms(70), ms(70) + IDLE_MS)
        (final,) = made.ledger.claim_scores(ms(70) + IDLE_MS, MANY)
        assert (final.score.value, final.revision) == (7.0, 1)


# --- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "capture", ["2.1.330/f-resume", "2.1.330/x-503-ra", "1.0.60/g-interactive"]
)
def test_a_crash_between_any_two_steps_changes_nothing(capture: str) -> None:
    requests = all_requests(capture)
    with pipeline() as made:
        for request in requests:
            made.post(request)
            made.restart()
            made.work(request.received_at_ms)
            made.restart()
        end_ms = requests[-1].received_at_ms
        for later_ms in (1_000, 3_001, 30_001, 35_000, 1_800_001, 1_803_002, 3_700_000):
            made.restart()
            made.work(end_ms + later_ms)
            made.work(end_ms + later_ms + SETTLE_MS)
        crashed = outcome(made, end_ms + 10 * IDLE_MS)
    whole = of_capture(capture)

    assert [spans_of(s) for s in crashed.summaries] == [spans_of(s) for s in whole.summaries]
    assert crashed.scores == whole.scores
    assert crashed.saved == whole.saved
    assert crashed.assembly.outcomes == whole.assembly.outcomes


# --- at the terminal -----------------------------------------------------------------------------


def test_the_local_list_has_the_totals_and_counts_no_summary() -> None:
    with pipeline() as made:
        made.finish(play(made, all_requests("2.1.330/h-commit")))
        with closing(made.local_view()) as view:
            (session,) = view.sessions(10)
            views = view.find(session.session_id)

    assert (session.active_ms, session.commits, session.pull_requests) == (499, 1, 1)
    assert (session.lines_added, session.lines_removed) == (3, 0)
    assert (session.prompts, session.generations, session.tools, session.errors) == (1, 4, 3, 0)
    assert session.tokens == {
        "input": 50,
        "output": 139,
        "input_cached_tokens": 4_100,
        "input_cache_creation": 400,
    }
    assert session.cost_picousd == 5_800_000_000
    prompt, summary = views if views[1].is_summary else reversed(views)
    assert session.started_ms == min(each.start_ms for each in prompt.observations)
    assert session.ended_ms == max(e.end_ms for e in summary.observations if not e.parent_id)
    chosen = choice.choose(views, session.session_id)
    assert chosen == choice.Chosen((prompt, summary))


def test_a_list_before_the_summary_has_what_was_measured_so_far() -> None:
    with pipeline() as made:
        end_ms = play(made, all_requests("2.1.330/h-commit"))
        made.wait(end_ms, end_ms + 60_000)
        with closing(made.local_view()) as view:
            (session,) = view.sessions(10)
    assert (session.lines_added, session.commits, session.prompts) == (3, 1, 1)


def test_what_metrics_do_not_tell_is_not_known() -> None:
    with pipeline() as made:
        made.finish(play(made, [logs_request(a_prompt(0, 0), a_request(1, 1))]))
        with closing(made.local_view()) as view:
            (session,) = view.sessions(10)
    assert (session.active_ms, session.lines_added, session.commits) == (None, None, None)
    assert (session.started_ms, session.ended_ms) == (ms(0), ms(1))


def test_a_session_of_metrics_alone_is_listed_with_its_summary() -> None:
    with pipeline() as made:
        made.finish(play(made, [metrics_request(lines(3), active(4))]))
        with closing(made.local_view()) as view:
            (session,) = view.sessions(10)
            (summary,) = view.find(SESSION)
    assert (session.session_id, session.lines_added, session.active_ms) == (SESSION, 3, 4_000)
    assert (session.prompts, session.generations) == (0, 0)
    assert summary.is_summary


def test_traces_without_a_session_are_found_by_what_the_list_calls_it() -> None:
    with pipeline() as made:
        requests = [
            *all_requests("2.1.330/a-json-includes"),
            arriving(logs_request(a_prompt(0, 0), a_request(1, 1)), ms(1)),
        ]
        made.finish(play(made, requests))
        with closing(made.local_view()) as view:
            listed = {session.session_id for session in view.sessions(10)}
            chosen = choice.choose(view.find(NO_SESSION), NO_SESSION)
    assert listed == {NO_SESSION, SESSION}
    assert isinstance(chosen, choice.Chosen)
    assert [(each.session_id, each.is_summary) for each in chosen.traces] == [
        (None, False),
        (None, True),
    ]


def test_points_of_one_session_that_only_has_events_of_start_up_show_nothing() -> None:
    starts = [a_log("plugin_loaded", 0, 0, prompt=None), a_log("mcp_server_connection", 1, 1)]
    start = Sum(metric="claude_code.session.count", value=1)
    made = assembled([logs_request(starts[0]), metrics_request(start)])
    assert made.assembly.spans == []
    assert made.scores == []
