"""Claude Code's names → our events. The one folder that knows them.

``names`` says which names there are, ``events`` what the log records become, ``metrics`` what the
metric points become, ``spans`` what the spans become, ``clamping`` which of their values could
not be taken as they were.
"""

from bridge.decode.claude_code.clamping import clamped_in_log, clamped_in_span
from bridge.decode.claude_code.events import (
    decode,
    event_name,
    is_numbered,
    record_key,
    session_and_conversation,
)
from bridge.decode.claude_code.metrics import decode_point
from bridge.decode.claude_code.names import (
    PRODUCT,
    SAFE_SERIES_STRINGS,
    SAFE_STRINGS,
    SCOPE_PREFIX,
)
from bridge.decode.claude_code.spans import decode_span

__all__ = [
    "PRODUCT",
    "SAFE_SERIES_STRINGS",
    "SAFE_STRINGS",
    "clamped_in_log",
    "clamped_in_span",
    "decode",
    "decode_point",
    "decode_span",
    "event_name",
    "is_numbered",
    "recognises",
    "record_key",
    "session_and_conversation",
]


def recognises(scope_name: str) -> bool:
    """Whether a scope is Claude Code's."""
    return scope_name.startswith(SCOPE_PREFIX)
