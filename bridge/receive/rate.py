"""How fast one sender may post: a token bucket, as a function of what was and the time. Pure.

The libraries there are bring storages and clocks of their own (``limits``) or let callers wait
(``aiolimiter``), where a client should hear at once when to come again.
"""

import math
from typing import Final, NamedTuple

BURST_S: Final = 10.0
"""How many seconds' worth a sender may post at once: exporters that could not reach the bridge
for a moment send what they held, and a gateway sends for many."""


class Bucket(NamedTuple):
    """What a sender may still post, as of a moment.

    Attributes:
        allowance: Requests.
        at_ms: Our clock, Unix milliseconds.
    """

    allowance: float
    at_ms: int


def take(bucket: Bucket | None, now_ms: int, per_s: float) -> tuple[Bucket, int]:
    """One request more.

    Args:
        bucket: None for a sender that was not heard of before.
        now_ms: Our clock, Unix milliseconds; it may have been set back.
        per_s: Requests that are allowed per second, above 0.

    Returns:
        The bucket now, and after how many seconds to come again; 0 when the request is let through.
    """
    most = max(per_s * BURST_S, 1.0)
    before = bucket or Bucket(most, now_ms)
    passed_s = max(now_ms - before.at_ms, 0) / 1000
    allowance = min(before.allowance + passed_s * per_s, most)
    if allowance >= 1:
        return Bucket(allowance - 1, now_ms), 0
    return Bucket(allowance, now_ms), math.ceil((1 - allowance) / per_s)
