"""Which of the times that clients tell can be true."""

NS_PER_MS = 1_000_000

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: no coding agent had telemetry before, and milliseconds or seconds given as
nanoseconds fall into 1970."""

AHEAD_MS = 86_400_000
"""A clock may be wrong by a time zone, in either direction."""

MAX_DURATION_MS = 7 * 86_400_000
"""A week: longer than any request or tool call waits."""


def moment_ms(unix_ns: int, received_at_ms: int) -> int:
    """When it happened; when it reached us, if its time is missing or cannot be true."""
    unix_ms = unix_ns // NS_PER_MS
    return unix_ms if is_plausible(unix_ms, received_at_ms) else received_at_ms


def is_plausible(unix_ms: int, received_at_ms: int) -> bool:
    """Whether something that reached us then can have happened at ``unix_ms``.

    While our own clock stands before 2020, nothing can be told from it.
    """
    latest_ms = received_at_ms + AHEAD_MS if received_at_ms >= EARLIEST_MS else 2 * EARLIEST_MS
    return EARLIEST_MS <= unix_ms <= latest_ms
