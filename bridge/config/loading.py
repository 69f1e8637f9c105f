"""Where the values come from: defaults < file < credentials < environment < options.

Each source is read and checked on its own, so that all that is wrong anywhere is reported at
once, by the name the user wrote. What values are right is up to ``settings``.
"""

import difflib
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import TomlConfigSettingsSource

from bridge.config.settings import Config
from bridge.errors import ConfigError
from bridge.model.tokens import MIN_TOKEN_CHARS

PREFIX = "BRIDGE_"
DEFAULT_FILE = Path("config/bridge.toml")
CREDENTIAL = "credential"
CREDENTIAL_VALUES = ("langfuse_public_key", "langfuse_secret_key", "user_key")
"""Settings that a service manager's credential of the same name has the value of."""
CREDENTIAL_FILES = {"tokens": "tokens_file"} | {
    name: name for name in ("tls_cert", "tls_key", "tls_client_ca", "ca_file")
}
"""Credential → setting, where the credential itself is the file that the setting names."""
NOT_ECHOED = {"langfuse_base_url", "tokens", "redact_patterns", *CREDENTIAL_VALUES}
"""Their values are never repeated in a problem: a URL may carry a password by mistake, a pattern
the very secret that it is to mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """The configuration and how it came about. Made by ``load``.

    Attributes:
        warnings: Sentences for the user; nothing in them stops a start.
        sources: Setting → ``default``, or the name under which the user set it.
    """

    config: Config
    warnings: tuple[str, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One source: the values it sets, and how the user spelled each setting there."""

    values: Mapping[str, object]
    names: Mapping[str, str]
    problems: list[str] = field(default_factory=list)


def load(
    options: Mapping[str, object], environ: Mapping[str, str], working_dir: Path
) -> LoadedConfig:
    """Read all sources; ``options`` maps settings, and ``config`` (a file), to values or None.

    Raises:
        ConfigError: Something is wrong; it lists all there is, in the user's words.
    """
    file = _file_layer(options, environ, working_dir)
    layers = (
        _state_layer(environ),
        file,
        _credentials_layer(environ),
        _environment_layer(environ),
        _option_layer(options),
    )
    values = {key: value for layer in layers for key, value in layer.values.items()}
    names = {key: name for layer in layers for key, name in layer.names.items()}
    problems = [problem for layer in layers for problem in _problems(layer)]
    if not any(layer.problems for layer in layers):  # what is unread may hold the other key
        problems += _lone_key(names) + _lone_tls(names)
    if problems:
        raise ConfigError(problems)
    config = Config(**values)  # type: ignore[arg-type]  # values of any type are what it checks
    return LoadedConfig(
        config=config.model_copy(update=_absolute(config, working_dir)),
        warnings=(*_unknown_variables(environ), *_short_tokens(config, names)),
        sources={key: names.get(key, "default") for key in Config.model_fields},
    )


def _absolute(config: Config, working_dir: Path) -> dict[str, Path]:
    settings = ("data_dir", "tokens_file", "tls_cert", "tls_key", "tls_client_ca", "ca_file")
    paths = {setting: getattr(config, setting) for setting in settings}
    return {setting: working_dir / path for setting, path in paths.items() if path is not None}


def variables(setting: str) -> tuple[str, ...]:
    """The environment variables of a setting; the first that is not empty counts."""
    if setting == "langfuse_base_url":
        return ("LANGFUSE_BASE_URL", "LANGFUSE_HOST")
    name = setting.upper()
    return (name if name.startswith("LANGFUSE_") else f"{PREFIX}{name}",)


def _is_set(setting: str, value: object) -> bool:
    """An empty value means the default, except where it has a meaning of its own."""
    if isinstance(value, str) and not value.strip():
        return setting == "tags"
    return value is not None


def _state_layer(environ: Mapping[str, str]) -> _Layer:
    # A systemd unit may name several state folders; the first is the one meant for us.
    folder = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return (
        _Layer({"data_dir": folder}, {"data_dir": "STATE_DIRECTORY"}) if folder else _Layer({}, {})
    )


def _file_layer(
    options: Mapping[str, object], environ: Mapping[str, str], working_dir: Path
) -> _Layer:
    named = options.get("config") or environ.get("BRIDGE_CONFIG", "").strip()
    shown = Path(str(named)) if named else DEFAULT_FILE
    path = working_dir / shown
    if not named and not path.exists():
        return _Layer({}, {})
    if not path.is_file():
        return _Layer({}, {}, [f"{shown}: there is no such file"])
    try:
        content = TomlConfigSettingsSource(Config, toml_file=path).toml_data
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is no TOML: {error}"
        return _Layer({}, {}, [f"{shown}: {reason}"])
    values = {key: value for key, value in content.items() if _is_set(key, value)}
    return _Layer(values, {key: f"{key} in {shown}" for key in values})


