import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from bridge.terminal.captures import CapturedRequest, find
from bridge.terminal.progress import progress_bar, sent_line, summary_line, summary_record
from bridge.terminal.sending import (
    MAX_ATTEMPTS,
    EndpointError,
    Sent,
    Summary,
    endpoint,
    headers_of,
    send,
    summarize,
    wait_s,
)
from tests.unit.terminal.endpoints import an_endpoint


@pytest.mark.parametrize(
    ("variable", "headers"),
    [
        ("", {}),
        ("a=1, b = x=y ,", {"a": "1", "b": "x=y"}),
        ("Authorization=Bearer%20t", {"Authorization": "Bearer t"}),
        ("Authorization=Bearer t", {"Authorization": "Bearer t"}),
        ("a=x%0D%0Ab: c,d=ü,=e", {}),
    ],
)
def test_headers_are_read_as_exporters_read_them(variable: str, headers: dict[str, str]) -> None:
    assert headers_of(variable) == headers


@pytest.fixture
def requests(tmp_path: Path) -> list[CapturedRequest]:
    (tmp_path / "1.logs.json").write_bytes(b'{"resourceLogs":[]}')
    (tmp_path / "2.traces.pb.gz").write_bytes(b"\x1f\x8bnot opened")
    return find([tmp_path])


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_bodies_are_posted_as_they_are_below_the_path_of_the_endpoint(
    requests: list[CapturedRequest],
) -> None:
    with an_endpoint() as server:
        results = send(requests, endpoint(f"{server.url}/team/"), {"X-Team": "platform"})
    assert [(each.status, each.attempts, each.accepted) for each in results] == [(200, 1, True)] * 2
    (path, headers, body), (gzip_path, gzip_headers, gzip_body) = server.asked
    assert (path, body) == ("/team/v1/logs", b'{"resourceLogs":[]}')
    assert (gzip_path, gzip_body) == ("/team/v1/traces", b"\x1f\x8bnot opened")
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Team"] == "platform"
    assert "Content-Encoding" not in headers
    assert gzip_headers["Content-Encoding"] == "gzip"
    assert gzip_headers["Content-Type"] == "application/x-protobuf"


def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(
    requests: list[CapturedRequest],
) -> None:
    waits: list[float] = []
    with an_endpoint((503, {"Retry-After": "7"}), (429, {})) as server:
        first, second = send(requests, endpoint(server.url), {}, sleep=waits.append)
    assert (first.status, first.attempts) == (200, 3)
    assert (second.status, second.attempts) == (200, 1)
    assert waits == [7.0, 2.0]


def test_an_endpoint_that_stays_busy_has_refused(requests: list[CapturedRequest]) -> None:
    waits: list[float] = []
    with an_endpoint(*[(503, {})] * MAX_ATTEMPTS) as server:
        (result,) = send(requests[:1], endpoint(server.url), {}, sleep=waits.append)
    assert (result.status, result.attempts, result.accepted) == (503, MAX_ATTEMPTS, False)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_refused_request_does_not_keep_the_next_from_being_sent(
    requests: list[CapturedRequest],
) -> None:
    with an_endpoint((400, {})) as server:
        results = send(requests, endpoint(server.url), {})
    assert summarize(results, 2) == Summary(sent=2, accepted=1, refused={"400": 1}, unsent=0)


def test_an_endpoint_that_is_not_there_ends_the_sending(requests: list[CapturedRequest]) -> None:
    told: list[Sent] = []
    results = send(requests, endpoint(f"http://127.0.0.1:{closed_port()}"), {}, on_sent=told.append)
    assert told == results
    assert results[0].reason == "ConnectionRefusedError: [Errno 111] Connection refused"
    summary = summarize(results, 2)
    assert summary == Summary(sent=1, accepted=0, refused={"unreachable": 1}, unsent=1)
    assert not summary.complete
    assert summary_line(summary) == (
        "1 request sent: 0 accepted, 1 refused (unreachable: 1), 1 not sent"
    )


@pytest.mark.parametrize(
    ("retry_after", "attempt", "seconds"),
    [("3", 4, 3.0), ("0", 1, 0.0), ("86400", 1, 30.0), (None, 3, 4.0), ("soon", 9, 30.0)],
    ids=["as named", "at once", "bounded", "doubling", "unreadable"],
)
def test_the_wait_is_what_the_answer_asks_for_within_bounds(
    retry_after: str | None, attempt: int, seconds: float
) -> None:
    assert wait_s(retry_after, attempt) == seconds


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "ftp://host", "http://", "http://h:99999"])
def test_an_address_nothing_can_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(EndpointError, match=url):
        endpoint(url)


def test_a_line_for_a_file_and_the_summary_say_how_it_went(requests: list[CapturedRequest]) -> None:
    accepted = Sent(request=requests[0], status=200, attempts=1)
    refused = Sent(request=requests[1], status=413, attempts=2)
    file, other = (str(request.file) for request in requests)
    assert sent_line(accepted) == f"{file}\t200\t1 attempt"
    assert sent_line(refused) == f"{other}\t413\t2 attempts"
    summary = summarize([accepted, refused], 2)
    assert summary_line(summary) == "2 requests sent: 1 accepted, 1 refused (413: 1)"
    assert summary_record(summary, [accepted, refused]) == {
        "sent": 2,
        "accepted": 1,
        "refused": {"413": 1},
        "unsent": 0,
        "accepted_records": None,
        "files": [
            {"file": file, "status": 200, "attempts": 1, "reason": None},
            {"file": other, "status": 413, "attempts": 2, "reason": None},
        ],
    }


def test_the_bar_counts_and_names_only_what_was_refused(requests: list[CapturedRequest]) -> None:
    console = Console(file=io.StringIO(), record=True, width=200, force_terminal=True)
    with progress_bar(console, 2) as advance:
        advance(Sent(request=requests[0], status=200, attempts=1))
        advance(Sent(request=requests[1], status=400, attempts=1))
    text = console.export_text()
    assert "2/2" in text
    assert "2.traces.pb.gz" in text
    assert "1.logs.json" not in text
