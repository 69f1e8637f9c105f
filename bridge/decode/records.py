"""One export request → records: picks the coding agent, sets the time, finds out who it is from.

A record, span or metric point that cannot be read is returned as such and never stops the others
of its request.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count, repeat

import msgspec

from bridge.decode import claude_code, content
from bridge.decode.content import ContentPolicy
from bridge.decode.envelope import inflated
from bridge.decode.foreign import foreign_spans
from bridge.decode.moments import moment_ms
from bridge.decode.origins import IDENTITY, Origins, told_by_trace
from bridge.decode.otlp import LogReader, RawLog
from bridge.decode.otlp_metrics import RawPoint, raw_points
from bridge.decode.otlp_spans import RawSpan, raw_spans
from bridge.decode.privacy import Privacy
from bridge.decode.redaction import Redactor
from bridge.decode.senders import Senders
from bridge.errors import UndecodableError
from bridge.model.events import AnyEvent, Record
from bridge.model.foreign import ForeignSpan
from bridge.model.measures import Measurement
from bridge.model.observations import MetadataValue
from bridge.model.requests import ExportRequest, Signal
from bridge.otlp.pieces import pieces

REDACTED = "redacted"
"""Metadata: how many secrets were masked, and below it of which kinds."""


class Foreign(msgspec.Struct, frozen=True):
    """A log record, span or metric point of another program's scope.

    Attributes:
        span: The span whole, where it is to be passed on.
    """

    scope_name: str
    span: ForeignSpan | None = None


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A log record, span or metric point that could not be decoded, and why.

    Attributes:
        index: Its place in the request, counted as ``ExportRequest.records`` counts.
    """

    index: int
    reason: str


Decoded = Record | Measurement | Foreign | Unreadable

