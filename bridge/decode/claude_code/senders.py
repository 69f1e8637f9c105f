"""Who and where a record is from: what its head says, worked out once for all that share it."""

import hashlib
from collections.abc import Mapping

import orjson

from bridge.decode.attributes import Attributes, Value, identifier, text
from bridge.decode.claude_code.clamping import clamped_in_log
from bridge.decode.claude_code.shapes import BLANKS, Shape
from bridge.decode.layouts import Head
from bridge.decode.patterns import Pattern, is_too_long
from bridge.model.events import Origin

KEY_BYTES = 8

KEPT_SHAPES = 2_048


class Shapes(dict[Pattern, Shape]):
    """Shapes by what records have in common.

    Args:
        others: All that there are; together they hold so many, and then forget them all.
    """

    def __init__(self, others: "list[Shapes]") -> None:
        self._others = others
        others.append(self)

    def remember(self, pattern: Pattern, shape: Shape) -> None:
        """Keep a shape for the records to come, unless no other record has its pattern."""
        if is_too_long(pattern.names, pattern.event_name or ""):
            return
        if sum(map(len, self._others)) >= KEPT_SHAPES:
            for shapes in self._others:
                shapes.clear()
        self[pattern] = shape


class Sender:
    """What many records have in common.

    Args:
        head: Theirs.
        attributes: All that may say who they are from: the head's, or a whole record's.
        origin: What these say to others.
        hidden: Attributes not to show as metadata, because the trace tells them.
        shapes: Those of records with a head of the same names, as far as known.

    Attributes:
        row: What the row of each record begins with.
        key: The hash of what is the same in their keys; to be copied.
        is_plain: Whether all that the head tells could be taken as it was.
    """

    def __init__(
        self,
        head: Head,
        attributes: Attributes,
        *,
        origin: Origin,
        hidden: frozenset[str],
        shapes: Shapes,
    ) -> None:
        self.head, self.origin, self.hidden, self.shapes = head, origin, hidden, shapes
        self.row: list[Value] = [*BLANKS, *head.values]
        self.session_id, self.conversation = session_and_conversation(attributes, head.resource)
        told = [text(attributes.get(name)) for name in ("session.id", "user.id")]
        self.key = hashlib.blake2b(orjson.dumps(told)[:-1] + b",", digest_size=KEY_BYTES)
        self.is_plain = not clamped_in_log(head.attributes, 0, 0)


def session_and_conversation(
    attributes: Attributes, resource: Mapping[str, Value]
) -> tuple[str | None, str]:
    """The session, and what stands for it when the client keeps ``session.id`` to itself.

    Then records are put together by user and resource: one installation with one set of
    OTEL_RESOURCE_ATTRIBUTES.
    """
    session_id = identifier(attributes.get("session.id"))
    if session_id:
        return session_id, session_id
    user = identifier(attributes.get("user.id")) or identifier(resource.get("user.id"))
    told = orjson.dumps(sorted((key, str(value)) for key, value in resource.items()))
    return None, f"user:{user or ''}:{hashlib.blake2b(told, digest_size=8).hexdigest()}"
