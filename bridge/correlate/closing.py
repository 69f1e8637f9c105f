"""When a turn's root is made, and why.

No record says that a turn has ended, so it is inferred, and the reason is kept with the root. The
root is sent once; what arrives afterwards hangs below it by id.
"""

from operator import itemgetter

import msgspec

from bridge.correlate.halves import COMPLETE
from bridge.correlate.state import LiveTurn
from bridge.correlate.turns import has_open_tool
from bridge.model.parts import ClosedBy


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what; the settings of the same names, in milliseconds."""

    settle_ms: int
    quiet_ms: int
    idle_ms: int
    session_idle_ms: int = 1_800_000
    span_settle_ms: int = 15_000

    @property
    def longest_ms(self) -> int:
        """No look is planned further ahead than this."""
        waits = (self.settle_ms, self.span_settle_ms, self.quiet_ms)
        return max(self.idle_ms, self.session_idle_ms) + sum(waits) + 1


SET_BACK_MS = 60_000
"""Less is jitter between two readings of a clock, more means that somebody set it."""


_due_ms = itemgetter(0)

_NEXT_PROMPT, _QUIET, _INTERACTION, _IDLE = ClosedBy
"""By names of ours: to ask the class for a member costs ten times as much, at each look."""


def has_passed(wait_ms: int, since_ms: int, now_ms: int) -> bool:
    """Whether ``wait_ms`` went by. A clock set back counts as passed, not as a wait without end."""
    return now_ms >= since_ms + wait_ms or now_ms < since_ms - SET_BACK_MS


def closed_by(
    turn: LiveTurn, patience: Patience, prompted_again: bool, now_ms: int
) -> ClosedBy | None:
    """Why the turn's root is due now; None when it is not.

    Args:
        turn: A turn whose root has not been made.
        patience: How long to wait.
        prompted_again: Whether its session went on to another prompt.
        now_ms: Our clock.
    """
    waited_ms = now_ms - turn.touched_ms
    is_quiet = waited_ms < 0 or waited_ms >= patience.quiet_ms or waited_ms >= patience.idle_ms
    if not (is_quiet or prompted_again or turn.span):
        return None  # nearly every look is at parts that have settled, while the turn goes on
    ends = deadlines(turn, patience, prompted_again)
    due_ms, reason = min(ends, key=_due_ms)
    passed = has_passed(due_ms - turn.touched_ms, turn.touched_ms, now_ms)
    return reason if passed else None


def soonest_end_ms(turn: LiveTurn, patience: Patience, prompted_again: bool) -> int:
    """The earliest of ``deadlines``, without making them where no span tells of the turn."""
    if turn.span is not None:
        return min([due_ms for due_ms, _ in deadlines(turn, patience, prompted_again)])
    wait_ms = patience.idle_ms
    finished = looks_finished(turn)
    if finished or prompted_again:
        quiet_ms, settle_ms = patience.quiet_ms, patience.settle_ms
        if has_open_tool(turn):
            end_ms = quiet_ms if prompted_again else wait_ms
        elif prompted_again or quiet_ms < settle_ms:
            end_ms = settle_ms
        else:
            end_ms = quiet_ms
        if end_ms < wait_ms:
            wait_ms = end_ms
    return turn.touched_ms + wait_ms


def deadlines(
    turn: LiveTurn, patience: Patience, prompted_again: bool
) -> list[tuple[int, ClosedBy]]:
    """When the root will be due for which reason if nothing more arrives.

    Of reasons that fall together the first counts.
    """
    touched_ms = turn.touched_ms
    ends = [(touched_ms + patience.idle_ms, _IDLE)]
    finished = looks_finished(turn)
    working = (finished or prompted_again) and has_open_tool(turn)
    if finished and not working:
        quiet_ms = max(patience.quiet_ms, patience.settle_ms)
        ends.append((touched_ms + quiet_ms, _QUIET))
    if turn.span:
        wait_ms = patience.span_settle_ms if is_half_told(turn) else patience.settle_ms
        ends.append((touched_ms + wait_ms, _INTERACTION))
    if prompted_again:
        wait_ms = patience.quiet_ms if working else patience.settle_ms
        ends.append((touched_ms + wait_ms, _NEXT_PROMPT))
    return ends


def is_half_told(turn: LiveTurn) -> bool:
    """Whether spans tell of work whose log records are still to come, or never will."""
    return not turn.has_logs or any(
        key.startswith("g:") and not part.told & COMPLETE for key, part in turn.parts.items()
    )


def looks_finished(turn: LiveTurn) -> bool:
    """Whether the main thread's latest work is one that a turn can end with."""
    if turn.last_main is None:
        prompt = turn.prompt
        if prompt is None or not prompt.built_in:
            return False
        return not prompt.asks or turn.last_ms is not None
    if turn.going_on is not None and turn.going_on[1] == turn.last_request:
        return False  # the tool it stopped for may be waiting for a person
    return turn.last_main_finishes
