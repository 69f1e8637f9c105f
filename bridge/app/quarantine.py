"""Putting back what was set aside, for a person who thinks that it can be taken in now.

Works on the two files beside a running bridge, or without one. Appended first, taken out second: a
crash between the two leaves records in both places, and the second copy ends as a ``duplicate``.
"""

from enum import StrEnum

import msgspec

from bridge.app.assembler import trace_settings
from bridge.clock import SystemClock
from bridge.config import Config
from bridge.langfuse import wire
from bridge.langfuse.mapping import Mapper
from bridge.model.packing import unpacker
from bridge.model.parts import Settled
from bridge.model.requests import ExportRequest
from bridge.model.views import Ending, SetAside
from bridge.store.inbox import Inbox
from bridge.store.quarantine import Quarantine
from bridge.store.step import Finished

request_in = unpacker(ExportRequest)
part_in = unpacker(Settled)


class Retried(StrEnum):
    """What became of an attempt to put something back."""

    IN_INBOX = "in the inbox again"
    PENDING = "waits for Langfuse again"
    GONE = "is gone, somebody else took it out"
    WITHOUT_BYTES = "was kept without its bytes, as content=metadata has it; nothing can be retried"
    STILL_FAILING = "still cannot be told of; it stays until a newer version of the bridge can"


def retry(config: Config, item: SetAside) -> Retried:
    """Put one thing back, and take it out of the quarantine.

    Raises:
        BridgeError: A file cannot be used; it stays where it is.
    """
    kept = Quarantine(config.ledger_path)
    now_ms = SystemClock().now_ms()
    if item.ending is Ending.DEAD_LETTERED:
        return Retried.PENDING if kept.deliver_again(item, now_ms) else Retried.GONE
    body = kept.content(item)
    if body is None:
        return Retried.GONE
    if not body:
        return Retried.WITHOUT_BYTES
    if item.signal is None:
        return _settle(config, kept, item, part_in(body), now_ms)
    _append(config, msgspec.structs.replace(request_in(body), received_at_ms=now_ms))
    return Retried.IN_INBOX if kept.remove(item) else Retried.GONE


def _append(config: Config, request: ExportRequest) -> None:
    inbox = Inbox(config.data_dir / "inbox.db")
    try:
        inbox.append([request])
    finally:
        inbox.close()


def _settle(
    config: Config, kept: Quarantine, item: SetAside, settled: Settled, now_ms: int
) -> Retried:
    try:
        observation = Mapper(trace_settings(config)).observation(settled)
        span = wire.encode_span(observation)
    except Exception:  # noqa: BLE001 - what it failed with before, it may fail with again
        return Retried.STILL_FAILING
    finished = Finished(
        observation=observation, span=span, observed=settled.observed, folded=settled.folded
    )
    return Retried.PENDING if kept.settle(item, finished, now_ms) else Retried.GONE
