"""Log lines that fail, and log lines of others."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from bridge.receive.journal import connection_logger, note


class FullDiskLogger:
    """Where every line fails as it does when the log's disk is full."""

    def msg(self, _: str) -> None:
        raise OSError(28, "No space left on device")

    debug = info = warning = error = msg


@pytest.fixture
def full_disk_log() -> Iterator[None]:
    before = structlog.get_config()
    structlog.reset_defaults()  # whatever other tests have set up
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=lambda *_: FullDiskLogger(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("full_disk_log")
def test_line_that_cannot_be_written_is_let_go() -> None:
    with pytest.raises(OSError, match="No space"):
        structlog.get_logger().warning("said.directly")
    note(logging.WARNING, "receive.unavailable", reason="disk full")


def test_error_of_a_connection_is_logged_by_its_kind_alone() -> None:
    logger = connection_logger()
    with capture_logs() as logs:
        logger.error("Error handling request", exc_info=ValueError(b"hunter2"))
    assert logs == [
        {"event": "receive.connection_failed", "error": "ValueError", "log_level": "debug"}
    ]
