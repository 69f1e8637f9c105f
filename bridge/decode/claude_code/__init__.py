"""Claude Code's names → our events. The one folder that knows them.

To change what an attribute means, look for its name here:

``names``     which names there are: placeholders, noise, what is shown and what has an own field
``events``    log records: ``_KINDS`` names what each event is made of, its builder makes it
``spans``     spans
``metrics``   metric points
``calls``     the arguments, title and sub-agent of a tool call
``clamping``  which values have limits, and what is said of those that are beyond
``known``     which names are not counted as unknown

How a log record gets to its builder is in three more, none of which gives a name a meaning:

``shapes``    a pattern of attributes → where each that its kind wants stands
``senders``   a head → session, key and row of all records that have it
``logs``      a record, by its sender and its shape → its key, its ids, its event
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
