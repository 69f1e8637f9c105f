"""Which observation hangs below which, and what one line says of it. How it looks is not here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from bridge.model.observations import Level, Observation, ObservationKind
from bridge.model.views import TraceView
from bridge.terminal import formats

PARENT_OPEN = "(parent still open)"
PARENT_GONE = "(parent not kept)"


@dataclass(frozen=True, slots=True)
class Node:
    """An observation and what hangs below it, in order of start. Made by ``arrange``."""

    observation: Observation
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """A trace as a tree.

    Attributes:
        roots: What has no parent.
        adopted: What has a parent that is not there; it hangs directly below the trace.
        hidden: How many DEBUG observations were left out; what hung below them moved up.
    """

    roots: tuple[Node, ...]
    adopted: tuple[Node, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line and what it is, for those who colour: a kind, a level or a word."""

    text: str
    role: str


def arrange(view: TraceView, *, show_debug: bool = False) -> Arrangement:
    """The tree of a trace; every observation is in it once, or counted as hidden."""
    parents = {each.id: each for each in view.observations}
    hidden = set() if show_debug else {e.id for e in parents.values() if e.level is Level.DEBUG}
    below: dict[str | None, list[Observation]] = {}
    for each in sorted(view.observations, key=lambda each: (each.start_ms, each.id)):
        if each.id not in hidden:
            below.setdefault(_visible_parent(each, parents, hidden), []).append(each)
    missing = [key for key in below if key is not None and key not in parents]
    adopted = [each for key in missing for each in below[key]]
    return Arrangement(
        roots=_nodes(below.get(None, ()), below),
        adopted=_nodes(sorted(adopted, key=lambda each: (each.start_ms, each.id)), below),
        hidden=len(hidden),
    )


def _visible_parent(
    observation: Observation, parents: Mapping[str, Observation], hidden: set[str]
) -> str | None:
    parent = observation.parent_id
    while parent is not None and parent in hidden:
        parent = parents[parent].parent_id
    return parent


def _nodes(
    observations: Iterable[Observation], below: Mapping[str | None, Sequence[Observation]]
) -> tuple[Node, ...]:
    return tuple(Node(each, _nodes(below.get(each.id, ()), below)) for each in observations)


def trace_parts(view: TraceView, zone: tzinfo | None = None) -> list[Part]:
    """The line of the trace itself: id, session, time, user, tags, and whether it is live."""
    parts = [Part("trace", "heading"), Part(view.trace_id, "id")]
    if view.session_id is not None:
        parts.append(Part(f"session {formats.line(view.session_id)}", "id"))
    if view.observations:
        start_ms = min(each.start_ms for each in view.observations)
        facts = view.observations[0].trace
        user = facts.user_id or ""
        tagged = any(tag.endswith(f":{user.lower()}") for tag in facts.tags)
        words = facts.tags if tagged else (user, *facts.tags)
        parts.append(Part(formats.local_time(start_ms, zone), "time"))
        parts += [Part(formats.line(word), "tag") for word in words if word]
    return [*parts, Part("live", "live")] if view.live else parts


def observation_parts(observation: Observation) -> list[Part]:
    """The line of an observation: kind, name, duration, tokens, cost, level, status message."""
    parts = [
        Part(f"{observation.kind.value:<10}", observation.kind.value),
        Part(formats.line(observation.name), "name"),
    ]
    if observation.kind is not ObservationKind.EVENT:
        parts.append(Part(formats.duration(observation.end_ms - observation.start_ms), "time"))
    if observation.usage and observation.kind is ObservationKind.GENERATION:
        parts.append(Part(formats.tokens(observation.usage), "tokens"))
    if observation.usage and observation.kind is ObservationKind.EVENT:
        # Elsewhere usage is a counter by the observation's own name, not tokens.
        parts += [Part(f"{n:,}", "count") for n in [observation.usage.get(observation.name)] if n]
    if observation.cost_picousd is not None:
        parts.append(Part(formats.cost(observation.cost_picousd), "cost"))
    if observation.level is not Level.DEFAULT:
        parts.append(Part(observation.level.value, observation.level.value))
    if observation.status_message:
        role = observation.level.value
        parts.append(Part(formats.shortened(observation.status_message), role))
    return parts


def text_parts(observation: Observation, view: TraceView) -> list[list[list[Part]]]:
    """A root's input and output, a shortened line each; nothing for other observations.

    The output of a summary is a card of several lines, and stays one.
    """
    if observation.parent_id is not None:
        return []
    given, answered = observation.input or "", observation.output or ""
    card = formats.lines(answered) if view.is_summary else [formats.shortened(answered)]
    texts = (("input", [formats.shortened(given)]), ("output", card))
    return [_labelled(word, lines) for word, lines in texts if any(lines)]


def _labelled(word: str, lines: list[str]) -> list[list[Part]]:
    labels = [word, *[""] * (len(lines) - 1)]
    return [
        [Part(f"{label:<10}", "text"), Part(line, "text")]
        for label, line in zip(labels, lines, strict=True)
    ]


def total_parts(view: TraceView) -> list[Part]:
    """The sums of a trace: what is hidden counts too, and so does no root's error.

    A summary has none: it is a sum, and says so on its card.
    """
    if view.is_summary:
        return []
    spans = [each for each in view.observations if each.parent_id is not None]
    generations = [e for e in view.observations if e.kind is ObservationKind.GENERATION]
    tools = sum(each.kind is ObservationKind.TOOL for each in view.observations)
    errors = sum(each.level is Level.ERROR for each in spans)
    return [
        Part("total", "heading"),
        Part(formats.plural(len(generations), "generation"), "generation"),
        Part(formats.plural(tools, "tool"), "tool"),
        Part(formats.plural(errors, "error"), "ERROR" if errors else "time"),
        Part(formats.duration(elapsed_ms(view)), "time"),
        Part(formats.tokens(summed_usage(generations)), "tokens"),
        Part(formats.cost(sum(each.cost_picousd or 0 for each in generations)), "cost"),
    ]


def elapsed_ms(view: TraceView) -> int:
    """From the first start to the last end; 0 when there is nothing yet.

    A summary lasts as long as its root: active time below it may lie anywhere.
    """
    lasting = [e for e in view.observations if not view.is_summary or e.parent_id is None]
    first_ms = min((each.start_ms for each in lasting), default=0)
    return max((each.end_ms for each in lasting), default=first_ms) - first_ms


def summed_usage(generations: Iterable[Observation]) -> dict[str, int]:
    """Tokens of each kind over all ``generations``."""
    sums: dict[str, int] = {}
    for each in generations:
        for kind, count in (each.usage or {}).items():
            sums[kind] = sums.get(kind, 0) + count
    return sums


def hidden_note(count: int) -> str:
    """What is said in place of hidden observations."""
    return f"{count:,} hidden (debug), --all shows them"
