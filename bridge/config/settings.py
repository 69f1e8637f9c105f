"""The settings themselves: names, defaults, meanings, units, and what values are taken.

Knows nothing of files, variables and options: ``loading`` brings the values.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from platformdirs import user_state_path
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.model.tokens import (
    Token,
    TokenError,
    distinct,
    line_of,
    tokens_of_file,
    tokens_of_variable,
)

DEFAULT_TAGS = "member,department,team.id:team,cost_center"
MASK = "********"
MAX_DURATION_S = 1e9
MAX_RETENTION_DAYS = 36_500
"""Both bounds keep times in milliseconds inside the 64 bits that SQLite gives a number."""
MAX_ENVIRONMENT_LENGTH = 40
BYTES_PER_MB = 1_048_576
MS_PER_S = 1_000
MS_PER_DAY = 86_400_000


class Content(StrEnum):
    """How much text leaves the bridge."""

    FULL = "full"
    METADATA = "metadata"


class LogLevel(StrEnum):
    """From which level on the bridge logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How the bridge logs; ``auto`` is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class Tag(NamedTuple):
    """An attribute of the client's records and the key under which it becomes a tag."""

    attribute: str
    key: str


class WrongValueError(ValueError):
    """What a validator raises; its text goes on where ``port: `` ends."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Marks a setting with what its number counts."""

    name: str


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _switch(value: object) -> object:
    """True or false, also as the words that an environment variable can hold."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    switched = words.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(switched, bool):
        raise WrongValueError("should be true or false")
    return switched


def _no_boolean(value: object) -> object:
    # Python counts true as 1, and pydantic takes it for a port or a number of seconds.
    if isinstance(value, bool):
        raise WrongValueError("should be a number")
    return value


def _base_url(value: str) -> str:
    """The URL without a trailing slash; ValueError when nothing could be posted to it."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise WrongValueError("should be an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise WrongValueError("should hold no user or password; keys have settings of their own")
    if parts.query or parts.fragment or parts.port == 0:
        raise WrongValueError("should end with the host, port or path")
    return value.rstrip("/")


def _tags(value: object) -> tuple[Tag, ...]:
    """Tag rules from ``a,b.c:d``, a list of such parts, or the pairs that ``to_json`` writes."""
    parts = value
    if isinstance(value, str):
        parts = value.split(",") if value.strip() else ()
    if not isinstance(parts, list | tuple):
        raise WrongValueError("should be attributes with commas between them")
    rules = tuple(_tag(part) for part in parts)
    if len({rule.key for rule in rules}) < len(rules):
        raise WrongValueError("should give each tag another name; rename one with attribute:name")
    return rules


def _tag(part: object) -> Tag:
    if isinstance(part, str):
        attribute, renamed, key = (text.strip() for text in part.partition(":"))
        key = key if renamed else attribute
    else:
        attribute, key = part if isinstance(part, list | tuple) and len(part) == 2 else ("", "")  # noqa: PLR2004  a pair
    if not attribute or not key:
        raise WrongValueError("should be attributes like member,team.id:team, none of them empty")
    return Tag(attribute, key)


def _tokens(value: object) -> tuple[Token, ...]:
    """Tokens from ``name:token,name:token``, or the digests that ``to_json`` writes."""
    try:
        if isinstance(value, str):
            return tokens_of_variable(value)
        if isinstance(value, tuple) and all(isinstance(token, Token) for token in value):
            return distinct(value)
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            return tokens_of_file("\n".join(value))
    except TokenError as error:
        raise WrongValueError(str(error)) from error
    raise WrongValueError("should be name:token with commas between them")


def _token_lines(tokens: tuple[Token, ...]) -> list[str]:
    return [line_of(token) for token in tokens]


def _one_attribute(value: str) -> str:
    if "," in value:
        raise WrongValueError("should be one attribute; a trace belongs to one group")
    return value


def _environment(value: str) -> str:
    """Langfuse's rule; what breaks it would silently become ``default`` there."""
    letters = value.replace("-", "").replace("_", "")
    if value and not (letters.isascii() and letters.isalnum()):
        raise WrongValueError("should be letters, digits, - and _ only")
    if value.startswith("langfuse") or len(value) > MAX_ENVIRONMENT_LENGTH:
        raise WrongValueError("should be at most 40 characters and not begin with langfuse")
    return value


def _home(value: Path) -> Path:
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise WrongValueError("should be a path; there is no such home folder") from error


def _user_state() -> Path:
    return user_state_path("langfuse-bridge", appauthor=False)


Number = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=MAX_DURATION_S), Unit("seconds")]
Days = Annotated[Number, Field(gt=0, le=MAX_RETENTION_DAYS), Unit("days")]
Rate = Annotated[Number, Field(ge=0, le=1e6), Unit("requests per second")]
Megabytes = Annotated[Number, Field(gt=0, le=4096), Unit("MiB")]
Port = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=65535)]


