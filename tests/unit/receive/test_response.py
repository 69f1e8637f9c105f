"""What clients are answered."""

import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bridge.model.requests import Encoding
from bridge.receive import response
from bridge.receive.request import Refusal
from bridge.receive.response import Answer


@pytest.mark.parametrize(
    "message",
    [ExportLogsServiceResponse(), ExportMetricsServiceResponse(), ExportTraceServiceResponse()],
)
def test_accepted_is_the_empty_response_of_every_signal(
    message: ExportLogsServiceResponse | ExportMetricsServiceResponse | ExportTraceServiceResponse,
) -> None:
    answer = response.accepted(Encoding.PROTOBUF)
    assert answer == Answer(status=200, content_type="application/x-protobuf", body=b"")
    assert message.SerializeToString() == answer.body


def test_accepted_json_is_an_empty_object() -> None:
    expected = Answer(status=200, content_type="application/json", body=b"{}")
    assert response.accepted(Encoding.JSON) == expected


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal.CROSS_SITE, 403, 7),
        (Refusal.HOST, 421, 7),
        (Refusal.NOT_FOUND, 404, 5),
        (Refusal.METHOD, 405, 12),
        (Refusal.CONTENT_TYPE, 415, 3),
        (Refusal.CONTENT_ENCODING, 415, 3),
        (Refusal.TOO_LARGE, 413, 3),
        (Refusal.INCOMPLETE, 400, 3),
        (Refusal.NOT_GZIP, 400, 3),
        (Refusal.MALFORMED, 400, 3),
        (Refusal.UNAUTHENTICATED, 401, 16),
        (Refusal.RATE_LIMITED, 429, 8),
        (Refusal.TOO_DEEP, 400, 3),
        (Refusal.TOO_MANY_RECORDS, 413, 3),
    ],
)
def test_refusal_has_its_status_and_code(refusal: Refusal, status: int, code: int) -> None:
    answer = response.refused(refusal, "why", Encoding.JSON)
    assert (answer.status, orjson.loads(answer.body)) == (status, {"code": code, "message": "why"})


def test_every_refusal_has_an_answer() -> None:
    assert set(response.STATUSES) == set(Refusal)


def test_wrong_method_is_told_the_right_one() -> None:
    answer = response.refused(Refusal.METHOD, "why", Encoding.JSON)
    assert answer.headers == {"Allow": "POST"}


def test_who_gives_no_token_is_told_how_to() -> None:
    answer = response.refused(Refusal.UNAUTHENTICATED, "why", Encoding.JSON)
    assert answer.headers == {"WWW-Authenticate": "Bearer"}


def test_who_is_too_fast_is_told_when_to_come_again() -> None:
    answer = response.refused(Refusal.RATE_LIMITED, "why", Encoding.JSON, retry_after_s=3)
    assert answer.headers == {"Retry-After": "3"}


def test_refusal_is_a_status_message_in_protobuf() -> None:
    answer = response.refused(Refusal.MALFORMED, "why", Encoding.PROTOBUF)
    assert answer.content_type == "application/x-protobuf"
    assert Status.FromString(answer.body) == Status(code=3, message="why")


def test_unavailable_says_when_to_come_again() -> None:
    answer = response.unavailable(7, Encoding.PROTOBUF)
    assert (answer.status, answer.headers) == (503, {"Retry-After": "7"})
    assert Status.FromString(answer.body).code == 14
