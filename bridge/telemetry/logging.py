"""One way of logging for every process: structlog events and the standard library's alike.

An event is a dotted name in the past tense with details as keys. This module decides only how it
is written; what is worth an event is decided where it happens.
"""

import logging
import os
import sqlite3
import sys
import traceback
from collections.abc import Iterable
from typing import TextIO

import structlog
from structlog.types import EventDict, ExcInfo, Processor, WrappedLogger

from bridge.errors import BridgeError

REFUSED = "<refused>"
REFUSED_KEYS = frozenset(
    {
        "body", "prompt", "input", "output", "authorization", "secret_key", "token", "x-api-key",
    }
)  # fmt: skip
"""Content and keys have no place in a log; a mistake shows as this marker instead of as them."""
QUIET_LOGGERS = ("asyncio", "aiohttp")
"""They tell of each connection at info; their warnings are worth reading."""
MAX_FRAMES = 20
TELLING_ERRORS = (BridgeError, OSError, sqlite3.Error)
"""Their messages are our own words, or say what is wrong with a file or a connection. Those of any
other exception may quote what it stumbled over: a value, a header, a line of a prompt."""
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Least level → what sd-daemon(3) calls it; below them is debug, 7."""


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to ``stream`` (stderr); calling again replaces it.

    Args:
        level: debug, info, warning or error.
        log_format: console, json, or auto: console when ``stream`` is a terminal.
        stream: Where to write. Where that is systemd's journal, each line begins with its priority,
            which the journal takes away again and ``journalctl -p warning`` asks for.
    """
    stream = sys.stderr if stream is None else stream
    colours = stream.isatty()
    console = log_format == "console" or (log_format == "auto" and colours)
    handler = logging.StreamHandler(stream)
    formatter = _formatter(_console(colours=colours) if console else _json())
    handler.setFormatter(_ForJournal(formatter) if _is_journal(stream) else formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _is_journal(stream: TextIO) -> bool:
    """Whether what systemd says is connected to its journal is this very stream."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file is behind it
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _ForJournal(logging.Formatter):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        priority = next((told for least, told in PRIORITIES if record.levelno >= least), 7)
        return f"<{priority}>{self._formatter.format(record)}"


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        refuse_content,
    ]


def _formatter(last: Iterable[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _console(*, colours: bool) -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=colours,
            timestamp_key="time",
            # The default prints the local variables of every frame, and with them content.
            exception_formatter=_traceback,
        )
    ]


def _json() -> list[Processor]:
    return [_exception_as_fields, _event_first, structlog.processors.JSONRenderer(default=str)]


def refuse_content(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put a marker in place of values under names that only content and keys have."""
    return {key: _refuse(key, value) for key, value in event.items()}


def _refuse(key: object, value: object) -> object:
    if str(key).lower() in REFUSED_KEYS:
        return REFUSED
    if isinstance(value, dict):
        return {inner: _refuse(inner, inner_value) for inner, inner_value in value.items()}
    return value


def _exception_as_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    error = _error_of(event.pop("exc_info", None))
    return event if error is None else {**event, "exception": _described(error)}


def _error_of(exc_info: ExcInfo | BaseException | bool | None) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _described(error: BaseException) -> dict[str, object]:
    """Type, message and the innermost frames, oldest first; ``cause`` when there is one."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    described: dict[str, object] = {
        "type": type(error).__qualname__,
        "message": _message(error),
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = _cause(error)
    return described if cause is None else {**described, "cause": _described(cause)}


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, TELLING_ERRORS) else REFUSED


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """As Python prints it, the cause first, without messages that may quote content."""
    error = exc_info[1]
    if (cause := _cause(error)) is not None:
        _traceback(stream, (type(cause), cause, cause.__traceback__))
        stream.write("\nwhich led to:\n")
    stream.write("\nTraceback (most recent call last):\n")
    stream.writelines(traceback.format_tb(error.__traceback__))
    stream.write(f"{type(error).__qualname__}: {_message(error)}")


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = ("event", "level", "time", "logger")
    order = (*(key for key in first if key in event), *(key for key in event if key not in first))
    return {key: event[key] for key in order}
