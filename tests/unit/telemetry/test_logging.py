import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.telemetry.logging import REFUSED, configure


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    try:
        int("x")
    except ValueError as error:
        raise OSError("disk\nfull") from error


def test_an_event_is_one_json_line_that_begins_with_its_name(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    structlog.get_logger("bridge.receive").info("receive.started", port=4318, host="127.0.0.1")
    (entry,) = entries(stream)
    assert list(entry) == ["event", "level", "time", "logger", "port", "host"]
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "event": "receive.started",
        "level": "info",
        "logger": "bridge.receive",
        "port": 4318,
        "host": "127.0.0.1",
    }


def test_the_standard_library_logs_the_same_way(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    logging.getLogger("aiohttp.server").warning("closed after %d", 3)
    (entry,) = entries(stream)
    assert list(entry)[:4] == ["event", "level", "time", "logger"]
    assert (entry["event"], entry["level"]) == ("closed after 3", "warning")
    assert entry["logger"] == "aiohttp.server"


def test_libraries_keep_their_every_day_news_to_themselves(stream: io.StringIO) -> None:
    configure("debug", "json", stream)
    logging.getLogger("asyncio").info("using selector")
    logging.getLogger("aiohttp.access").info("POST /v1/logs")
    assert entries(stream) == []


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", ["a", "b", "c", "d"]), ("info", ["b", "c", "d"]), ("error", ["d"])],
)
def test_what_is_below_the_level_is_not_logged(
    stream: io.StringIO, level: str, seen: list[str]
) -> None:
    configure(level, "json", stream)
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [entry["event"] for entry in entries(stream)] == seen


def test_an_exception_is_fields_on_the_same_line(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    try:
        fail()
    except OSError:
        structlog.get_logger().exception("worker.failed")
        logging.getLogger("asyncio").exception("task died")
    ours, theirs = entries(stream)
    assert ours["exception"] == theirs["exception"]
    exception = ours["exception"]
    assert (exception["type"], exception["message"]) == ("OSError", "disk\nfull")
    assert exception["cause"]["type"] == "ValueError"
    assert exception["frames"][-1].endswith(" fail")


def test_an_exception_can_be_handed_over_by_itself(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    structlog.get_logger().error("worker.failed", exc_info=KeyError("gone"))
    structlog.get_logger().error("nothing.raised", exc_info=True)
    handed, without = entries(stream)
    assert handed["exception"] == {"type": "KeyError", "message": REFUSED, "frames": []}
    assert "exception" not in without


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_content_and_keys_are_refused_whatever_the_format(
    stream: io.StringIO, log_format: str
) -> None:
    configure("debug", log_format, stream)
    planted = "planted-7f3a"
    names = ("body", "prompt", "input", "output", "authorization", "secret_key", "token")
    structlog.get_logger().info("x.happened", **dict.fromkeys(names, planted))
    structlog.get_logger().info("x.happened", headers={"Authorization": planted})
    assert planted not in stream.getvalue()
    assert stream.getvalue().count(REFUSED) == len(names) + 1


def test_a_traceback_on_the_console_shows_no_local_variables(stream: io.StringIO) -> None:
    configure("info", "console", stream)
    try:
        held = "planted-" + "in-a-variable"
        int(held[:0])
    except ValueError:
        structlog.get_logger().exception("worker.failed")
    assert "worker.failed" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert "planted-in-a-variable" not in stream.getvalue()


@pytest.mark.parametrize(
    ("log_format", "terminal", "json_lines", "colours"),
    [
        ("auto", True, False, True),
        ("auto", False, True, False),
        ("console", False, False, False),
        ("json", True, True, False),
    ],
)
def test_the_format_follows_the_setting_and_auto_follows_the_stream(
    log_format: str, terminal: bool, json_lines: bool, colours: bool
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    configure("info", log_format, stream)
    structlog.get_logger().info("receive.started", port=4318)
    assert stream.getvalue().startswith('{"event": "receive.started"') == json_lines
    assert ("\x1b[" in stream.getvalue()) == colours


def test_configuring_again_replaces_the_stream(stream: io.StringIO) -> None:
    configure("info", "json", io.StringIO())
    configure("info", "json", stream)
    structlog.get_logger().info("receive.started")
    assert len(entries(stream)) == 1


def test_stderr_is_where_logs_go_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.get_logger().info("receive.started")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "receive.started"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_words_of_an_error_are_written_only_where_they_quote_nothing(
    stream: io.StringIO, log_format: str
) -> None:
    configure("debug", log_format, stream)
    try:
        try:
            int("planted-7f3a")
        except ValueError as error:
            raise OSError("disk full") from error
    except OSError:
        structlog.get_logger().exception("worker.failed")
        logging.getLogger("aiohttp.server").exception("failed")
    assert "planted-7f3a" not in stream.getvalue().replace('int("planted-7f3a")', "")
    assert (
        "OSError: disk full" in stream.getvalue() or '"message": "disk full"' in stream.getvalue()
    )
    assert "ValueError" in stream.getvalue()


def test_a_line_for_the_journal_begins_with_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        configure("debug", "auto", journal)
        log = structlog.get_logger("bridge")
        for tell in (log.debug, log.info, log.warning, log.error, log.critical):
            tell("told")
        journal.seek(0)
        lines = journal.read().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<3>"]
    assert {json.loads(line[3:])["event"] for line in lines} == {"told"}


def test_only_the_very_stream_that_is_the_journals_is_written_for_it(
    stream: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with (tmp_path / "file").open("w+") as file:
        for each in (stream, file):
            configure("info", "auto", each)
            structlog.get_logger("bridge").info("told")
            each.seek(0)
            assert json.loads(each.read())["event"] == "told"
