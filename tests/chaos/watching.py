"""How much memory and disk a bridge takes, looked at from outside while it works.

Memory is PSS: a page that several processes share counts once, in shares. It is what the machine
would have back if all of them ended.
"""

import contextlib
import re
import threading
from pathlib import Path
from typing import Self

from tests.processes import Bridge

PERIOD_S = 0.1
MIB = 1024 * 1024
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Watch:
    """``with Watch(bridge) as watch``: looks several times a second.

    Attributes:
        peak_bytes: The most memory all its processes had at one moment.
        at_peak: Role → its share at that moment.
        peaks: Role → the most it ever had.
        disk_bytes: The most its folder ever had.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.peak_bytes = 0
        self.at_peak: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.disk_bytes = 0
        self._bridge = bridge
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._end.wait(PERIOD_S):
            self._look()

    def _look(self) -> None:
        now = {role: pss_bytes(pid) for role, pid in self._bridge.all_pids().items()}
        for role, size_bytes in now.items():
            self.peaks[role] = max(size_bytes, self.peaks.get(role, 0))
        if sum(now.values()) > self.peak_bytes:
            self.peak_bytes, self.at_peak = sum(now.values()), now
        self.disk_bytes = max(self.disk_bytes, folder_bytes(self._bridge.data_dir))


def pss_bytes(pid: int) -> int:
    """0 for a process that has just ended."""
    with contextlib.suppress(OSError):
        found = PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def folder_bytes(folder: Path) -> int:
    """All its files; one that is just going away counts nothing."""
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
