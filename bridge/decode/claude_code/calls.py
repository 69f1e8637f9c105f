"""What a decision about a tool call, or its result, tells of the call: arguments, title, agent."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from bridge.decode.attributes import identifier, json_object, text
from bridge.decode.claude_code.names import PLACEHOLDERS, SPAWNING_TOOLS
from bridge.model.observations import MetadataValue

COMMITTED: Final = ("git_commit_id", "git_branch")


def arguments_and_title(name: str, parameters: object, given: object) -> tuple[str | None, str]:
    """A call's arguments and its title.

    ``tool_input`` cuts values over 512 characters to 128; a command is whole in
    ``tool_parameters``, so it is put back. Neither is read where nothing of this is in it.
    """
    if parameters is None or not _is_telling(parameters):
        title = tool_title(name, {}) if name.startswith("mcp") else name
        if type(given) is str and given and given not in PLACEHOLDERS:
            return given, title  # nearly all, without a call
        return content(given) or content(parameters), title
    known = json_object(parameters)
    title = tool_title(name, known)
    command = known.get("full_command")
    if isinstance(command, str):
        arguments = json_object(given)
        if isinstance(arguments.get("command"), str):
            return orjson.dumps(arguments | {"command": command}).decode(), title
    return content(given) or content(parameters), title


def committed(parameters: object) -> dict[str, MetadataValue]:
    """The commit that a call has made, which stands beside its arguments and is none of them."""
    if not isinstance(parameters, str) or COMMITTED[0] not in parameters:
        return {}
    known = json_object(parameters)
    return {key: told for key in COMMITTED if (told := text(known.get(key)))}


def spawned(name: str, parameters: object, given: object) -> dict[str, str | None]:
    """What sub-agent a call starts, and what that is to do; empty where it starts none."""
    if name not in SPAWNING_TOOLS:
        return {}
    arguments = json_object(given)
    kind = text((json_object(parameters) | arguments).get("subagent_type")) or ""
    return {"spawns": kind, "task": content(arguments.get("prompt"))}


def _is_telling(parameters: object) -> bool:
    """Whether a call's parameters may say more of it than its arguments; escapes hide names."""
    return isinstance(parameters, str) and (
        "full_command" in parameters or "mcp_" in parameters or "\\u" in parameters
    )


def tool_title(name: str, parameters: Mapping[str, Any]) -> str:
    """``server/tool`` for MCP tools, whose literal name is the placeholder ``mcp_tool``."""
    server, tool = (identifier(parameters.get(f"mcp_{each}_name")) for each in ("server", "tool"))
    if server and tool:
        return f"{server}/{tool}"
    parts = name.split("__", 2)
    return f"{parts[1]}/{parts[2]}" if len(parts) == 3 and parts[0] == "mcp" else name  # noqa: PLR2004 - mcp, server, tool


def content(value: object) -> str | None:
    """A text, unless the client put a placeholder in its place."""
    if value is None:
        return None
    found = (value or None) if type(value) is str else text(value)
    return None if found in PLACEHOLDERS else found