class Config(BaseSettings):
    """The settings in force. Made by ``load``, read by ``app`` and ``cli``; wrong values raise."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True
    )

    langfuse_base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        "https://cloud.langfuse.com", description="Where Langfuse is, in the cloud or your own."
    )
    langfuse_public_key: str | None = Field(
        None,
        description="Public key of the Langfuse project. Without keys the bridge keeps and shows "
        "traces locally and sends nothing.",
    )
    langfuse_secret_key: SecretStr | None = Field(
        None, description="Secret key of the Langfuse project. Better in the environment."
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. 0.0.0.0 lets other machines post to the bridge, which "
        "needs tokens.",
    )
    port: Port = Field(4318, description="Port to listen on; 0 takes any free one.")
    grpc_port: Port = Field(
        4317, description="Port to listen on for OTLP over gRPC, on the same address; 0 is off."
    )
    tokens: Annotated[
        tuple[Token, ...], BeforeValidator(_tokens), PlainSerializer(_token_lines, when_used="json")
    ] = Field(
        (),
        description="Who may send, as name:token with commas between them. Better in the "
        "environment, or as digests in tokens_file.",
    )
    tokens_file: Annotated[Path, AfterValidator(_home)] | None = Field(
        None,
        description="File of tokens that langfuse-bridge token writes; a change counts within a "
        "second. Default: the file tokens in data_dir, once it is there.",
    )
    insecure_bind: Annotated[bool, BeforeValidator(_switch)] = Field(
        False,
        description="true listens on another address than loopback even without tokens: whoever "
        "reaches it may send.",
    )
    rate_limit: Rate = Field(
        0.0,
        description="Most requests of one token, ten seconds' worth of them at once; 0 is without "
        "limit.",
    )
    data_dir: Annotated[Path, AfterValidator(_home)] = Field(
        default_factory=_user_state,
        description="Folder of what is kept. Default: $STATE_DIRECTORY, else the user's state "
        "folder (~/.local/state/langfuse-bridge).",
    )
    tags: Annotated[tuple[Tag, ...], BeforeValidator(_tags)] = Field(
        _tags(DEFAULT_TAGS),
        description="Attributes that become tags, in this order; the part behind a colon renames. "
        "May be empty. claude-code always comes last.",
    )
    group_by: Annotated[str, AfterValidator(_one_attribute)] = Field(
        "", description="One attribute that is sent also as the release, to group charts by."
    )
    content: Annotated[Content, BeforeValidator(_lower)] = Field(
        Content.FULL,
        description="full sends texts; metadata sends no prompt, answer, command, path, tool "
        "input or output, only names, sizes and numbers.",
    )
    join_traces: Annotated[bool, BeforeValidator(_switch)] = Field(
        False,
        description="true sends a turn into the trace that its client's spans are in, below the "
        "span that TRACEPARENT names, so that a CI job or service sees one tree.",
    )
    forward_other_spans: Annotated[bool, BeforeValidator(_switch)] = Field(
        False,
        description="true passes spans of other programs on to Langfuse, with tags and session; "
        "not under content = metadata, since they are passed on untouched.",
    )
    environment: Annotated[str, BeforeValidator(_lower), AfterValidator(_environment)] = Field(
        "", description="Langfuse environment of all traces; empty is Langfuse's default."
    )
    settle_s: Seconds = Field(
        3.0, description="How long a complete observation waits for its other halves."
    )
    quiet_s: Seconds = Field(
        30.0, description="How long a turn that looks finished stays quiet before it is closed."
    )
    idle_s: Seconds = Field(
        1800.0, description="How long any turn stays quiet before it is closed."
    )
    span_settle_s: Seconds = Field(
        15.0,
        description="How long to wait for the other half of what one signal tells of already, when "
        "the client's tracing is on.",
    )
    session_idle_s: Seconds = Field(
        1800.0,
        description="How long a session is without records before its summary is made.",
    )
    retention_days: Days = Field(
        7.0, description="How long delivered observations are kept for show and against repeats."
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        LogLevel.INFO, description="Least level that is logged: debug, info, warning or error."
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        LogFormat.AUTO,
        description="console or json; auto is console on a terminal and json elsewhere.",
    )
    max_body_mb: Megabytes = Field(
        64.0, description="Largest export request that is accepted, unpacked."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the names are pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: ``load`` brings the other sources, so that each can be blamed."""
        return (init_settings,)

    @property
    def delivers(self) -> bool:
        """Whether there are keys to deliver with."""
        return self.langfuse_public_key is not None and self.langfuse_secret_key is not None

    @property
    def ledger_path(self) -> Path:
        """The file that ``sessions`` and ``show`` read."""
        return self.data_dir / "ledger.db"

    @property
    def tokens_path(self) -> Path:
        """The tokens file, whether it is there or not."""
        return self.tokens_file or self.data_dir / "tokens"

    @property
    def settle_ms(self) -> int:
        """``settle_s`` in whole milliseconds."""
        return round(self.settle_s * MS_PER_S)

    @property
    def quiet_ms(self) -> int:
        """``quiet_s`` in whole milliseconds."""
        return round(self.quiet_s * MS_PER_S)

    @property
    def idle_ms(self) -> int:
        """``idle_s`` in whole milliseconds."""
        return round(self.idle_s * MS_PER_S)

    @property
    def span_settle_ms(self) -> int:
        """``span_settle_s`` in whole milliseconds."""
        return round(self.span_settle_s * MS_PER_S)

    @property
    def session_idle_ms(self) -> int:
        """``session_idle_s`` in whole milliseconds."""
        return round(self.session_idle_s * MS_PER_S)

    @property
    def retention_ms(self) -> int:
        """``retention_days`` in milliseconds, at least one."""
        return math.ceil(self.retention_days * MS_PER_DAY)

    @property
    def max_body_bytes(self) -> int:
        """``max_body_mb`` in bytes, at least one."""
        return math.ceil(self.max_body_mb * BYTES_PER_MB)

    def to_json(self, *, reveal_secrets: bool = False) -> str:
        """One object; with ``reveal_secrets`` it is what ``from_json`` reads, for a pipe only."""
        values = self.model_dump(mode="json")
        if not reveal_secrets:
            values["tokens"] = [f"{token.name}:{MASK}" for token in self.tokens]
        if self.langfuse_secret_key is not None:
            secret = self.langfuse_secret_key.get_secret_value()
            values["langfuse_secret_key"] = secret if reveal_secrets else MASK
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that ``to_json(reveal_secrets=True)`` wrote."""
        return cls(**json.loads(text))