def _credentials_layer(environ: Mapping[str, str]) -> _Layer:
    """What systemd's LoadCredential= and the like put into a folder for us; others are ignored."""
    if not environ.get("CREDENTIALS_DIRECTORY"):
        return _Layer({}, {})
    folder = Path(environ["CREDENTIALS_DIRECTORY"])
    there = {name for name in (*CREDENTIAL_VALUES, *CREDENTIAL_FILES) if (folder / name).is_file()}
    values: dict[str, object] = {
        setting: folder / name for name, setting in CREDENTIAL_FILES.items() if name in there
    }
    problems = []
    for name in there.intersection(CREDENTIAL_VALUES, Config.model_fields):
        try:
            values[name] = (folder / name).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
            problems.append(f"{CREDENTIAL} {name}: {reason}")
    values = {setting: value for setting, value in values.items() if _is_set(setting, value)}
    return _Layer(values, {setting: _credential_of(setting) for setting in values}, problems)


def _credential_of(setting: str) -> str:
    name = next((name for name, of in CREDENTIAL_FILES.items() if of == setting), setting)
    return f"{CREDENTIAL} {name}"


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    names = {
        setting: name
        for setting in Config.model_fields
        for name in reversed(variables(setting))
        if _is_set(setting, environ.get(name))
    }
    return _Layer({setting: environ[name] for setting, name in names.items()}, names)


def _option_layer(options: Mapping[str, object]) -> _Layer:
    values = {
        key: value for key, value in options.items() if key != "config" and _is_set(key, value)
    }
    return _Layer(values, {key: "--" + key.replace("_", "-") for key in values})


def _problems(layer: _Layer) -> list[str]:
    # Each source is checked alone: a value that another one overrides is wrong all the same.
    try:
        Config(**layer.values)  # type: ignore[arg-type]  # values of any type are what it checks
    except ValidationError as error:
        return layer.problems + [_sentence(layer, details) for details in error.errors()]
    return layer.problems


def _sentence(layer: _Layer, details: ErrorDetails) -> str:
    setting = str(details["loc"][0])
    name = layer.names[setting]
    if details["type"] == "extra_forbidden":
        return f"{name}: is not a setting{_suggestion(setting, list(Config.model_fields))}"
    reason = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if setting in NOT_ECHOED:
        return f"{name}: {reason}"
    return f"{name}: {reason}; it is {textwrap.shorten(repr(layer.values[setting]), 80)}"


def _suggestion(name: str, known: list[str], prefix: str = "") -> str:
    # Compared without the prefix: sharing it would make any two names look alike.
    names = [each.removeprefix(prefix) for each in known]
    nearest = difflib.get_close_matches(name.removeprefix(prefix), names, n=1)
    return f"; did you mean {prefix}{nearest[0]}?" if nearest else ""


def _lone_key(names: Mapping[str, str]) -> list[str]:
    """What is wrong when only one key is set; ``names`` are all settings that are, as written."""
    keys = ("langfuse_public_key", "langfuse_secret_key")
    there = [names[key] for key in keys if key in names]
    if len(there) != 1:
        return []
    missing = next(key.upper() for key in keys if key not in names)
    return [f"{missing}: is missing, though {there[0]} is set; set both or neither"]


def _short_tokens(config: Config, names: Mapping[str, str]) -> list[str]:
    return [
        f"{names['tokens']}: the token of {token.name} is shorter than {MIN_TOKEN_CHARS} characters"
        " and could be found by trying; `langfuse-bridge token new` makes better ones"
        for token in config.tokens
        if token.is_short
    ]


def _lone_tls(names: Mapping[str, str]) -> list[str]:
    """What is wrong when TLS is only half set up."""
    there = [key for key in ("tls_cert", "tls_key", "tls_client_ca") if key in names]
    return [
        f"{variables(key)[0]}: is missing, though {names[there[0]]} is set; TLS needs both "
        "BRIDGE_TLS_CERT and BRIDGE_TLS_KEY"
        for key in ("tls_cert", "tls_key")
        if there and key not in there
    ]


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = ["BRIDGE_CONFIG", *(name for key in Config.model_fields for name in variables(key))]
    strangers = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    ours = [name for name in known if name.startswith(PREFIX)]
    return [f"{name}: is not a setting{_suggestion(name, ours, PREFIX)}" for name in strangers]
