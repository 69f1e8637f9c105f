"""Export requests for tests of the store, which never looks into a body."""

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
