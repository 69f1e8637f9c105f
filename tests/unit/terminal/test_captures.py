import json
from pathlib import Path

import pytest

from bridge.terminal.captures import CapturedRequest, CaptureError, find


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())


def told(folder: Path, **entry: object) -> None:
    (folder / "capture.json").write_text(json.dumps({"requests": [entry]}))


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    write(
        tmp_path, "010.logs.json", "9.traces.pb", "002.metrics.pb.gz", "screens.txt", "3.logs.txt"
    )
    assert find([tmp_path]) == [
        CapturedRequest(
            file=tmp_path / "002.metrics.pb.gz",
            path="/v1/metrics",
            content_type="application/x-protobuf",
            gzipped=True,
        ),
        CapturedRequest(
            file=tmp_path / "9.traces.pb",
            path="/v1/traces",
            content_type="application/x-protobuf",
            gzipped=False,
        ),
        CapturedRequest(
            file=tmp_path / "010.logs.json",
            path="/v1/logs",
            content_type="application/json",
            gzipped=False,
        ),
    ]


def test_files_are_taken_in_the_order_they_are_given(tmp_path: Path) -> None:
    write(tmp_path, "1.logs.json", "2.logs.json")
    found = find([tmp_path / "2.logs.json", tmp_path / "1.logs.json"])
    assert [request.file.name for request in found] == ["2.logs.json", "1.logs.json"]


def test_what_the_capture_tells_of_path_and_content_type_counts(tmp_path: Path) -> None:
    write(tmp_path, "1.logs.json")
    told(
        tmp_path,
        file="1.logs.json",
        path="/team/v1/logs/",
        headers={"content-type": "application/json; charset=utf-8"},
    )
    (request,) = find([tmp_path / "1.logs.json"])
    assert (request.path, request.content_type) == (
        "/team/v1/logs/",
        "application/json; charset=utf-8",
    )


def test_a_grpc_method_is_posted_to_the_signals_own_path(tmp_path: Path) -> None:
    write(tmp_path, "1.logs.pb")
    path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    told(tmp_path, file="1.logs.pb", path=path, headers={})
    (request,) = find([tmp_path])
    assert (request.path, request.content_type) == ("/v1/logs", "application/x-protobuf")


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"requests": [3]}', '{"requests": 3}'],
    ids=["empty", "list", "odd", "number"],
)
def test_a_capture_file_of_another_kind_is_passed_over(tmp_path: Path, text: str) -> None:
    write(tmp_path, "1.logs.json")
    (tmp_path / "capture.json").write_text(text)
    assert [request.path for request in find([tmp_path])] == ["/v1/logs"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere: there is no such file or folder"):
        find([tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["notes.txt", "."], ids=["file", "folder"])
def test_a_path_without_bodies_says_how_they_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, "notes.txt")
    with pytest.raises(CaptureError, match=r"no body named like 001\.logs\.json"):
        find([tmp_path / name])
