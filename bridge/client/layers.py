"""The settings files that Claude Code reads, and the environment they make together.

Each later layer wins, name by name: the shell, the user's settings, the project's, the project's
local ones, the managed ones. What an organisation hands out from a server or by device management
is in no file and is not seen here.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.client.merging import environment_in, read_settings
from bridge.client.variables import SetupError

SHELL: Final = "the shell"
MANAGED_PATHS: Final = {
    "darwin": Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
    "win32": Path("C:/Program Files/ClaudeCode/managed-settings.json"),
}
MANAGED_ELSEWHERE: Final = Path("/etc/claude-code/managed-settings.json")
ONE_SIGNAL: Final = re.compile(
    r"OTEL_EXPORTER_OTLP_(LOGS|METRICS|TRACES)_(ENDPOINT|PROTOCOL|HEADERS)"
)
PREFIXES: Final = ("OTEL_", "CLAUDE_CODE_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One place that sets variables.

    Attributes:
        name: ``SHELL``, or the file's path.
        trouble: Why the file cannot be read; Claude Code passes over it then.
    """

    name: str
    environment: Mapping[str, str]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value in force, and the name of the layer that sets it."""

    value: str
    source: str


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's settings; ``CLAUDE_CONFIG_DIR`` names another folder than ``~/.claude``."""
    folder = environ.get("CLAUDE_CONFIG_DIR", "").strip()
    home = Path(environ.get("HOME") or Path.home())
    return (Path(folder) if folder else home / ".claude") / "settings.json"


def managed_file(platform: str = sys.platform) -> Path:
    """The managed settings of this platform."""
    return MANAGED_PATHS.get(platform, MANAGED_ELSEWHERE)


def read_layers(environ: Mapping[str, str], folder: Path, managed: Path) -> list[Layer]:
    """All layers for a ``claude`` started in ``folder``, the one that wins last."""
    project = folder / ".claude"
    paths = [user_file(environ), project / "settings.json", project / "settings.local.json"]
    files = [read_layer(path) for path in dict.fromkeys([*paths, managed])]
    return [Layer(name=SHELL, environment=_telemetry(environ)), *files]


def read_layer(path: Path) -> Layer:
    """What one settings file sets; nothing where there is none."""
    try:
        environment = environment_in(read_settings(path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return Layer(name=str(path), environment={})
    except (OSError, UnicodeDecodeError, SetupError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        return Layer(name=str(path), environment={}, trouble=reason)
    return Layer(name=str(path), environment=_telemetry(environment))


def in_force(layers: Sequence[Layer]) -> dict[str, Setting]:
    """Every variable about telemetry that is set, as the last layer that has it sets it."""
    return {
        name: Setting(value, layer.name)
        for layer in layers
        for name, value in layer.environment.items()
    }


def replaced(layers: Sequence[Layer], name: str) -> list[Setting]:
    """Other values that the one in force replaces: nothing of them is left, they are not joined."""
    values = [
        Setting(each.environment[name], each.name) for each in layers if name in each.environment
    ]
    return [each for each in values[:-1] if each.value != values[-1].value]


def conflicts(layers: Sequence[Layer], file: Path, wanted: Mapping[str, str]) -> list[str]:
    """What ``wanted``, written to ``file``, replaces elsewhere or is replaced by, in sentences."""
    names = [layer.name for layer in layers]
    place = names.index(str(file)) if str(file) in names else len(names)
    return [
        f"{name} of {layer.name} {_verdict(name, above=number > place)}"
        for number, layer in enumerate(layers)
        for name in wanted
        if number != place and layer.environment.get(name, wanted[name]) != wanted[name]
    ]


def for_one_signal(layers: Sequence[Layer]) -> list[str]:
    """Variables of a single signal, which win over those of all signals, in sentences."""
    return [
        f"{name} of {setting.source} wins for its signal; remove it unless it is meant"
        for name, setting in in_force(layers).items()
        if ONE_SIGNAL.fullmatch(name)
    ]


def _verdict(name: str, *, above: bool) -> str:
    whole = "; attributes are not joined" if name == "OTEL_RESOURCE_ATTRIBUTES" else ""
    return f"{'wins over this file' if above else 'no longer counts: this file wins'}{whole}"


def _telemetry(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _is_telemetry(name)}


def _is_telemetry(name: str) -> bool:
    return name.startswith(PREFIXES) or name == "ENABLE_ENHANCED_TELEMETRY_BETA"
