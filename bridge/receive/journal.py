"""What the receiver writes into the bridge's own log.

Responsible for: that no answer depends on whether a line can be written, since the disk that is
full may be the one the log goes to, and that what aiohttp has to say carries no content.
Left to others: where lines go and how they look (``telemetry``).
"""

import logging
import traceback
from contextlib import suppress

import structlog

log = structlog.get_logger()


def note(level: int, event: str, **details: object) -> None:
    """Log ``event`` at one of ``logging``'s levels; a line that cannot be written is let go."""
    with suppress(OSError, ValueError):  # ValueError: the stream is closed
        log.log(level, event, **details)


def note_failure(error: Exception) -> None:
    """Log where it happened and what kind it was; the error's own text may quote content."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    note(
        logging.ERROR,
        "receive.failed",
        error=type(error).__name__,
        function=frame.name,
        line=frame.lineno,
    )


def connection_logger() -> logging.Logger:
    """Make a logger for aiohttp that keeps no more than the kind of an error.

    aiohttp logs what is not HTTP with a traceback that quotes the bytes, and those may be content.
    """
    logger = logging.Logger("bridge.receive.connection")  # noqa: LOG001 - must have no parent
    logger.addHandler(_KindOnly())
    return logger


class _KindOnly(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        note(logging.DEBUG, "receive.connection_failed", error=kind.__name__ if kind else None)
