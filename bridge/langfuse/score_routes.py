"""The two ways a score can take into Langfuse, and what the answers on them mean. Pure.

Responsible for the choice by the server's version, for the bytes, and for the fate of every score
in a batch after an answer. Leaves sending and waiting to ``scores``, the classes of answers that
are the same for spans to ``retry``.

=============  ==========================================  =====================================
               ``ARRAY``, servers from 4.59.0 on           ``INGESTION``, every server
=============  ==========================================  =====================================
request        a JSON array of scores                      a batch of ``score-create`` events
time           the score's own, in every update            the envelope's, later in every update
taken          2xx but for 207                             named in the 207's ``successes``
refused        207: counted, with sentences that need not  named in the 207's ``errors``
               say which
400            from now on the other route                 halves, then the culprit is rejected
=============  ==========================================  =====================================

Where a 207 leaves open what became of a score, the score is sent again, once and alone: an answer
to a single score leaves nothing open, the batch itself is never repeated, and a score that was
taken before is merely replaced by itself. All else a batch can meet is the same as for spans.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from bridge.langfuse.client import Document
from bridge.langfuse.retry import (
    MAX_ERROR_CHARS,
    Answer,
    AnswerClass,
    asks_for_probe,
    classify,
    decide,
)
from bridge.model.delivery import Delivered, Rejected, RetryLater, SplitBatch
from bridge.model.scores import PendingScore, Score

Batch = tuple[PendingScore, ...]

MAX_SCORES = 100
MAX_BODY_BYTES = 900_000
"""The scores route takes 1 MiB, the ingestion route 4.5 MB; a hundred scores are far below both."""

FIRST_VERSION_WITH_ARRAYS = (4, 59, 0)

DAY_MS = 24 * 60 * 60 * 1000
UPDATES_MS = 60_000
"""The room for a millisecond per update at the end of a UTC day, see ``envelope_ms``: at one update
in five minutes it lasts two hundred days."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = 4_102_444_800_000
"""The year 2100: a time beyond is a mistake, and some time after it no date at all."""

NO_SCORE_ROUTE = (
    "What answers at this address takes no scores ({status}); "
    "check LANGFUSE_BASE_URL, and that the server is Langfuse 3 or newer."
)
NOT_SAID = "Langfuse did not say what became of this score."


class Route(Enum):
    """Where scores are sent."""

    ARRAY = "scores"
    INGESTION = "ingestion"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a batch. A score in none of the three stays pending and is claimed again.

    Attributes:
        taken: Langfuse has these.
        rejected: Langfuse will never take these; each with a sentence for a person.
        again: To be sent next, as these batches and in this order.
        later: What to wait for before anything is sent.
        probe: Whether after that sending is pointless until a probe has succeeded.
        fall_back: From now on ``INGESTION`` is the route.
    """

    taken: Batch = ()
    rejected: tuple[tuple[PendingScore, str], ...] = ()
    again: tuple[Batch, ...] = ()
    later: RetryLater | None = None
    probe: bool = False
    fall_back: bool = False


class ItemError(msgspec.Struct, frozen=True):
    """What a 207 says of one score that was not taken."""

    id: str | None = None
    status: int | None = None
    message: str | None = None


class ItemSuccess(msgspec.Struct, frozen=True):
    """What the ingestion route's 207 says of one event that was taken."""

    id: str


class PartialAnswer(msgspec.Struct, frozen=True):
    """The body of a 207 of either route: ``rejected`` is the one's, ``successes`` the other's."""

    errors: tuple[ItemError, ...] = ()
    successes: tuple[ItemSuccess, ...] = ()
    rejected: int | None = None


Fate = ItemError | ItemSuccess | None
"""Of one score after a 207; None: it was not said."""


# ------------------------------------------------------------------------------------ the request


def server_version(document: Document) -> str | None:
    """What a health answer calls the server's version; None where it says nothing of the kind."""
    try:
        found = msgspec.json.decode(document.body, type=dict[str, object]).get("version")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) else None


