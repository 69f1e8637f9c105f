"""Finished spans → Langfuse: the loop that owns delivery.

Responsible for batches, for what is sent when, and for telling the outbox how each span ended.
Leaves what an answer means to ``retry``, HTTP to ``client``, bytes to ``wire``, and what is
pending to the outbox.

One task, one request at a time, oldest first. A batch stays in hand, as the same bytes, until
Langfuse takes or refuses it; so one Retry-After holds everything, and nothing overtakes. What is
in hand when we stop is still pending in the outbox.

::

    claim ─► encode ─► post ─► decide ─┬─ Delivered    outbox.delivered
               ▲         ▲             ├─ Rejected     outbox.rejected
               │         └─── wait ────┼─ RetryLater   (probe first, where a person must act)
               └───────── halves ──────┴─ SplitBatch
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, assert_never

import msgspec
import structlog

from bridge.clock import Clock
from bridge.langfuse.client import LangfuseClient
from bridge.langfuse.retry import asks_for_probe, decide
from bridge.langfuse.trouble import Sleep, Trouble, within
from bridge.langfuse.wire import encode_export
from bridge.model.delivery import (
    Delivered,
    LangfuseState,
    PendingSpan,
    Rejected,
    RetryLater,
    SplitBatch,
)

Batch = tuple[PendingSpan, ...]
Ending = Delivered | Rejected | SplitBatch

REACHED = "Langfuse takes what is sent."

log = structlog.get_logger(__name__)


class BatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much goes into one request.

    Attributes:
        claim_bytes: Sum of the spans; leaves room for the resources and framing around them.
        claim_spans: Keeps a 400 cheap to bisect.
        export_bytes: The encoded export. Langfuse Cloud documents 5 MB and does not say whether
            before or after gzip.
    """

    claim_bytes: int = 3_400_000
    claim_spans: int = 500
    export_bytes: int = 3_500_000


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request with spans, and what was made of its answer.

    Attributes:
        ending: The tag of its ``DeliveryOutcome``.
    """

    spans: int
    took_s: float
    ending: str


def told_nobody(_attempt: Attempt) -> None:
    """For a deliverer whose attempts nobody counts."""


class Outbox(Protocol):
    """What delivery needs of the ledger. Everything told to it is on disk when it returns."""

    async def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """The oldest pending spans in the order of their positions; empty: nothing is pending.

        Together at most ``max_bytes``, except that a single larger span comes alone. They stay
        pending until told otherwise: claiming again gives them again.
        """
        ...

    async def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        """Langfuse has these; all or none of them is recorded."""
        ...

    async def rejected(self, position: int, reason: str, at_ms: int) -> None:
        """Langfuse will never take this one; ``reason`` is for a person."""
        ...

    async def note(self, state: LangfuseState, reason: str) -> None:
        """What is known of Langfuse now; called when it changes."""
        ...


class Deliverer:
    """Delivers what the outbox holds, until told to stop. Owned by one task.

    Args:
        outbox: What is pending, and where endings are recorded.
        client: The way to Langfuse.
        clock: For the time of delivery.
        encode: Spans → a serialized, uncompressed ``ExportTraceServiceRequest``.
        limits: How much goes into one request.
        sleep: Waits that many seconds.
        jitter: Draws 0 ≤ fraction < 1.
        poll_interval_s: Between two looks at an empty outbox.
        wait_for_work: Instead of polling: returns when it may be worth looking again.
        stop_grace_s: How long a request in flight may still take after a stop request. Cut off,
            it may have been stored, and then comes twice.
        attempted: Is told of every request that was answered, or failed.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: LangfuseClient,
        clock: Clock,
        *,
        encode: Callable[[Sequence[PendingSpan]], bytes] = encode_export,
        limits: BatchLimits = BatchLimits(),  # noqa: B008 - frozen
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        poll_interval_s: float = 0.1,
        wait_for_work: Callable[[], Coroutine[Any, Any, None]] | None = None,
        stop_grace_s: float = 5.0,
        attempted: Callable[[Attempt], None] = told_nobody,
    ) -> None:
        self._attempted = attempted
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._encode = encode
        self._limits = limits
        self._jitter = jitter
        self._wait_for_work = wait_for_work or (lambda: sleep(poll_interval_s))
        self._stop_grace_s = stop_grace_s
        self._noted: tuple[LangfuseState, str] | None = None
        self._trouble = Trouble(
            "deliver", sleep=sleep, jitter=jitter, grace_s=stop_grace_s, told=self._note
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set; returns within the grace for the request in flight."""
        while not stop.is_set():
            batch = await self._outbox.claim(self._limits.claim_bytes, self._limits.claim_spans)
            if batch:
                await self._deliver(tuple(batch), stop)
            else:
                await within(self._wait_for_work(), stop, 0.0)

    async def _deliver(self, claimed: Batch, stop: asyncio.Event) -> None:
        """Bring each span of ``claimed`` to its ending, splitting where Langfuse refuses."""
        waiting = [claimed]
        while waiting:
            batch = waiting.pop()
            ending = await self._send(batch, stop)
            if ending is None:
                return
            waiting.extend(await self._settle(batch, ending))

    async def _settle(self, batch: Batch, ending: Ending) -> tuple[Batch, ...]:
        """Record an ending; what it leaves to be sent, the later part first."""
        match ending:
            case Delivered():
                positions = [span.position for span in batch]
                await self._outbox.delivered(positions, self._clock.now_ms())
                log.debug("deliver.batch_delivered", spans=len(batch))
                return ()
            case Rejected(reason=reason):
                (span,) = batch
                await self._outbox.rejected(span.position, reason, self._clock.now_ms())
                log.warning("deliver.span_rejected", position=span.position, reason=reason)
                return ()
            case SplitBatch(reason=reason):
                log.debug("deliver.batch_split", spans=len(batch), reason=reason)
                earlier, later = halves(batch)
                return later, earlier
            case unforeseen:
                assert_never(unforeseen)

    async def _send(self, batch: Batch, stop: asyncio.Event) -> Ending | None:
        """Post the same bytes until they come to an ending; None: we were stopped before."""
        export = self._encode(batch)
        if len(export) > self._limits.export_bytes and len(batch) > 1:
            return SplitBatch(reason=f"{len(export)} bytes are more than one export may have.")
        while not stop.is_set():
            began_s = time.monotonic()
            answer = await within(self._client.post_spans(export), stop, self._stop_grace_s)
            if answer is None:
                break
            outcome = decide(answer, len(batch), self._trouble.failures + 1, self._jitter())
            took_s = time.monotonic() - began_s
            ending = outcome.__struct_config__.tag
            self._attempted(Attempt(spans=len(batch), took_s=took_s, ending=str(ending)))
            if not isinstance(outcome, RetryLater):
                await self._reached()
                return outcome
            await self._trouble.wait_out(outcome, stop, loud=asks_for_probe(answer))
            if asks_for_probe(answer):
                await self._trouble.probe_until_free(self._client, stop)
        return None

    async def _reached(self) -> None:
        self._trouble.over()
        await self._note(LangfuseState.OK, REACHED)

    async def _note(self, state: LangfuseState, reason: str) -> None:
        if self._noted != (state, reason):
            self._noted = (state, reason)
            await self._outbox.note(state, reason)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The earlier and the later half of a batch of two or more, the same for the same batch."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
