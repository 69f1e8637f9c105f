"""Imports point one way, and every module says what it is for and stays small enough to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "bridge").rglob("*.py"))
MAX_LINES = 400

STAGES = {
    "receive", "store", "decode", "correlate", "langfuse", "terminal", "metrics", "client",
}  # fmt: skip
SHARED = {"model", "otlp", "config", "errors", "clock", "telemetry", "protowire"}
ALLOWED = {
    "__main__": {"cli"},
    "cli": {"doctor", "app", "provision", *STAGES, *SHARED},
    "doctor": {"app", *STAGES, *SHARED},
    "app": {*STAGES, *SHARED},
    **dict.fromkeys(STAGES, SHARED),
    "provision": {"langfuse", *SHARED},
    "config": {"model", "errors"},
    "telemetry": {"model", "errors", "clock"},
    "otlp": {"model", "errors"},
    "model": set[str](),
    "errors": set[str](),
    "clock": set[str](),
    "protowire": set[str](),
    "__init__": set[str](),
}
"""Room of ``bridge`` → the rooms it may import besides itself. ``bridge`` itself holds the version,
which everyone may read. A new room belongs in here first."""


def room(module: Path) -> str:
    return module.relative_to(ROOT / "bridge").with_suffix("").parts[0]


def imported_rooms(source: str) -> Iterator[str]:
    """Rooms that a module imports anywhere: at the top, in a function, or for types only."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "bridge" and rest:
                yield rest.split(".")[0]


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    here = room(module)
    assert here in ALLOWED, f"say in ALLOWED what bridge.{here} may import"
    imported = set(imported_rooms(module.read_text())) - {here, "__version__"}
    assert imported <= ALLOWED[here]


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_a_module_says_what_it_is_responsible_for(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    assert len(docstring.split()) > 1


@pytest.mark.parametrize("module", MODULES, ids=ids)
def test_a_module_is_small_enough_to_read(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from bridge.store.inbox import Inbox", {"store"}),
        ("from bridge import app", {"app"}),
        ("import bridge.langfuse.client", {"langfuse"}),
        ("def lazily():\n    from bridge.receive import http", {"receive"}),
        ("import json\nfrom bridgework import store", set[str]()),
    ],
    ids=["from", "package", "plain", "lazy", "foreign"],
)
def test_imports_are_seen_however_they_are_written(source: str, rooms: set[str]) -> None:
    assert set(imported_rooms(source)) == rooms
