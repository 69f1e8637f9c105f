"""Which session or trace a person means by a prefix; pure, the ledger was asked already."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.model.views import NO_SESSION, TraceView

MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class Chosen:
    """The traces of the one session meant, or the one trace, in the order to read them."""

    traces: tuple[TraceView, ...]


@dataclass(frozen=True, slots=True)
class NotChosen:
    """Nothing, or more than one thing, begins like that; ``advice`` says what to do."""

    advice: str


def choose(traces: Sequence[TraceView], text: str) -> Chosen | NotChosen:
    """Decide among the ``traces`` found for ``text``, a prefix of session or trace ids.

    ``NO_SESSION`` means all that have no session.
    """
    names = {_session(each) for each in traces} | {each.trace_id for each in traces}
    meant = [text] if text in names else sorted(name for name in names if name.startswith(text))
    if not meant:
        return NotChosen(f"nothing that is kept begins with {text!r}; `sessions` lists what is")
    if len(meant) > 1:
        return NotChosen(_several(text, meant))
    found = [each for each in traces if meant[0] in {_session(each), each.trace_id}]
    return Chosen(tuple(sorted(found, key=_place)))


def _session(view: TraceView) -> str:
    return NO_SESSION if view.session_id is None else view.session_id


def _place(view: TraceView) -> tuple[bool, int, bool, str]:
    """By start; a summary comes where what it sums up has ended."""
    # A trace without any observation yet is the newest there is.
    starts = [each.start_ms for each in view.observations]
    ends = [each.end_ms for each in view.observations if each.parent_id is None]
    moments = ends if view.is_summary else starts
    return (not moments, min(moments, default=0), view.is_summary, view.trace_id)


def _several(text: str, meant: list[str]) -> str:
    more = len(meant) - MAX_LISTED
    listed = [*meant[:MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
    return "\n  ".join([f"{len(meant)} ids begin with {text!r}; give more of one:", *listed])
