"""Senders of log records, each made once for as long as records come from it."""

from collections.abc import Mapping
from typing import Final

from bridge.decode import claude_code
from bridge.decode.attributes import Attributes
from bridge.decode.layouts import Head
from bridge.decode.origins import Origins, told_by_trace

KEPT: Final = 1_024
"""Senders remembered, and combinations of names that their heads may have."""


class Senders:
    """Makes senders, and gives the one made before where the same head is told again.

    Args:
        origins: Makes what senders say to others.
        identity: Record attributes that the trace tells.
    """

    def __init__(self, origins: Origins, identity: frozenset[str]) -> None:
        self._origins = origins
        self._identity = identity
        self._known: dict[Head, claude_code.Sender] = {}
        self._all_shapes: list[claude_code.Shapes] = []
        self._shapes: dict[tuple[frozenset[str], tuple[str, ...]], claude_code.Shapes] = {}

    def of(self, head: Head, fixed: Mapping[str, str]) -> claude_code.Sender:
        """Who records with this head are from, if nothing else in them says so.

        ``fixed`` is what their sender's token says.
        """
        known = self._known.get(head)
        return known or self._remembered(head, self.telling(head, head.attributes, fixed))

    def telling(
        self, head: Head, attributes: Attributes, fixed: Mapping[str, str]
    ) -> claude_code.Sender:
        """Who a record with these attributes is from."""
        hidden = told_by_trace(frozenset(head.resource), self._identity)
        return claude_code.Sender(
            head,
            attributes,
            origin=self._origins.of(head, attributes, fixed),
            hidden=hidden,
            shapes=self._shapes_of(hidden, head),
        )

    def _remembered(self, head: Head, sender: claude_code.Sender) -> claude_code.Sender:
        if head.is_lasting:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[head] = sender
        return sender

    def _shapes_of(self, hidden: frozenset[str], head: Head) -> claude_code.Shapes:
        """Shapes depend on what is hidden, and on where the attributes of a head stand."""
        if not head.is_lasting:
            return claude_code.Shapes([])
        key = hidden, head.names
        found = self._shapes.get(key)
        if found is None:
            if len(self._shapes) >= KEPT:
                self._known.clear()
                self._shapes.clear()
                self._all_shapes.clear()
            found = self._shapes[key] = claude_code.Shapes(self._all_shapes)
        return found
