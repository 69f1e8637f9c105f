"""Accounts of a delivery: what clients were promised, beside what Langfuse was sent."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.fakes import COST, ReceivedSpan, ReceivedSpans, SpanKey
from tests.recordings import Body, cost_usd, count, records, sessions, usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One run in numbers.

    Attributes:
        records: Records of the bodies that were answered 200.
        lost: Those that the bridge did not count, and requests of models without a generation.
        duplicated: Spans that came in more than one version, which Langfuse adds up.
        resent: Exports that came a second time byte for byte, which Langfuse collapses.
    """

    records: int
    lost: int
    duplicated: int
    resent: int

    def check(self) -> None:
        """Fail unless everything arrived, and nothing twice."""
        assert (self.lost, self.duplicated) == (0, 0), self


def account(
    promised: Sequence[Body],
    unsure: Container[str],
    received: ReceivedSpans,
    accepted: int,
) -> Account:
    """Compare.

    Args:
        promised: Every body that was answered 200, once.
        unsure: Sessions of which more or less than that may have been taken.
        received: All that came, repetitions included.
        accepted: What the bridge counted.
    """
    total = sum(count(promised).values())
    return Account(
        records=total,
        lost=max(0, total - accepted) + len(_unanswered(promised, unsure, received)),
        duplicated=len(_changed(received)),
        resent=len(exports_that_came_twice(received)) if not _changed(received) else 0,
    )


def _unanswered(
    promised: Sequence[Body], unsure: Container[str], received: ReceivedSpans
) -> list[str]:
    """The session of each request to a model that has no generation with a cost."""
    asked = Counter(
        record.get("session.id")
        for record in records(promised)
        if record.get("event.name") == "api_request"
    )
    told = Counter(
        span.session_id for span in first_of_each(received).spans if COST in span.attributes
    )
    missing = (asked - told).elements()
    return [session for session in missing if session is not None and session not in unsure]


def _by_key(spans: Iterable[ReceivedSpan]) -> Mapping[SpanKey, list[ReceivedSpan]]:
    by_key: defaultdict[SpanKey, list[ReceivedSpan]] = defaultdict(list)
    for span in spans:
        by_key[span.key].append(span)
    return by_key


def _changed(received: ReceivedSpans) -> list[SpanKey]:
    by_key = _by_key(received.spans)
    return [key for key, spans in by_key.items() if len({span.raw for span in spans}) > 1]


def exports_that_came_twice(received: ReceivedSpans) -> set[int]:
    """Numbers of the exports of which a span came again later; it must be the very same bytes.

    A worker that starts anew claims again from the oldest: the second export may hold more spans.
    """
    by_key = _by_key(received.spans)
    for spans in by_key.values():
        assert len({span.raw for span in spans}) == 1, f"{spans[0].key} came in two versions"
        assert len({span.export for span in spans}) == len(spans), f"{spans[0].key} twice in one"
    return {span.export for spans in by_key.values() for span in spans[:-1]}


def first_of_each(received: ReceivedSpans) -> ReceivedSpans:
    first = ReceivedSpans()
    first.add(list({span.key: span for span in reversed(received.spans)}.values())[::-1])
    return first


def assert_complete(
    received: ReceivedSpans, bodies: Sequence[Body], unsure: Container[str]
) -> None:
    """Every session is there with one root for each trace and with its records' sums."""
    by_session: defaultdict[str | None, ReceivedSpans] = defaultdict(ReceivedSpans)
    for span in received.spans:
        by_session[span.session_id].spans.append(span)
    costs, tokens = cost_usd(bodies), usage(bodies)
    for session in sessions(bodies):
        found = by_session[session]
        for spans in found.by_trace().values():
            assert sum(span.parent_id is None for span in spans) == 1, session
        if session not in unsure:
            spent = {key: n for key, n in found.usage(session).items() if n}
            assert found.generation_cost_usd(session) == costs.get(session, 0), session
            assert spent == tokens.get(session, {}), session
