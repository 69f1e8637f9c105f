"""Claude Code's names → our events. The one folder that knows them.

``names`` says which names there are, ``logs`` and ``events`` what the log records become,
``metrics`` what the metric points become, ``spans`` what the spans become, ``clamping`` which of
their values could not be taken as they were. ``senders`` and ``shapes`` hold what many log records
have in common.
"""

from bridge.decode.claude_code.clamping import clamped_in_span
from bridge.decode.claude_code.known import OWN_ATTRIBUTES
from bridge.decode.claude_code.logs import decode, record_key, shape_of
from bridge.decode.claude_code.metrics import decode_point
from bridge.decode.claude_code.names import (
    FLEETING,
    PRODUCT,
    RECURRING,
    SAFE_SERIES_STRINGS,
    SAFE_STRINGS,
    SCOPE_PREFIX,
)
from bridge.decode.claude_code.senders import Sender, Shapes, session_and_conversation
from bridge.decode.claude_code.spans import decode_span

__all__ = [
    "FLEETING",
    "OWN_ATTRIBUTES",
    "PRODUCT",
    "RECURRING",
    "SAFE_SERIES_STRINGS",
    "SAFE_STRINGS",
    "Sender",
    "Shapes",
    "clamped_in_span",
    "decode",
    "decode_point",
    "decode_span",
    "recognises",
    "record_key",
    "session_and_conversation",
    "shape_of",
]


def recognises(scope_name: str) -> bool:
    """Whether a scope is Claude Code's."""
    return scope_name.startswith(SCOPE_PREFIX)