def route_for(version: str | None) -> Route:
    """The route for a server of that version; an unknown one gets what every server has."""
    numbers = re.match(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})", version or "")
    if numbers and tuple(map(int, numbers.groups())) >= FIRST_VERSION_WITH_ARRAYS:
        return Route.ARRAY
    return Route.INGESTION


def sift(batch: Batch) -> Verdict:
    """Reject what no server takes before it spoils a batch; the rest goes on."""
    problems = [(pending, problem_of(pending.score)) for pending in batch]
    sound = tuple(pending for pending, problem in problems if problem is None)
    return Verdict(
        rejected=tuple((pending, problem) for pending, problem in problems if problem),
        again=(sound,) if sound else (),
    )


def problem_of(score: Score) -> str | None:
    """Why a score cannot be sent at all; None if it can."""
    if not math.isfinite(score.value):
        return "Its value is not a number."
    if bool(score.session_id) == bool(score.trace_id):
        return "It is not the score of either a session or a trace."
    if not 0 <= score.timestamp_ms < LATEST_MS:
        return "Its time is not within the years 1970 to 2099."
    return None


def encode(route: Route, batch: Sequence[PendingScore]) -> bytes:
    """The request body: for the same scores at the same revisions the same bytes every time."""
    if route is Route.ARRAY:
        return msgspec.json.encode([_array_item(pending.score) for pending in batch])
    return msgspec.json.encode({"batch": [_event(pending) for pending in batch]})


def event_id(pending: PendingScore) -> str:
    """Langfuse takes an event id for processed once it has seen it: one per score and revision."""
    return f"{pending.score.id}-{pending.revision}"


