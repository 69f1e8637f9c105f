"""Time, as an argument. Pure code is given ``now_ms``; only the shell owns a clock."""

import time
from typing import Protocol


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
