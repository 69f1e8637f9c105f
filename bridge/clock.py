"""Time, as an argument. Pure code is given ``now_ms``; only the shell owns a clock."""

import time
from collections.abc import Callable
from typing import Final, Protocol


class Clock(Protocol):
    """What the shell asks for the time."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


CATCH_UP: Final = 24
"""How many times faster than time itself ages may grow after the clock went ahead: a clock that is
a year ahead for a minute costs 24 minutes of history, and three weeks without power, which look
the same, are caught up with in a day."""


def steady_ms(last_ms: int, wall_ms: int, elapsed_ms: int) -> int:
    """What to measure ages by: never back, never standing still, never ahead by leaps.

    Args:
        last_ms: What it was before.
        wall_ms: What the clock says now, which somebody may have set.
        elapsed_ms: What has really passed since.
    """
    return max(last_ms + elapsed_ms, min(wall_ms, last_ms + CATCH_UP * elapsed_ms))


class SteadyTime:
    """Time for ages of what is kept: goes on from where it was, whatever the clock is set to."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._last: tuple[int, float] | None = None

    def at(self, wall_ms: int, kept_ms: int | None) -> int:
        """Unix milliseconds.

        Args:
            wall_ms: What the clock says.
            kept_ms: Where it was when it was last written down; None when it never was.
        """
        now_s = self._monotonic_s()
        last_ms, last_s = self._last or (wall_ms if kept_ms is None else kept_ms, now_s)
        found_ms = steady_ms(last_ms, wall_ms, int((now_s - last_s) * 1000))
        if self._last is None or found_ms > last_ms:
            self._last = (found_ms, now_s)
        return found_ms
