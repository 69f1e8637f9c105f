"""Export requests whose bodies do not matter, and recorded ones with another body."""

from msgspec.structs import replace

from bridge.model.requests import Encoding, ExportRequest, Signal


def an_export(
    signal: Signal = Signal.LOGS, body: bytes = b"body", records: int = 1
) -> ExportRequest:
    return ExportRequest(
        signal=signal,
        encoding=Encoding.PROTOBUF,
        body=body,
        gzipped=False,
        records=records,
        received_at_ms=1_700_000_000_000,
    )


def with_body(request: ExportRequest, body: bytes) -> ExportRequest:
    """The same request with other bytes in it."""
    return replace(request, body=body, gzipped=False)
