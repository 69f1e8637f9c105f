"""When the inbox is worth a look: at once while records come, seldom while none do.

A look costs a change of threads and a few queries. Twenty of them a second are what makes records
arrive soon, and what a laptop notices while nobody works. So the file that every commit writes to
is asked first, which costs microseconds, and asked less often once nothing has come for a while.
"""

from pathlib import Path
from typing import Final

LINGER_S: Final = 1.0
"""So long after a change of the file it is looked at again and again: a commit can be read only
once it is on disk, which may be long after its file has changed."""
IDLE_LOOK_S: Final = 1.0
"""A look is had all the same: a change within the same tick of the file's clock is not seen, and
the time may have been set back."""
POLL_S: Final = 0.05
IDLE_POLL_S: Final = 0.25
"""Between two questions. It delays no delivery: how long a record settles counts from its arrival,
and what is due then is not waited for in steps."""

Signature = tuple[int, int] | None
"""When a file was changed, nanoseconds, and its size; None where there is none."""


def signature(path: Path) -> Signature:
    """What changes with the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class Attention:
    """Remembers when the inbox last changed, and when it was last looked at. Asks no clock."""

    def __init__(self) -> None:
        self._known: Signature = None
        self._until_s = float("-inf")
        self._looked_s = float("-inf")

    def is_due(self, found: Signature, now_s: float, due_in_s: float) -> bool:
        """Whether to look now.

        Args:
            found: The signature of the inbox's log.
            now_s: A clock that is never set, seconds.
            due_in_s: Until something is due without any record; not above 0 once it is.
        """
        if found != self._known:
            self._known, self._until_s = found, now_s + LINGER_S
        if due_in_s <= 0 or now_s < self._until_s or now_s - self._looked_s >= IDLE_LOOK_S:
            self._looked_s = now_s
            return True
        return False

    def pause_s(self, now_s: float, due_in_s: float) -> float:
        """How long to wait before asking again; arguments as of ``is_due``."""
        pause_s = POLL_S if now_s < self._until_s or due_in_s <= 0 else IDLE_POLL_S
        return min(pause_s, due_in_s) if due_in_s > 0 else pause_s