_LOGS, _TRACES = Signal.LOGS, Signal.TRACES  # looking them up by their class is slow


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours of one request, decoded together.

    Attributes:
        size_bytes: What they were in the body, about.
        last: Whether the request ends with them.
    """

    items: list[Decoded]
    size_bytes: int
    last: bool


@dataclass(slots=True)
class _Sofar:
    """What is counted over a whole request: the index of a record, and twins among log records."""

    indexes: Iterator[int] = field(default_factory=count)
    twins: dict[bytes, int] = field(default_factory=dict)


class Decoder:
    """Reads requests of all signals, by the settings that decoding depends on.

    Args:
        policy: What text goes on.
        tag_attributes: Attributes that are tags, so that metadata need not repeat them.
        keeps_foreign: Whether other programs' spans are to be passed on.
        privacy: Who and what is masked; by default no person, and secrets as ``policy`` says.
    """

    def __init__(
        self,
        *,
        policy: ContentPolicy,
        tag_attributes: frozenset[str],
        keeps_foreign: bool = False,
        privacy: Privacy | None = None,
    ) -> None:
        redactor = Redactor() if policy is ContentPolicy.REDACTED else None
        self._privacy = privacy or Privacy(redactor)
        self._policy = policy
        self._may_remove = policy is ContentPolicy.METADATA
        self._keeps_foreign = keeps_foreign
        self._identity = IDENTITY | tag_attributes
        self._origins = Origins(self._identity, self._privacy)
        self._senders = Senders(self._origins, self._identity)
        self._logs = LogReader(
            claude_code.FLEETING,
            claude_code.RECURRING,
            names_alone=not self._privacy.is_active,
        )
        self._sender: claude_code.Sender | None = None
        self._hidden_by: tuple[object, frozenset[str]] = None, frozenset()

    def decode(self, request: ExportRequest) -> Iterator[Decoded]:
        """Every log record, span or metric point of a request, in order.

        Raises:
            UndecodableError: The body as a whole cannot be read.
        """
        for batch in self.batches(request):
            yield from batch.items

    def batches(self, request: ExportRequest) -> Iterator[Batch]:
        """The same in batches; a large request is decoded piece by piece, as they are asked for.

        Raises:
            UndecodableError: The rest of the body cannot be read.
        """
        so_far, body = _Sofar(), inflated(request)
        ahead = pieces(request.signal, request.encoding, body)
        piece = next(ahead, None)
        while piece is not None:
            following = next(ahead, None)
            items = self._items(_part(request, piece), so_far)
            yield Batch(items=items, size_bytes=len(piece), last=following is None)
            piece = following

    def _items(self, request: ExportRequest, so_far: _Sofar) -> list[Decoded]:
        if request.signal is _LOGS:
            return self._records(request, so_far)
        if request.signal is _TRACES:
            return list(self._spans(request, so_far))
        return list(self._measurements(request, so_far))

    def _spans(self, request: ExportRequest, so_far: _Sofar) -> Iterator[Decoded]:
        raws = list(raw_spans(request))
        has_foreign = not all(claude_code.recognises(raw.scope_name) for raw in raws)
        whole = (
            foreign_spans(request, self._privacy)
            if has_foreign and self._keeps_foreign
            else repeat(None)
        )
        for raw, foreign, index in zip(raws, whole, so_far.indexes, strict=False):
            if isinstance(foreign, UndecodableError):
                yield Unreadable(index=index, reason=str(foreign))
            elif not claude_code.recognises(raw.scope_name):
                yield Foreign(raw.scope_name, foreign)
            else:
                yield _read(index, partial(self._span, raw, request))

    def _span(self, raw: RawSpan, request: ExportRequest) -> Record:
        raw, found = self._privacy.guarded(raw)
        event = claude_code.decode_span(
            raw, received_at_ms=request.received_at_ms, hidden=self._hidden(raw)
        )
        clamped = claude_code.clamped_in_span(raw, request.received_at_ms)
        return Record(
            event=self._allowed(event, clamped | _masked(found)),
            origin=self._origins.of(raw, raw.attributes, request.fixed),
            arrived_ms=request.received_at_ms,
            redacted=found.total(),
        )

    def _records(self, request: ExportRequest, so_far: _Sofar) -> list[Decoded]:
        items: list[Decoded] = []
        for raw, index in zip(self._logs.read(request), so_far.indexes, strict=False):
            try:
                items.append(self._record(raw, request, so_far.twins))
            except Exception as error:  # noqa: BLE001 - a bug of ours costs this record only
                items.append(Unreadable(index=index, reason=_reason(error)))
        return items

    def _record(
        self, raw: RawLog, request: ExportRequest, twins: dict[bytes, int]
    ) -> Record | Foreign:
        sender, found = self._sender, None
        if sender is None or raw.head is not sender.head or self._privacy.is_active:
            if not claude_code.recognises(raw.head.scope_name):
                return Foreign(raw.head.scope_name)
            if self._privacy.is_active:
                raw, found = self._privacy.guarded_log(raw)
            sender = self._sender = self._senders.of(raw.head, request.fixed)
        try:  # a subscript, as a call of ``get`` costs twice as much
            shape = sender.shapes[raw.pattern]
        except KeyError:
            shape = claude_code.shape_of(raw, sender)
        if shape.tells_sender:
            sender = self._senders.telling(raw.head, raw.attributes, request.fixed)
        event, clamped = claude_code.decode(raw, sender, shape, request.received_at_ms, twins)
        if clamped or found or self._may_remove:
            event = self._allowed(event, clamped | _masked(found or {}))
        return Record(
            event=event,
            origin=sender.origin,
            arrived_ms=request.received_at_ms,
            redacted=found.total() if found else 0,
        )

    def _measurements(self, request: ExportRequest, so_far: _Sofar) -> Iterator[Decoded]:
        index = -1
        for raw in raw_points(request):
            if not raw.is_second_half:
                index = next(so_far.indexes)
            if not claude_code.recognises(raw.scope_name):
                if not raw.is_second_half:
                    yield Foreign(raw.scope_name)
            elif measurement := self._measurement(raw, request):
                yield measurement
            elif not raw.is_second_half:
                yield Unreadable(index=index, reason="a metric point without a usable value")

    def _measurement(self, raw: RawPoint, request: ExportRequest) -> Measurement | None:
        raw, found = self._privacy.guarded(raw)
        session_id, conversation = claude_code.session_and_conversation(
            raw.attributes, raw.resource
        )
        point = claude_code.decode_point(
            raw,
            conversation=conversation,
            session_id=session_id,
            received_at_ms=request.received_at_ms,
            hidden=self._hidden(raw),
        )
        if point is None:
            return None
        return Measurement(
            point=content.apply_to_point(point, self._policy, claude_code.SAFE_SERIES_STRINGS),
            origin=self._origins.of(raw, raw.attributes, request.fixed),
            arrived_ms=request.received_at_ms,
            measured_ms=moment_ms(raw.time_unix_ns, request.received_at_ms),
            records=0 if raw.is_second_half else 1,
            redacted=found.total(),
        )

    def _allowed(self, event: AnyEvent, told: dict[str, MetadataValue]) -> AnyEvent:
        """What the policy lets through of an event, and what the bridge itself says of it."""
        allowed = content.apply(event, self._policy, claude_code.SAFE_STRINGS)
        if told:
            allowed = msgspec.structs.replace(allowed, attributes=allowed.attributes | told)
        return allowed

    def _hidden(self, raw: RawPoint | RawSpan) -> frozenset[str]:
        """Attributes that the trace tells; asked for by every record of the same resource."""
        resource, hidden = self._hidden_by
        if resource is not raw.resource:
            hidden = told_by_trace(frozenset(raw.resource), self._identity)
            self._hidden_by = raw.resource, hidden
        return hidden


def _part(request: ExportRequest, piece: bytes) -> ExportRequest:
    """The request with a piece of its inflated body; mostly that is all of it, as it came."""
    if piece is request.body:
        return request
    return msgspec.structs.replace(request, body=piece, gzipped=False)


def _masked(found: Mapping[str, int]) -> dict[str, MetadataValue]:
    """Metadata that counts what was masked; empty where nothing was."""
    if not found:
        return {}
    counts = {"": sum(found.values())} | {f".{kind}": number for kind, number in found.items()}
    return {f"{REDACTED}{kind}": number for kind, number in counts.items()}


def _read(index: int, read: Callable[[], Record]) -> Record | Unreadable:
    """What a record says; whatever goes wrong with one is no other's affair."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - a bug of ours costs this record only
        return Unreadable(index=index, reason=_reason(error))


def _reason(error: Exception) -> str:
    """Why a record could not be read, without quoting it: reasons are logged."""
    return f"a value of it cannot be read ({type(error).__name__})"
