"""The environment variables that make Claude Code send its telemetry to a bridge.

Pure: what is wanted goes in, names and values come out. What each variable does was seen with
Claude Code 2.1.330; see its documentation, "Monitoring".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlsplit

from bridge.errors import BridgeError
from bridge.model.tokens import TokenError, fixed_of

ENABLE: Final = "CLAUDE_CODE_ENABLE_TELEMETRY"
LOGS: Final = "OTEL_LOGS_EXPORTER"
METRICS: Final = "OTEL_METRICS_EXPORTER"
TRACES: Final = "OTEL_TRACES_EXPORTER"
TRACES_BETA: Final = "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
PROMPTS: Final = "OTEL_LOG_USER_PROMPTS"
RESPONSES: Final = "OTEL_LOG_ASSISTANT_RESPONSES"
TOOL_DETAILS: Final = "OTEL_LOG_TOOL_DETAILS"
TOOL_CONTENT: Final = "OTEL_LOG_TOOL_CONTENT"

HTTP_PROTOCOL: Final = "http/protobuf"
GRPC_PROTOCOL: Final = "grpc"

TAKEN_AS_IT_IS: Final = "!#$&'()*+-./:<=>?@[]^_`{|}~"
"""Besides letters and digits: what W3C Baggage lets a value hold, but for ``%``. Claude Code leaves
other values out of its records, unless they are percent-encoded; then they arrive whole."""

TOKEN: Final = re.compile(r"[!-+\--~]+")
"""Visible ASCII without a comma, which would end the header."""


class SetupError(BridgeError):
    """What was asked for cannot be set; the text says why."""


class Exported(StrEnum):
    """How much text Claude Code exports. Each holds what the ones before it hold."""

    METADATA = "metadata"
    PROMPTS = "prompts"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What Claude Code should send, and where to. Made by ``cli``.

    Attributes:
        endpoint: Base address, without ``/v1/logs``.
        token: None leaves the headers as they are.
        attributes: Resource attributes by key, not encoded; empty leaves them as they are.
    """

    endpoint: str
    grpc: bool = False
    traces: bool = False
    content: Exported = Exported.METADATA
    token: str | None = None
    attributes: Mapping[str, str]


def environment_of(wanted: Wanted) -> dict[str, str]:
    """The variables to set, in the order to show them.

    Raises:
        SetupError: The endpoint or the token cannot be used.
    """
    return {
        ENABLE: "1",
        LOGS: "otlp",
        METRICS: "otlp",
        **({TRACES_BETA: "1", TRACES: "otlp"} if wanted.traces else {}),
        PROTOCOL: GRPC_PROTOCOL if wanted.grpc else HTTP_PROTOCOL,
        ENDPOINT: base_address(wanted.endpoint),
        **({} if wanted.token is None else {HEADERS: header_of(wanted.token)}),
        **({ATTRIBUTES: written_attributes(wanted.attributes)} if wanted.attributes else {}),
        **_content(wanted),
    }


def base_address(endpoint: str) -> str:
    """The address without a trailing slash.

    Raises:
        SetupError: It is none, or that of one signal.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SetupError(f"{endpoint}: should be an http:// or https:// address")
    if re.search(r"/v1/\w+/?$", parts.path):
        raise SetupError(f"{endpoint}: should be the base address; Claude Code appends /v1/logs")
    return endpoint.rstrip("/")


def header_of(token: str) -> str:
    """The value of ``HEADERS`` for a token.

    Raises:
        SetupError: It cannot stand in a header.
    """
    if not TOKEN.fullmatch(token):
        raise SetupError("a token should be letters and signs without spaces and commas")
    return f"Authorization=Bearer {token}"


def attributes_of(text: str) -> dict[str, str]:
    """Resource attributes from ``member=alex,department=data%20science``, decoded.

    Raises:
        SetupError: They are not KEY=VALUE with commas between them.
    """
    try:
        return fixed_of(text)
    except TokenError as error:
        raise SetupError(f"{text}: {error}") from error


def written_attributes(attributes: Mapping[str, str]) -> str:
    """The value of ``ATTRIBUTES``, encoded where Claude Code would drop it otherwise."""
    return ",".join(
        f"{key}={quote(value, safe=TAKEN_AS_IT_IS)}" for key, value in attributes.items()
    )


def dropped(text: str) -> dict[str, str]:
    """Attributes in the value of ``ATTRIBUTES`` that do not arrive as meant → how to write them."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {
        key.strip() or part: f"{key.strip()}={quote(part, safe=TAKEN_AS_IT_IS + '%')}"
        for key, _, part in pairs
        if (part or key) and not re.fullmatch(rf"[\w%{re.escape(TAKEN_AS_IT_IS)}]+", part, re.ASCII)
    }


def _content(wanted: Wanted) -> dict[str, str]:
    """Every switch on or off: what is off here is off whatever a lower settings file says."""
    prompts = wanted.content is not Exported.METADATA
    full = wanted.content is Exported.FULL
    switches = {PROMPTS: prompts, RESPONSES: prompts, TOOL_DETAILS: full}
    switches |= {TOOL_CONTENT: full and wanted.traces}
    return {name: str(int(switched)) for name, switched in switches.items()}
