"""A settings file's text with an environment in it. Pure: text in, text out."""

import difflib
import json
import re
from collections.abc import Mapping

from bridge.client.variables import HEADERS, SetupError

MASK = "********"
DEFAULT_INDENT = 2
SECRET = re.compile(rf'("{HEADERS}": ")(?:[^"\\]|\\.)*"')


def merged(text: str | None, environment: Mapping[str, str]) -> str:
    """The file with these variables in its ``env``; all else stays, and in its order.

    Args:
        text: None when there is no file.
        environment: Replaces variables of the same name.

    Raises:
        SetupError: The text is no JSON object, or its ``env`` is none.
    """
    settings = {} if text is None else read_settings(text)
    before = _env(settings)
    if text is not None and before == before | dict(environment):
        return text
    settings["env"] = before | dict(environment)
    return json.dumps(settings, indent=_indent(text or ""), ensure_ascii=False) + "\n"


def read_settings(text: str) -> dict[str, object]:
    """The settings in a file's text.

    Raises:
        SetupError: It is no JSON object.
    """
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise SetupError(f"it is no JSON: {error}") from error
    if not isinstance(settings, dict):
        raise SetupError("it should be a JSON object")
    return settings


def environment_in(settings: Mapping[str, object]) -> dict[str, str]:
    """The ``env`` of settings; numbers and booleans as Claude Code turns them into text.

    Raises:
        SetupError: It is no object.
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in _env(settings).items()
    }


def difference(before: str | None, after: str, name: str) -> list[str]:
    """A unified diff for people, without the token."""
    old, new = (_masked(text).splitlines() for text in (before or "", after))
    return list(difflib.unified_diff(old, new, name, name, lineterm=""))


def _env(settings: Mapping[str, object]) -> dict[str, object]:
    environment = settings.get("env", {})
    if not isinstance(environment, dict):
        raise SetupError('its "env" should be an object of names and values')
    return environment


def _masked(text: str) -> str:
    return SECRET.sub(rf'\1{MASK}"', text)


def _indent(text: str) -> int | str:
    """As the file has it: a tab, or a number of spaces."""
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    if found is None:
        return DEFAULT_INDENT
    return "\t" if "\t" in found[1] else len(found[1])
