"""How much of the disk the store has, and that it has no more than it may.

Responsible for: measuring the two files with their logs, and refusing requests above the bound.
Left to others: making room (the worker, which deletes what Langfuse has). Damaged files that were
set aside do not count: nobody deletes them but a person, and until then receiving should go on.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest
from bridge.store.sqlite import COMPANIONS

STORES: Final = ("inbox.db", "ledger.db")
RETRY_AFTER_S: Final = 2
"""The worker makes room within seconds where there is anything to delete."""

WANTED: Final = 0.9
"""The share of the bound above which delivered history is deleted early, before anybody is
refused."""

TROUBLE_S: Final = 60.0
"""How long a commit that failed is told of: whoever was refused comes again within seconds, and
where nobody does, nobody knows whether it would fail still."""

BYTES_PER_MIB: Final = 1_048_576


def used_bytes(folder: Path) -> int:
    """The size of the store's files together."""
    files = (folder / (store + suffix) for store in STORES for suffix in COMPANIONS)
    return sum(_size_bytes(file) for file in files)


def is_short(used: int, max_bytes: int) -> bool:
    """Whether history should be deleted before its time. Both in bytes."""
    return used > max_bytes * WANTED


class _Appends(Protocol):
    def append(self, requests: Sequence[ExportRequest]) -> None: ...


class BoundedInbox:
    """An inbox that takes nothing while the files are too large. ``measure`` is for a timer.

    Attributes:
        used_bytes: As measured last, and what was appended since.
        max_bytes: The bound.
    """

    def __init__(
        self,
        inbox: _Appends,
        folder: Path,
        max_bytes: int,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._folder = folder
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._now_s = now_s
        self._failed: tuple[float, str] | None = None
        self.measure()

    def append(self, requests: Sequence[ExportRequest]) -> None:
        """Commit all or none.

        Raises:
            IntakeUnavailableError: The inbox cannot, or there is no room by our own bound.
        """
        if self.is_full:
            raise IntakeUnavailableError(self.reason, RETRY_AFTER_S)
        try:
            self._inbox.append(requests)
        except IntakeUnavailableError as error:
            self._failed = (self._now_s(), error.reason)
            raise
        self._failed = None
        self.used_bytes += sum(len(request.body) for request in requests)

    def measure(self) -> None:
        """Look at the files."""
        self.used_bytes = used_bytes(self._folder)

    @property
    def is_full(self) -> bool:
        """Whether nothing is taken now."""
        return self.used_bytes > self.max_bytes

    @property
    def trouble(self) -> str | None:
        """Why requests are refused now, for a person; None while they are taken."""
        if self.is_full:
            return self.reason
        if self._failed is None:
            return None
        failed_s, reason = self._failed
        return reason if self._now_s() < failed_s + TROUBLE_S else None

    @property
    def reason(self) -> str:
        """For a person: what is full and what to do."""
        return (
            f"the files in {self._folder} have {self.used_bytes // BYTES_PER_MIB} MiB of "
            f"{self.max_bytes // BYTES_PER_MIB} MiB, and what Langfuse has not taken is not "
            "deleted; see what /healthz says of Langfuse, or raise BRIDGE_MAX_DISK_MB"
        )


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
