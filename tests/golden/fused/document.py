"""What a capture with all its signals becomes, as a document to read and to compare."""

from pathlib import Path

from tests.golden.document import document, text_of
from tests.golden.fused.signals import assemble_fused

FOLDER = Path(__file__).parent


def golden_path(capture: str) -> Path:
    """Where a capture's document is kept."""
    return FOLDER / f"{capture}.json"


def golden_text(capture: str) -> str:
    """The document of a capture, assembled now from logs, metrics and spans."""
    return text_of(document(assemble_fused(capture)))
