"""Scores → Langfuse: the loop that owns their delivery.

Responsible for what is sent when, and for telling the outbox how each score ended. Leaves bytes,
routes and the meaning of answers to ``score_routes``, HTTP to ``client``, and which score is due at
which revision to the outbox.

A task of its own beside the delivery of spans, with its own waits: scores may be refused, limited
or late without holding up a single span, and say so in the log only. What is in hand when we stop
is still pending in the outbox. Sending a score again changes nothing, since Langfuse replaces a
score by its id, name and date.

::

    claim ─► sift ─► post ─► judge ─┬─ taken      outbox.scores_delivered
                      ▲             ├─ rejected   outbox.score_rejected
                      └─── wait ────┴─ again      (probe first, where a person must act)
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from bridge.clock import Clock
from bridge.langfuse.client import Document, LangfuseClient
from bridge.langfuse.retry import asks_for_probe, decide
from bridge.langfuse.score_configs import ensure_configs
from bridge.langfuse.score_routes import (
    MAX_BODY_BYTES,
    MAX_SCORES,
    Batch,
    Route,
    Verdict,
    encode,
    halves,
    judge,
    route_for,
    server_version,
    sift,
)
from bridge.langfuse.trouble import Sleep, Trouble, within
from bridge.model.delivery import RetryLater
from bridge.model.scores import PendingScore

log = structlog.get_logger(__name__)


class ScoreOutbox(Protocol):
    """What delivery needs of the ledger. Everything told to it is on disk when it returns."""

    async def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        """At most ``limit`` scores that are due, one revision of each; empty: nothing is due.

        They stay pending until told otherwise: claiming again gives them again, also after a
        restart, and the same revision is always the same value.
        """
        ...

    async def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        """Langfuse has these; all or none of them is recorded."""
        ...

    async def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        """Langfuse will never take this revision; ``reason`` is for a person."""
        ...


class ScoreSender:
    """Delivers the scores the outbox says are due, until told to stop. Owned by one task.

    Args:
        outbox: What is due, and where endings are recorded.
        client: The way to Langfuse.
        clock: For what is due, and the time of delivery.
        sleep: Waits that many seconds.
        jitter: Draws 0 ≤ fraction < 1.
        poll_interval_s: Between two looks at an outbox with nothing due.
        stop_grace_s: How long a request in flight may still take after a stop request.
    """

    def __init__(
        self,
        outbox: ScoreOutbox,
        client: LangfuseClient,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        poll_interval_s: float = 1.0,
        stop_grace_s: float = 5.0,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._poll_interval_s = poll_interval_s
        self._stop_grace_s = stop_grace_s
        self._route: Route | None = None
        self._described = False
        self._trouble = Trouble("scores", sleep=sleep, jitter=jitter, grace_s=stop_grace_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set; returns within the grace for the request in flight."""
        while not stop.is_set():
            claimed = await self._outbox.claim_scores(self._clock.now_ms(), MAX_SCORES)
            if claimed:
                await self._deliver(tuple(claimed), stop)
            else:
                await within(self._sleep(self._poll_interval_s), stop, 0.0)

    async def _deliver(self, claimed: Batch, stop: asyncio.Event) -> None:
        """Bring each score of ``claimed`` to its ending, or leave it to a later claim."""
        verdict: Verdict | None = sift(claimed)
        waiting: deque[Batch] = deque()
        while verdict is not None:
            await self._record(verdict)
            await self._describe(verdict, stop)
            waiting.extendleft(reversed(verdict.again))
            await self._hold_for(verdict, stop)
            if not waiting or stop.is_set():
                return
            verdict = await self._send(waiting.popleft(), stop)

    async def _send(self, batch: Batch, stop: asyncio.Event) -> Verdict | None:
        """One request and what it came to; None: we were stopped before."""
        route = self._route or await self._choose_route(stop)
        if route is None:
            return None
        body = encode(route, batch)
        if len(body) > MAX_BODY_BYTES and len(batch) > 1:
            return Verdict(again=halves(batch))
        document = await within(self._post(route, body), stop, self._stop_grace_s)
        if document is None:
            return None
        verdict = judge(route, document, batch, self._trouble.failures + 1, self._jitter())
        if verdict.fall_back:
            log.warning("scores.route_refused", route=route.value, reason=document.answer.error)
            self._route = Route.INGESTION
        self._reached(verdict)
        return verdict

    async def _post(self, route: Route, body: bytes) -> Document:
        post = self._client.post_scores if route is Route.ARRAY else self._client.post_ingestion
        return await post(body)

    async def _choose_route(self, stop: asyncio.Event) -> Route | None:
        """Once per start, by the server's version; None: we were stopped before it was known.

        A server that is away is waited for: it would not take scores either.
        """
        while not stop.is_set():
            document = await within(self._client.get_health(), stop, self._stop_grace_s)
            if document is None:
                break
            outcome = decide(document.answer, 1, self._trouble.failures + 1, self._jitter())
            if isinstance(outcome, RetryLater) and not asks_for_probe(document.answer):
                await self._trouble.wait_out(outcome, stop, loud=False)
                continue
            version = server_version(document)
            self._route = route_for(version)
            log.info("scores.route_chosen", route=self._route.value, version=version)
            return self._route
        return None

    async def _record(self, verdict: Verdict) -> None:
        if verdict.taken:
            await self._outbox.scores_delivered(verdict.taken, self._clock.now_ms())
            log.debug("scores.batch_delivered", scores=len(verdict.taken))
        for pending, reason in verdict.rejected:
            await self._outbox.score_rejected(pending, reason, self._clock.now_ms())
            log.warning(
                "scores.score_rejected",
                score=pending.score.name,
                id=pending.score.id,
                revision=pending.revision,
                reason=reason,
            )

    async def _describe(self, verdict: Verdict, stop: asyncio.Event) -> None:
        """Once per start, when Langfuse has shown that it takes our scores."""
        if verdict.taken and not self._described:
            self._described = True
            await within(ensure_configs(self._client), stop, self._stop_grace_s)

    def _reached(self, verdict: Verdict) -> None:
        if verdict.later is None and not verdict.fall_back:
            self._trouble.over()

    async def _hold_for(self, verdict: Verdict, stop: asyncio.Event) -> None:
        if verdict.later is not None:
            await self._trouble.wait_out(verdict.later, stop, loud=verdict.probe)
        if verdict.probe:
            await self._trouble.probe_until_free(self._client, stop)
