"""Claude Code's names → our events. The one folder that knows them.

``names`` says which names there are, ``events`` what the log records become.
"""

from bridge.decode.claude_code.events import decode, event_name, recognises, record_key
from bridge.decode.claude_code.names import PRODUCT, SAFE_STRINGS

__all__ = ["PRODUCT", "SAFE_STRINGS", "decode", "event_name", "recognises", "record_key"]
