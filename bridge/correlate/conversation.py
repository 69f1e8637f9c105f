"""What is kept of a conversation: private to ``correlate``, saved in the ledger as it is.

Written without the names of its fields, as turns are: a new field goes behind the others.
"""

import msgspec

from bridge.correlate.activity import Activity
from bridge.correlate.homes import Homes
from bridge.correlate.state import Order
from bridge.model.events import Record

KEPT_PROMPTS = 64
"""Prompts remembered per conversation; records are assigned within seconds of them."""

KEPT_TRACES = 256
OF_SEVERAL = ""
"""In place of the turn of a trace that several prompts are in, as under one ``TRACEPARENT``."""


class PromptMark(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A prompt that was seen: its place in the conversation and its turn.

    Attributes:
        traced: Whether it names its trace; spans of other traces cannot be its.
    """

    order: Order
    sequence: int | None
    turn_key: str
    traced: bool = False


class Conversation(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """One session (or one installation that does not tell its sessions).

    Attributes:
        prompts: In order, the latest ``KEPT_PROMPTS``.
        waiting: Records whose turn is not known yet.
        live: Keys of turns that are not finished.
        traces: Trace of the client's spans → turn, or ``OF_SEVERAL``, the latest ``KEPT_TRACES``.
        traced: Whether it has had spans, and ``has_logs`` whether log records.
        logs_name_traces: Whether those say which trace they are in.
        last_log_ms: When the installation last sent log records, to within minutes; only kept in
            the conversation that stands for the installation.
        activity: Its numbers, and whether a stretch of activity goes on.
        assign_ms: When its waiting records are looked at next, ``end_ms`` whether its stretch has
            ended.
        homes: The turns that its sub-agents work for.
        strays: Part of a turn → that turn, where its halves name two.
    """

    key: str
    prompts: list[PromptMark] = []
    waiting: list[Record] = []
    live: set[str] = set()
    traces: dict[str, str] = {}
    traced: bool = False
    has_logs: bool = False
    logs_name_traces: bool = False
    last_log_ms: int = 0
    activity: Activity = msgspec.field(default_factory=Activity)
    assign_ms: int | None = None
    end_ms: int | None = None
    homes: Homes = {}
    strays: dict[str, str] = {}

    @property
    def resting(self) -> bool:
        """Nothing of it is going on."""
        return not self.waiting and not self.live and not self.activity.open
