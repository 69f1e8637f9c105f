"""Which turn a sub-agent's work belongs to, whichever prompt goes on meanwhile.

A background agent outlives its prompt, and its records name the prompt of the moment: the two
halves of a tool call name two of them. So an agent stays where its first record put it, until it
has completed; one that is sent on by a later prompt stays with that one from then on.
"""

import msgspec

from bridge.model.events import AgentCompleted, AnyEvent

KEPT_AGENTS = 128
"""Sub-agents remembered per conversation."""

KEPT_STAYS = 8
"""Of one of them; it takes a prompt to send it on."""


class Stay(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The turn that an agent works for, and the time (its clock) when it completed, if it has."""

    turn_key: str
    until_ms: int | None = None


Homes = dict[str, list[Stay]]
"""Agent id → its stays in order."""


def known_home(homes: Homes, event: AnyEvent) -> str | None:
    """The turn that the agent of an event works for, or the agent that started it."""
    for agent_id in (event.agent_id, event.parent_agent_id):
        for stay in homes.get(agent_id or "", ()):
            if stay.until_ms is None or event.time_ms <= stay.until_ms:
                return stay.turn_key
    return None


def settle_in(homes: Homes, event: AnyEvent, named: str, *, is_sure: bool) -> str:
    """The turn of an agent's record, which is remembered.

    Args:
        homes: Of its conversation.
        event: A record that names its agent.
        named: The turn that it names itself.
        is_sure: Whether its trace tells the same turn.
    """
    home = known_home(homes, event)
    turn_key = named if is_sure or home is None else home
    stays = homes.setdefault(event.agent_id or "", [])
    if not stays or (stays[-1].until_ms is not None and stays[-1].until_ms < event.time_ms):
        stays.append(Stay(turn_key))
    if type(event) is AgentCompleted:
        stays[-1] = Stay(stays[-1].turn_key, event.time_ms)
    del stays[:-KEPT_STAYS]
    while len(homes) > KEPT_AGENTS:
        del homes[next(iter(homes))]
    return turn_key


def is_at_home(homes: Homes, event: AnyEvent, turn_key: str) -> bool:
    """Whether the agent has only ever worked for this turn, and goes on."""
    stays = homes.get(event.agent_id or "")
    return stays == [Stay(turn_key)] and type(event) is not AgentCompleted
