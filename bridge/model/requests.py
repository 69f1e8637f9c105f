"""What a client posted: export requests, as received and as kept in the inbox."""

from enum import StrEnum

import msgspec


class Signal(StrEnum):
    """The three OTLP signals; the value is the path segment behind ``/v1/``."""

    LOGS = "logs"
    METRICS = "metrics"
    TRACES = "traces"


class Encoding(StrEnum):
    """How a body is written; the value is its media type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted export request, nothing derived but the number of its records.

    Made by ``receive``, read by ``decode`` through the inbox.

    Attributes:
        body: The bytes as they came: a gzip body stays gzip.
        gzipped: Whether ``body`` is gzip.
        records: Log records, metric data points or spans in it.
        received_at_ms: Our clock, Unix milliseconds.
        sender: Name of the token it came with; "" where none is needed.
        fixed: Attributes that the token gives all of it, whatever the client says.
    """

    signal: Signal
    encoding: Encoding
    body: bytes
    gzipped: bool
    records: int
    received_at_ms: int
    sender: str = ""
    fixed: dict[str, str] = {}


class Progress(msgspec.Struct, frozen=True):
    """How far the request behind the watermark has been assembled, if it takes several steps.

    Attributes:
        items: What was decoded of it so far; the next step goes on behind them.
        records: Log records, points or spans among them.
    """

    items: int = 0
    records: int = 0


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A committed export request and its position: positions only grow and are never reused."""

    position: int
    request: ExportRequest
