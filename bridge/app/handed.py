"""The configuration on its way into another process, which then need not import what checked it.

pydantic and all that reads settings would be a third of each process that runs for months. So the
command checks once, and hands over plain values: every field of ``Config`` and everything derived
from them, under the same names.
"""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from bridge.model.tokens import Token

if TYPE_CHECKING:
    from bridge.config import Config


class Secret:
    """A secret as ``Config`` has it: printed it is a mask."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret('********')"

    def get_secret_value(self) -> str:
        """The secret itself."""
        return self._value


def hand_over(config: "Config") -> bytes:
    """One line for ``take_over``, for a pipe only: secrets stand in it."""
    values = {name: _marked(getattr(config, name)) for name in _names(config)}
    return json.dumps(values).encode() + b"\n"


def take_over(line: bytes | str) -> "Config":
    """What reads like the ``Config`` that was handed over, with none of its checks.

    Enums come as the strings they equal.
    """
    values = json.loads(line, object_hook=_unmarked)
    told = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return cast("Config", SimpleNamespace(**told))


def _names(config: "Config") -> list[str]:
    if isinstance(config, SimpleNamespace):  # it was handed over before
        return list(vars(config))
    derived = [name for name, kind in vars(type(config)).items() if isinstance(kind, property)]
    return [*type(config).model_fields, *derived]


def _marked(value: Any) -> Any:  # noqa: ANN401 - whatever a setting is
    """The value as JSON, with a mark on what JSON has no kind of its own for."""
    marked = value
    match value:
        case Path():
            marked = {"$path": str(value)}
        case Token():
            marked = {"$token": asdict(value)}
        case SimpleNamespace():
            marked = {"$fields": vars(value)}
        case tuple() if hasattr(value, "_asdict"):
            marked = {"$fields": value._asdict()}
        case tuple() | list() | set() | frozenset():
            marked = [_marked(item) for item in value]
        case _ if hasattr(value, "get_secret_value"):
            marked = {"$secret": value.get_secret_value()}
    return marked


def _unmarked(marked: dict[str, Any]) -> Any:  # noqa: ANN401 - likewise
    match marked:
        case {"$path": str() as path}:
            return Path(path)
        case {"$token": dict() as fields}:
            return Token(**fields)
        case {"$fields": dict() as fields}:
            return SimpleNamespace(**fields)
        case {"$secret": str() as secret}:
            return Secret(secret)
    return marked
