"""What an answer of Langfuse means for the batch that was sent. Pure: nothing here waits or sends.

Responsible for the classes of answers, for how long to wait, and for the sentence an operator
reads. Leaves talking to ``client`` and acting on the decision to ``deliver``.

====================  ==========================================  ================================
class                 answers                                     decision
====================  ==========================================  ================================
taken                 2xx (the status alone; Langfuse's body is   ``Delivered``
                      not an OTLP response)
transient             no answer, 408, 425, 5xx                    ``RetryLater``: backoff
limited               429                                         ``RetryLater``: Retry-After
refused               400, 413, 422                               ``SplitBatch``, or ``Rejected``
                                                                  for a batch of one
held up               401, 402, 403, 404, 405, 3xx, the rest      ``RetryLater``: 30 s, then probe
====================  ==========================================  ================================

"Held up" is where a person has to do something: keys, plan or base URL. An answer nobody foresaw
is held up too, since waiting loses nothing and rejecting would. Its state is ``unauthorized``
where Langfuse itself says no to the keys or the project (401, 402, 403), and ``unreachable`` where
what answered is not the Langfuse we look for (404, 405, redirects, anything else).
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import assert_never

import msgspec

from bridge.model.delivery import (
    Delivered,
    DeliveryOutcome,
    LangfuseState,
    Rejected,
    RetryLater,
    SplitBatch,
)

MAX_ERROR_CHARS = 500
"""How much of a server's own words is kept: enough for Langfuse's longest sentence."""

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
SHORTEST_WAIT_S = 0.5
"""Full jitter may draw a wait of zero; that, or ``Retry-After: 0``, would hammer a sick server."""

LONGEST_RETRY_AFTER_S = 3600.0
"""Langfuse's windows for ingestion are minutes. One absurd header must not silence the bridge for
days; asking again once an hour is polite enough."""

PROBE_INTERVAL_S = 30.0
"""Between two looks whether a person has mended the keys, the plan or the base URL."""

MOST_DIGITS = 9
"""A Retry-After longer than this is no number of seconds."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How one request ended. Made by the client, judged by ``decide``.

    Attributes:
        status: The HTTP status; None when no answer came.
        error: The server's own words, or why no answer came; at most ``MAX_ERROR_CHARS``.
        retry_after: The header as it came: whole seconds or an HTTP date.
        date: The server's ``Date`` header, against which a Retry-After date is read.
    """

    status: int | None
    error: str = ""
    retry_after: str | None = None
    date: str | None = None


class AnswerClass(Enum):
    """The five things an answer can mean; the module's table says which is which."""

    TAKEN = auto()
    TRANSIENT = auto()
    LIMITED = auto()
    REFUSED = auto()
    HELD_UP = auto()


REFUSED_STATUSES = frozenset({400, 413, 422})
TRANSIENT_STATUSES = frozenset({408, 425})
FORBIDDEN_STATUSES = frozenset({401, 402, 403})

HELD_UP_REASONS = {
    401: "Langfuse does not know the keys (401); "
    "check LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and that LANGFUSE_BASE_URL is their region.",
    402: "Langfuse asks for payment (402); check the organisation's plan.",
    403: "Langfuse does not let these keys send (403); "
    "use the keys of a project, not of an organisation, and check the plan's usage limit.",
    404: "There is no Langfuse OTLP route at this address (404); "
    "check LANGFUSE_BASE_URL, and that the server is Langfuse 3.22 or newer.",
    405: "What answers at this address takes no OTLP (405); "
    "check LANGFUSE_BASE_URL, and that the server is Langfuse 3.22 or newer.",
    407: "The proxy asks for credentials (407); check HTTPS_PROXY or HTTP_PROXY.",
}


def classify(status: int | None) -> AnswerClass:
    """The class of a status; None is an answer that never came."""
    if status is None or status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004 - HTTP's
        return AnswerClass.TRANSIENT
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own border, which has no better name
        return AnswerClass.TAKEN
    if status == 429:  # noqa: PLR2004 - likewise
        return AnswerClass.LIMITED
    return AnswerClass.REFUSED if status in REFUSED_STATUSES else AnswerClass.HELD_UP


def decide(
    answer: Answer, batch_size: int, attempt: int, random_fraction: float
) -> DeliveryOutcome:
    """What becomes of a batch of ``batch_size`` spans after ``answer``.

    Args:
        answer: How the request ended.
        batch_size: Spans in the batch.
        attempt: How many requests in a row have failed, this one included; from 1.
        random_fraction: The jitter, 0 ≤ fraction < 1.
    """
    match classify(answer.status):
        case AnswerClass.TAKEN:
            return Delivered()
        case AnswerClass.TRANSIENT:
            return _transient(answer, backoff_s(attempt, random_fraction))
        case AnswerClass.LIMITED:
            return _limited(answer, backoff_s(attempt, random_fraction))
        case AnswerClass.REFUSED:
            return _refused(answer, batch_size)
        case AnswerClass.HELD_UP:
            return _held_up(answer)
        case unforeseen:
            assert_never(unforeseen)


