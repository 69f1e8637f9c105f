"""How an attempt to deliver a batch to Langfuse ended, and what the ledger keeps of it."""

from enum import StrEnum

import msgspec


class LangfuseState(StrEnum):
    """What ``/healthz`` says of Langfuse.

    ``local`` means that no keys are configured: the bridge keeps and shows, and sends nothing.
    """

    LOCAL = "local"
    OK = "ok"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"


class PendingSpan(msgspec.Struct, frozen=True, gc=False):
    """One finished observation that waits for delivery. Read from the ledger by ``deliver``.

    Attributes:
        position: Its place in the ledger; positions grow in the order of assembly.
        span: The OTLP ``Span`` message, encoded once and never again.
        envelope: For another program's span the ``ResourceSpans`` message, without spans, that it
            came in; None for ours.
    """

    position: int
    span: bytes
    service_name: str
    service_version: str | None
    envelope: bytes | None = None


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """Langfuse answered 200: the whole batch is there."""


class RetryLater(msgspec.Struct, frozen=True, tag="retry_later"):
    """Nothing is known to be wrong with the batch; the same bytes go again after ``after_s``."""

    after_s: float
    state: LangfuseState
    reason: str


class SplitBatch(msgspec.Struct, frozen=True, tag="split_batch"):
    """Something in the batch is not taken (400) or it is too large (413): try its halves."""

    reason: str


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """A single span that Langfuse will never take: dead-lettered with the reason."""

    reason: str


DeliveryOutcome = Delivered | RetryLater | SplitBatch | Rejected
