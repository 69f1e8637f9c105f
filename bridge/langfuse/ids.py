"""Identities sent to Langfuse: functions of the records alone.

The same records give the same ids on every machine and after every restart, so a child names its
parent without having seen it, and a repetition is recognised by its id.
"""

import hashlib
from functools import lru_cache
from typing import Final

KEPT_TRACES: Final = 1_024
"""Asked for with every observation, and whenever a turn is saved."""


@lru_cache(maxsize=KEPT_TRACES)
def trace_id(turn_key: str) -> str:
    """Sixteen bytes of SHA-256 over the turn's key, as 32 hex digits."""
    return hashlib.sha256(f"trace\0{turn_key}".encode()).hexdigest()[:32]


def observation_id(trace: str, kind: str, key: str) -> str:
    """Eight bytes of SHA-256 over trace, kind and key, as 16 hex digits."""
    return hashlib.sha256(f"{trace}\0{kind}\0{key}".encode()).hexdigest()[:16]


def root_id(trace: str) -> str:
    """The id of the trace's root."""
    return observation_id(trace, "root", "")