def asks_for_probe(answer: Answer) -> bool:
    """Whether posting again is pointless until a probe has succeeded."""
    return classify(answer.status) is AnswerClass.HELD_UP


def decide_probe(answer: Answer, attempt: int, random_fraction: float) -> RetryLater | None:
    """When to probe again; None: the way is free, post again. Arguments as for ``decide``."""
    match decide(answer, 1, attempt, random_fraction):
        case Delivered():
            return None
        case RetryLater() as later:
            return later
        case SplitBatch() | Rejected():
            return _held_up(answer)
        case unforeseen:
            assert_never(unforeseen)


def backoff_s(attempt: int, random_fraction: float) -> float:
    """Exponential with full jitter: up to 1, 2, 4 … 60 s, and never less than half a second."""
    doublings = min(attempt - 1, 10)  # more would overflow one day and change nothing
    ceiling_s = min(FIRST_BACKOFF_S * 2.0**doublings, LONGEST_BACKOFF_S)
    return SHORTEST_WAIT_S + random_fraction * (ceiling_s - SHORTEST_WAIT_S)


def retry_after_s(answer: Answer) -> float | None:
    """Seconds the server asks us to stay away; None where it says nothing that can be read."""
    text = (answer.retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
        return _bounded(float(text))
    until, sent_at = _http_date(text), _http_date(answer.date or "")
    # Its date is read against its own clock, so that ours may be wrong.
    return _bounded((until - sent_at).total_seconds()) if until and sent_at else None


def _bounded(wait_s: float) -> float:
    return min(max(wait_s, SHORTEST_WAIT_S), LONGEST_RETRY_AFTER_S)


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError):  # IndexError: some malformed dates, by accident
        return None
    return date if date.tzinfo else None


def _transient(answer: Answer, wait_s: float) -> RetryLater:
    what = (
        f"Langfuse cannot be reached: {answer.error}."
        if answer.status is None
        else f"Langfuse answered {answer.status}.{_its_words(answer)}"
    )
    return RetryLater(
        after_s=wait_s,
        state=LangfuseState.UNREACHABLE,
        reason=f"{what} It is tried again by itself; "
        "if this lasts, check LANGFUSE_BASE_URL, the network and the Langfuse server.",
    )


def _limited(answer: Answer, wait_s: float) -> RetryLater:
    return RetryLater(
        after_s=retry_after_s(answer) or wait_s,
        state=LangfuseState.RATE_LIMITED,
        reason="Langfuse's rate limit is reached (429); it is tried again when Langfuse allows it. "
        "If this lasts, the organisation's plan is too small for what is sent to it.",
    )


def _refused(answer: Answer, batch_size: int) -> SplitBatch | Rejected:
    if batch_size > 1:
        return SplitBatch(
            reason=f"Langfuse did not take a batch of {batch_size} observations "
            f"({answer.status}); its halves are tried.{_its_words(answer)}"
        )
    cause = "it is too large" if answer.status == 413 else "it is not valid"  # noqa: PLR2004 - HTTP's
    return Rejected(
        reason=f"Langfuse did not take this observation: {cause} for the server or a proxy "
        f"before it ({answer.status}).{_its_words(answer)}"
    )


def _held_up(answer: Answer) -> RetryLater:
    forbidden = answer.status in FORBIDDEN_STATUSES
    return RetryLater(
        after_s=PROBE_INTERVAL_S,
        state=LangfuseState.UNAUTHORIZED if forbidden else LangfuseState.UNREACHABLE,
        reason=_held_up_reason(answer.status) + _its_words(answer),
    )


def _held_up_reason(status: int | None) -> str:
    if status in HELD_UP_REASONS:
        return HELD_UP_REASONS[status]
    if status is not None and 300 <= status < 400:  # noqa: PLR2004 - HTTP's own border
        return (
            f"This address redirects elsewhere ({status}), which is not followed so that the keys "
            "go nowhere else; set LANGFUSE_BASE_URL to the final address."
        )
    return (
        f"This address gave an answer that Langfuse does not give ({status}); "
        "check LANGFUSE_BASE_URL and any proxy before it."
    )


def _its_words(answer: Answer) -> str:
    return f' It says: "{answer.error[:MAX_ERROR_CHARS]}"' if answer.error else ""
