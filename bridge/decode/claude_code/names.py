"""Claude Code's names as values: its scope, its placeholders, which attribute means what.

Written from telemetry recorded with versions 1.0.60 to 2.1.330.
"""

from bridge.model.observations import Level

PRODUCT = "claude-code"
SCOPE_PREFIX = "com.anthropic.claude_code"
"""The client is known by its scope: users may set service.name to anything."""

PREFIX = "claude_code."
PLACEHOLDERS = ("<REDACTED>",)
"""A tuple, as asking a set would hash texts of any length."""
SYNTHETIC_PROMPT = "<task-notification>"
"""How the prompt begins that a finished background agent puts in."""

MCP_TOOL = "mcp_tool"
"""What records call any tool of an MCP server."""

ASKING_COMMANDS = frozenset(
    {"compact", "init", "review", "security-review", "pr-comments", "insights"}
)
"""Built-in commands that have the model work, perhaps for minutes; the others end at once."""

SPAWNING_TOOLS = frozenset({"Agent", "Task"})
"""The sub-agent tool is ``Task`` up to 2.1.59 and ``Agent`` from 2.1.69."""

ENVELOPE = frozenset(
    {
        "session.id", "prompt.id", "event.name", "event.timestamp", "event.sequence",
        "agent_id", "parent_agent_id",
    }
)  # fmt: skip
"""Attributes of every record that are told once, by the trace, and not again as metadata."""

SAFE_STRINGS = frozenset(
    {
        "model", "request_id", "query_source", "speed", "effort", "agent.name", "agent.source",
        "agent_type", "final_model", "skill.name", "skill.source", "invocation_trigger",
        "mcp_server.name", "mcp_tool.name", "plugin.name", "plugin.scope", "marketplace.name",
        "enabled_via", "plugin_id_hash", "message.uuid", "message.id", "command_name",
        "command_source", "decision", "source", "decision_source", "decision_type", "tool_name",
        "tool_use_id", "use_id", "tool_source", "permission_mode", "classifier_verdict",
        "error_type", "hook_event", "hook_name", "hook_type", "hook_source", "hook_matcher",
        "status", "transport_type", "server_scope", "server_name", "mcp_server_scope",
        "from_mode", "to_mode", "trigger", "precompute_reuse", "result", "mention_type",
        "request_body_id", "system_prompt_hash", "tool_hash", "managed_settings.trigger",
        "managed_settings.source_behavior", "managed_settings.helper.state",
        "managed_settings.helper.applied", "anthropic.provider", "llm_request.context",
        "error_class", "error.type", "bash_command_class", "parent.source",
        "anthropic.mcp.server.name", "skill_name",
    }
)  # fmt: skip
"""String attributes that name things and never quote a prompt, an answer, a command or a path."""

SAFE_SERIES_STRINGS = SAFE_STRINGS | {"type", "start_type", "language"}
"""Likewise of metric points."""

USAGE_KEYS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "input_cached_tokens",
    "cache_creation_tokens": "input_cache_creation",
}
"""Claude's token counts are disjoint (input excludes the caches), as Langfuse wants its keys."""

OLDER_NAMES = {
    "cost_usd": ("cost",),
    "duration_ms": ("duration", "api.response_time"),
    "tool_name": ("tool",),
    "tool_use_id": ("use_id",),
}
"""Under which names earlier clients tell the same."""

FLEETING = frozenset(
    {
        "event.timestamp", "request_id", "tool_use_id", "use_id", "message.uuid",
        "message.id", "error", "prompt", "prompt_text", "prompt_length", "response",
        "response_length", "body", "body_length", "request_body_id", "cost_usd",
        "cost_usd_micros", "cost", "duration_ms", "duration", "ttft_ms",
        "total_duration_ms", "total_tokens", "tool_input",
        "tool_parameters", "tool_input_size_bytes", "tool_result_size_bytes", *USAGE_KEYS,
    }
)  # fmt: skip
"""Attributes whose value is hardly ever one that came before."""

RECURRING = frozenset({"prompt.id", "event.sequence"})
"""Attributes whose values are many, each told by some records."""

SENDER = frozenset({"session.id", "user.id"})
"""Attributes that tell, beside those of a trace's identity, who a record is from."""

KEY_ATTRIBUTES = (
    "session.id", "user.id", "prompt.id", "event.sequence", "request_id", "tool_use_id",
)  # fmt: skip

NOISE = (
    "hook_execution_start", "hook_execution_complete", "hook_registered", "hook_plugin_metrics",
    "plugin_loaded", "mcp_server_connection", "managed_settings_resolved", "retention_sweep",
    "system_prompt", "tool",
)  # fmt: skip
"""Events that Langfuse's trace tree hides by default."""

POINT_LEVELS = dict.fromkeys(NOISE, Level.DEBUG) | {
    "api_refusal": Level.WARNING,
    "api_retries_exhausted": Level.ERROR,
    "internal_error": Level.ERROR,
}

POINT_TEXT = {"system_prompt": "system_prompt", "tool": "tool"}
"""Events whose point is a text, and the attribute that holds it."""

REQUEST_FIELDS = frozenset(
    {
        "model", "cost_usd", "cost_usd_micros", "cost", "duration_ms", "duration",
        "api.response_time", "ttft_ms", "speed", "effort", *USAGE_KEYS,
    }
)  # fmt: skip

FAILURE_FIELDS = REQUEST_FIELDS | {"error"}
PROMPT_FIELDS = frozenset({"prompt", "prompt_text", "prompt_length"})
ANSWER_FIELDS = frozenset({"response", "response_length", "model"})

TOOL_FIELDS = frozenset(
    {
        "tool_name", "tool", "tool_use_id", "use_id", "tool_parameters", "tool_input", "success",
        "duration_ms", "duration", "error", "tool_result_size_bytes", "decision", "source",
    }
)  # fmt: skip
