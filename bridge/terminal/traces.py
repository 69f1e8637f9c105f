"""A trace drawn as a tree: with colours and guides on a terminal, indented lines when piped."""

from collections.abc import Iterable, Iterator
from datetime import tzinfo

from rich.text import Text
from rich.tree import Tree

from bridge.model.views import TraceView
from bridge.terminal import tree
from bridge.terminal.tree import Node, Part

INDENT = "  "
STYLES = {
    "heading": "bold",
    "agent": "bold magenta",
    "generation": "bold cyan",
    "tool": "bold green",
    "event": "bold yellow",
    "span": "bold blue",
    "id": "dim",
    "time": "dim",
    "tag": "blue",
    "tokens": "cyan",
    "count": "cyan",
    "cost": "green",
    "text": "italic dim",
    "live": "bold yellow",
    "note": "dim",
    "ERROR": "bold red",
    "WARNING": "yellow",
    "DEBUG": "dim",
}
"""Role of a part → rich style; a role that is not here looks plain."""


def trace_tree(view: TraceView, *, show_debug: bool = False, zone: tzinfo | None = None) -> Tree:
    """The tree of a trace for a terminal; DEBUG observations only with ``show_debug``."""
    arrangement = tree.arrange(view, show_debug=show_debug)
    drawn = Tree(_text(tree.trace_parts(view, zone)), guide_style="dim")
    for node in arrangement.roots:
        _grow(drawn, node, view, [])
    for node in arrangement.adopted:
        _grow(drawn, node, view, [_orphan_mark(view)])
    if arrangement.hidden:
        drawn.add(Text(tree.hidden_note(arrangement.hidden), style="dim"))
    if total := tree.total_parts(view):
        drawn.add(_text(total))
    return drawn


def trace_lines(
    view: TraceView, *, show_debug: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """The same as plain lines: two spaces deeper for each level, two between the parts."""
    arrangement = tree.arrange(view, show_debug=show_debug)
    lines = [_line(0, tree.trace_parts(view, zone))]
    lines += [text for node in arrangement.roots for text in _indented(1, node, view, [])]
    mark = _orphan_mark(view)
    lines += [text for node in arrangement.adopted for text in _indented(1, node, view, [mark])]
    if arrangement.hidden:
        lines.append(INDENT + tree.hidden_note(arrangement.hidden))
    if total := tree.total_parts(view):
        lines.append(_line(1, total))
    return lines


def _grow(parent: Tree, node: Node, view: TraceView, marks: list[Part]) -> None:
    branch = parent.add(_text([*tree.observation_parts(node.observation), *marks]))
    for lines in tree.text_parts(node.observation, view):
        branch.add(Text("\n").join(_text(parts) for parts in lines))
    for child in node.children:
        _grow(branch, child, view, [])


def _indented(depth: int, node: Node, view: TraceView, marks: list[Part]) -> Iterator[str]:
    yield _line(depth, [*tree.observation_parts(node.observation), *marks])
    for lines in tree.text_parts(node.observation, view):
        yield from (_line(depth + 1, parts) for parts in lines)
    for child in node.children:
        yield from _indented(depth + 1, child, view, [])


def _orphan_mark(view: TraceView) -> Part:
    return Part(tree.PARENT_OPEN if view.live else tree.PARENT_GONE, "note")


def _text(parts: Iterable[Part]) -> Text:
    # Never markup: brackets in a client's text would be read as styles.
    return Text("  ").join(Text(part.text, style=STYLES.get(part.role, "")) for part in parts)


def _line(depth: int, parts: Iterable[Part]) -> str:
    return INDENT * depth + INDENT.join(part.text for part in parts)
