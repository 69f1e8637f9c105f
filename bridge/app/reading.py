"""Opening the ledger to look at it, for commands and for ``/healthz``."""

from typing import TYPE_CHECKING

from bridge.langfuse.wire import decode_span
from bridge.store.reader import LedgerReader

if TYPE_CHECKING:
    from bridge.config import Config


def ledger_reader(config: "Config") -> LedgerReader:
    """A reader of the ledger in the configured folder."""
    return LedgerReader(config.ledger_path, decode_span)
