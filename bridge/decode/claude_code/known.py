"""Which names of Claude Code's events, spans, metrics and attributes are known.

What is unknown is kept and shown all the same; it is counted by name, so that a newer client's
additions are noticed. A name that is listed here need not have a meaning to us.
"""

import re
from typing import Final

from bridge.decode.claude_code.names import (
    ANSWER_FIELDS,
    ENVELOPE,
    NOISE,
    POINT_LEVELS,
    PROMPT_FIELDS,
    REQUEST_FIELDS,
    SAFE_SERIES_STRINGS,
    SAFE_STRINGS,
    TOOL_FIELDS,
)
from bridge.model.counted import OTHER
from bridge.model.events import AnyEvent, PointEvent
from bridge.model.measures import Measure
from bridge.model.spans import OtherSpan

POINTS: Final = frozenset(
    {
        *NOISE, *POINT_LEVELS, "at_mention", "auth", "compaction", "permission_mode_changed",
        "feedback_survey", "plugin_installed", "safety_event", "skill_activated",
    }
)  # fmt: skip
"""Events that become a ``PointEvent`` although they are known."""

SPANS: Final = frozenset({"hook"})
MEASURES: Final = frozenset(Measure)

FURTHER: Final = frozenset(
    {
        "additional_context_chars", "agent_path_count", "artifacts_deleted", "attempt",
        "bash_argv0", "bash_command", "bash_command_original_length", "bash_command_truncated",
        "body", "body_length", "body_ref", "body_truncated", "cache_creation_1h_tokens",
        "cache_creation_5m_tokens", "command_path_count", "content", "content_original_length",
        "content_truncated", "diff", "error_count", "file_path", "files_past_cutoff",
        "files_retained_fresh", "first_content_ms", "full_command", "gen_ai.operation.name",
        "gen_ai.request.model", "gen_ai.response.finish_reasons", "gen_ai.response.id",
        "gen_ai.system", "gen_ai.tool.call.id", "gen_ai.tool.name", "git_branch", "git_commit_id",
        "has_category",
        "has_explanation", "has_hooks", "has_mcp", "history_entries_pruned", "hook_definitions",
        "host_owned_mcp", "initial_user_message_chars", "interaction.duration_ms",
        "interaction.sequence", "is_async", "is_built_in", "is_plugin", "managed_only",
        "managed_settings.sources", "model_swapped", "new_context", "new_context_message_count",
        "num_blocking", "num_cancelled", "num_hooks", "num_non_blocking_error",
        "num_outputs_persisted", "num_success", "output", "output_original_length",
        "output_truncated", "period_days", "post_tokens", "pre_tokens", "query_source_safe",
        "queued_sends", "response.has_tool_call", "response.model_output", "safe_mode",
        "server_fallback_hop", "session_files_deleted", "skill_path_count", "span.type",
        "status_code", "stdout_chars", "stop_reason", "subagent_type", "system_message_chars",
        "system_prompt", "system_prompt_length", "system_prompt_preview", "system_reminders",
        "system_reminders_count", "terminal.type", "tool_input_size_bytes", "tool_name_safe",
        "tools", "tools_count", "total_attempts", "total_duration_ms",
        "total_retry_duration_ms", "total_tokens", "total_tool_uses", "transcripts_deleted",
        "transcripts_exempted_desktop", "used_default", "user_prompt", "user_prompt_length",
        "vcs.ref.head.name", "vcs.ref.head.revision", "vcs.ref.head.type",
    }
)  # fmt: skip
"""Attributes that are shown as metadata under their own names."""

ATTRIBUTES: Final = (
    SAFE_STRINGS | ENVELOPE | REQUEST_FIELDS | PROMPT_FIELDS | ANSWER_FIELDS | TOOL_FIELDS | FURTHER
)

OWN_ATTRIBUTES: Final = ATTRIBUTES | SAFE_SERIES_STRINGS
"""What the client says of its work; with an attribute of such a name in its resource, too."""

NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
"""What a name looks like; anything else might be a text."""


def unknown_names(event: AnyEvent) -> list[tuple[str, str]]:
    """(``event``, ``span`` or ``attribute``, its name) for each that is not known."""
    found = []
    if type(event) is PointEvent and event.name not in POINTS:
        found.append(("event", _shown(event.name)))
    if type(event) is OtherSpan and event.name not in SPANS:
        found.append(("span", _shown(event.name)))
    if not ATTRIBUTES.issuperset(event.attributes):  # hardly ever: this runs for every record
        unknown = [name for name in event.attributes if name not in ATTRIBUTES]
        found += [("attribute", _shown(name)) for name in unknown]
    return found


def is_known_measure(measure: str) -> bool:
    """Whether a metric's name is one of those that have a meaning to us."""
    return measure in MEASURES


def _shown(name: str) -> str:
    return name if NAME.fullmatch(name) else OTHER
