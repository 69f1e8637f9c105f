"""What a check of the installation found; made by ``client`` and ``doctor``."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands with what was checked."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``langfuse-bridge doctor``.

    Attributes:
        name: What was checked.
        text: What was found.
        remedy: What to do about it; empty where all is well.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, text)


def warning(name: str, text: str, remedy: str) -> Finding:
    """It works, but not all of it, or not for long."""
    return Finding(name, State.WARNING, text, remedy)


def failed(name: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, State.FAILED, text, remedy)