def envelope_ms(pending: PendingScore) -> int:
    """The time of an update on the ingestion route: one millisecond later with every revision.

    Servers put updates with equal times in the wrong order, and file a score under the UTC date
    of its first; so no revision may reach the next day, and a score that begins in the last
    minute of a day is dated back to its beginning.
    """
    score = pending.score
    day_end_ms = (score.timestamp_ms // DAY_MS + 1) * DAY_MS
    return min(score.timestamp_ms, day_end_ms - UPDATES_MS) + pending.revision


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The earlier and the later half of a batch of two or more."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def _array_item(score: Score) -> dict[str, object]:
    return {**_fields(score), "timestamp": _iso(score.timestamp_ms)}


def _event(pending: PendingScore) -> dict[str, object]:
    return {
        "id": event_id(pending),
        "type": "score-create",
        "timestamp": _iso(envelope_ms(pending)),
        "body": _fields(pending.score),
    }


def _fields(score: Score) -> dict[str, object]:
    """Without a configId: where that does not fit, Langfuse answers well and stores nothing."""
    fields = {
        "id": score.id,
        "name": score.name,
        "value": score.value,
        "dataType": "NUMERIC",
        "sessionId": score.session_id,
        "traceId": score.trace_id,
        "comment": score.comment,
        "environment": score.environment,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _iso(unix_ms: int) -> str:
    moment = EPOCH + timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ------------------------------------------------------------------------------------- the answer


def judge(
    route: Route, document: Document, batch: Batch, attempt: int, random_fraction: float
) -> Verdict:
    """What becomes of ``batch`` after the answer in ``document``.

    Args:
        route: The way it was sent.
        document: How the request ended.
        batch: What was sent; not empty.
        attempt: How many requests in a row have failed, this one included; from 1.
        random_fraction: The jitter, 0 ≤ fraction < 1.
    """
    answer = document.answer
    if route is Route.ARRAY and answer.status == 400:  # noqa: PLR2004 - HTTP's
        return Verdict(again=(batch,), fall_back=True)
    match decide(answer, len(batch), attempt, random_fraction):
        case Delivered():
            return _judge_items(route, document, batch, attempt, random_fraction)
        case RetryLater() as later:
            held_up = asks_for_probe(answer)
            return Verdict(again=(batch,), later=_of_scores(later, answer), probe=held_up)
        case SplitBatch():
            return Verdict(again=halves(batch))
        case Rejected():
            return Verdict(rejected=((batch[0], _refusal(answer.status, answer.error)),))
        case unforeseen:
            assert_never(unforeseen)


def _judge_items(
    route: Route, document: Document, batch: Batch, attempt: int, random_fraction: float
) -> Verdict:
    answer = document.answer
    if answer.status != 207:  # noqa: PLR2004 - HTTP's
        return Verdict(taken=batch)
    fates = list(zip(batch, _fates(route, document.body, batch), strict=True))
    errors = [(item, fate) for item, fate in fates if isinstance(fate, ItemError)]
    unsaid = [item for item, fate in fates if fate is None]
    alone = len(batch) == 1
    return Verdict(
        taken=tuple(item for item, fate in fates if isinstance(fate, ItemSuccess)),
        rejected=(
            *((item, _refusal(it.status, it.message)) for item, it in errors if not _passes(it)),
            *((item, NOT_SAID) for item in unsaid if alone),
        ),
        again=() if alone else tuple((item,) for item in unsaid),
        later=_longest_wait(answer, [it for _, it in errors], attempt, random_fraction),
    )


def _fates(route: Route, body: bytes, batch: Batch) -> Sequence[Fate]:
    """One for each score of ``batch``, in its order."""
    try:
        partial = msgspec.json.decode(body, type=PartialAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [None] * len(batch)
    if len(batch) == 1 and partial.errors:
        return partial.errors[:1]
    return _array_fates(partial, batch) if route is Route.ARRAY else _event_fates(partial, batch)


def _event_fates(partial: PartialAnswer, batch: Batch) -> list[Fate]:
    said: dict[str | None, Fate] = {success.id: success for success in partial.successes}
    said.update((error.id, error) for error in partial.errors)
    return [said.get(event_id(pending)) for pending in batch]


def _array_fates(partial: PartialAnswer, batch: Batch) -> Sequence[Fate]:
    """Its errors are sentences and a count. Ids in them are not promised, and used if they come."""
    if partial.rejected == len(batch):
        in_order = len(partial.errors) == len(batch)
        return partial.errors if in_order else [*partial.errors, ItemError()][:1] * len(batch)
    ids = [pending.score.id for pending in batch]
    named = {error.id: error for error in partial.errors if error.id in ids}
    if partial.rejected == len(named) == len(partial.errors):
        return [named.get(it) or ItemSuccess(it) for it in ids]
    return [named.get(it) for it in ids]


def _passes(error: ItemError) -> bool:
    """Whether an error is one of the server's moment, and not of the score."""
    if error.status is None:
        return False
    return classify(error.status) in {AnswerClass.TRANSIENT, AnswerClass.LIMITED}


def _longest_wait(
    answer: Answer, errors: Sequence[ItemError], attempt: int, random_fraction: float
) -> RetryLater | None:
    """What the errors that pass ask for, each judged as if it were the whole answer."""
    outcomes = [
        decide(
            replace(answer, status=it.status, error=it.message or ""), 1, attempt, random_fraction
        )
        for it in errors
        if _passes(it)
    ]
    waits = [outcome for outcome in outcomes if isinstance(outcome, RetryLater)]
    return max(waits, key=lambda wait: wait.after_s, default=None)


def _of_scores(later: RetryLater, answer: Answer) -> RetryLater:
    """The sentences of ``retry`` tell of spans where a route is missing."""
    if answer.status not in {404, 405}:
        return later
    return replace(later, reason=NO_SCORE_ROUTE.format(status=answer.status))


def _refusal(status: int | None, words: str | None) -> str:
    said = f' It says: "{words[:MAX_ERROR_CHARS]}"' if words else ""
    return f"Langfuse did not take this score ({status or 'no status'}).{said}"
