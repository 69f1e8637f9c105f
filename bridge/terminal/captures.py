"""Recorded export requests as files: ``NNN.<signal>.<json|pb>[.gz]``, bodies exactly as they came.

A folder of them is a capture. Its ``capture.json`` may tell path and content type; the names
suffice. Posting them is left to ``sending``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.model.requests import Encoding, Signal

NAME = re.compile(
    r"(?P<number>\d+)\.(?P<signal>logs|metrics|traces)\.(?P<form>json|pb)(?P<gz>\.gz)?"
)
ENCODINGS = {"json": Encoding.JSON, "pb": Encoding.PROTOBUF}


class CaptureError(Exception):
    """A path that holds nothing to send; the text says which and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedRequest:
    """One body to post. Made by ``find``, read by ``sending``.

    Attributes:
        path: Behind the endpoint, such as ``/v1/logs``.
    """

    file: Path
    path: str
    content_type: str
    gzipped: bool


def find(paths: Iterable[Path]) -> list[CapturedRequest]:
    """The requests of all ``paths``, files or folders, as given; those of a folder by number.

    Raises:
        CaptureError: A path is missing, is no recorded body, or is a folder without any.
    """
    return [request for path in paths for request in _of_path(path)]


def _of_path(path: Path) -> list[CapturedRequest]:
    if not path.exists():
        raise CaptureError(f"{path}: there is no such file or folder")
    told = _told(path if path.is_dir() else path.parent)
    files = sorted(path.iterdir(), key=_order) if path.is_dir() else [path]
    requests = [
        _request(file, match, told) for file in files if (match := NAME.fullmatch(file.name))
    ]
    if not requests:
        raise CaptureError(
            f"{path}: no body named like 001.logs.json, 002.traces.pb or 003.metrics.pb.gz"
        )
    return requests


def _order(file: Path) -> tuple[int, str]:
    match = NAME.fullmatch(file.name)
    return (int(match["number"]) if match else 0, file.name)


def _request(file: Path, match: re.Match[str], told: Mapping[str, object]) -> CapturedRequest:
    signal, encoding = Signal(match["signal"]), ENCODINGS[match["form"]]
    path, content_type = _path_and_type(told.get(file.name))
    return CapturedRequest(
        file=file,
        # A gRPC method is a path too, but not one that HTTP posts go to.
        path=path if path.rstrip("/").endswith(f"/v1/{signal}") else f"/v1/{signal}",
        content_type=content_type or encoding.value,
        gzipped=match["gz"] is not None,
    )


def _told(folder: Path) -> dict[str, object]:
    """What ``capture.json`` says of each file; nothing when there is none or it is another's."""
    try:
        requests = json.loads((folder / "capture.json").read_bytes())["requests"]
        return {entry["file"]: entry for entry in requests}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _path_and_type(entry: object) -> tuple[str, str]:
    if not isinstance(entry, dict):
        return "", ""
    headers = entry.get("headers")
    pairs = headers.items() if isinstance(headers, dict) else ()
    content_type = next((value for key, value in pairs if str(key).lower() == "content-type"), "")
    return str(entry.get("path", "")), str(content_type)
