"""The settings themselves: names, defaults, meanings and units.

Knows nothing of files, variables and options: ``loading`` brings the values.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.config.values import (
    Connections,
    Content,
    Days,
    DiskMegabytes,
    File,
    LogFormat,
    LogLevel,
    Megabytes,
    Port,
    Rate,
    Seconds,
    Tag,
    User,
    base_url_of,
    environment_name,
    home_path,
    host_names,
    long_enough_key,
    lower,
    named_tokens,
    one_attribute,
    patterns,
    switch,
    tag_rules,
    token_lines,
    user_state,
)
from bridge.model.tokens import (
    Token,
)

DEFAULT_TAGS = "member,department,team.id:team,cost_center"
MASK = "********"
SECRETS = ("langfuse_secret_key", "user_key")
BYTES_PER_MB = 1_048_576
MS_PER_S = 1_000
MS_PER_DAY = 86_400_000


class Config(BaseSettings):
    """The settings in force. Made by ``load``, read by ``app`` and ``cli``; wrong values raise."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True
    )

    langfuse_base_url: Annotated[str, AfterValidator(base_url_of)] = Field(
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
        tuple[Token, ...],
        BeforeValidator(named_tokens),
        PlainSerializer(token_lines, when_used="json"),
    ] = Field(
        (),
        description="Who may send, as name:token with commas between them. Better in the "
        "environment, or as digests in tokens_file.",
    )
    tokens_file: Annotated[Path, AfterValidator(home_path)] | None = Field(
        None,
        description="File of tokens that langfuse-bridge token writes; a change counts within a "
        "second. Default: the file tokens in data_dir, once it is there.",
    )
    insecure_bind: Annotated[bool, BeforeValidator(switch)] = Field(
        False,
        description="true listens on another address than loopback even without tokens: whoever "
        "reaches it may send.",
    )
    rate_limit: Rate = Field(
        0.0,
        description="Most requests of one token, ten seconds' worth of them at once; 0 is without "
        "limit.",
    )
    allowed_hosts: Annotated[str, AfterValidator(host_names)] = Field(
        "",
        description="Names by which HTTP clients may address the bridge, with commas between them. "
        "Empty: on a loopback address only localhost and the like, against web pages that "
        "give themselves our address (DNS rebinding); elsewhere any.",
    )
    tls_cert: File | None = Field(
        None,
        description="PEM file of the server's certificate, then those of its issuers. With it both "
        "ports speak TLS only; a renewed one is taken up while the bridge runs.",
    )
    tls_key: File | None = Field(
        None, description="PEM file of the certificate's key, without a password."
    )
    tls_client_ca: File | None = Field(
        None,
        description="PEM file of authorities. With it only clients that show a certificate of "
        "theirs are let in (mTLS), to /healthz too.",
    )
    max_connections: Connections = Field(
        1024,
        description="Most open connections, over HTTP and over gRPC each. Beyond it HTTP answers "
        "503 once and closes; gRPC closes.",
    )
    ca_file: File | None = Field(
        None,
        description="PEM file of authorities to trust for the connection to Langfuse, besides the "
        "system's.",
    )
    data_dir: Annotated[Path, AfterValidator(home_path)] = Field(
        default_factory=user_state,
        description="Folder of what is kept. Default: $STATE_DIRECTORY, else the user's state "
        "folder (~/.local/state/langfuse-bridge).",
    )
    tags: Annotated[tuple[Tag, ...], BeforeValidator(tag_rules)] = Field(
        tag_rules(DEFAULT_TAGS),
        description="Attributes that become tags, in this order; the part behind a colon renames. "
        "May be empty. claude-code always comes last.",
    )
    group_by: Annotated[str, AfterValidator(one_attribute)] = Field(
        "", description="One attribute that is sent also as the release, to group charts by."
    )
    content: Annotated[Content, BeforeValidator(lower)] = Field(
        Content.FULL,
        description="full sends texts; redacted masks secrets in them; metadata sends no prompt, "
        "answer, command, path, tool input or output, only names, sizes and numbers.",
    )
    redact_patterns: Annotated[tuple[str, ...], BeforeValidator(patterns)] = Field(
        (),
        description="Regular expressions (RE2) of what content = redacted masks besides the "
        "kinds it knows: a list, or in the variable one on each line.",
    )
    redact_emails: Annotated[bool, BeforeValidator(switch)] = Field(
        False, description="true masks e-mail addresses too under content = redacted."
    )
    user: Annotated[User, BeforeValidator(lower)] = Field(
        User.PLAIN,
        description="plain tells the person as the client does; hash tells a pseudonym instead, "
        "omit nothing.",
    )
    user_key: Annotated[SecretStr | None, AfterValidator(long_enough_key)] = Field(
        None,
        description="Key of the pseudonyms; several bridges need the same. Default: made once and "
        "kept in the data folder as user.key.",
    )
    join_traces: Annotated[bool, BeforeValidator(switch)] = Field(
        False,
        description="true sends a turn into the trace that its client's spans are in, below the "
        "span that TRACEPARENT names, so that a CI job or service sees one tree.",
    )
    forward_other_spans: Annotated[bool, BeforeValidator(switch)] = Field(
        False,
        description="true passes spans of other programs on to Langfuse, with tags and session; "
        "not under content = metadata, since what their texts are is not known.",
    )
    environment: Annotated[str, BeforeValidator(lower), AfterValidator(environment_name)] = Field(
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
    log_level: Annotated[LogLevel, BeforeValidator(lower)] = Field(
        LogLevel.INFO, description="Least level that is logged: debug, info, warning or error."
    )
    log_format: Annotated[LogFormat, BeforeValidator(lower)] = Field(
        LogFormat.AUTO,
        description="console or json; auto is console on a terminal and json elsewhere.",
    )
    max_body_mb: Megabytes = Field(
        64.0, description="Largest export request that is accepted, unpacked."
    )
    max_disk_mb: DiskMegabytes = Field(
        2048.0,
        description="How large the kept files may become together. Near it, delivered history is "
        "deleted early; above it, requests are answered 503 until there is room.",
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
    def masked(self) -> dict[str, object]:
        """All settings as plain values, with a mask in place of secrets, for people to read."""
        return dict(json.loads(self.to_json()))

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

    @property
    def max_disk_bytes(self) -> int:
        """``max_disk_mb`` in bytes."""
        return math.ceil(self.max_disk_mb * BYTES_PER_MB)

    def to_json(self, *, reveal_secrets: bool = False) -> str:
        """One object; with ``reveal_secrets`` it is what ``from_json`` reads, for a pipe only."""
        values = self.model_dump(mode="json")
        if not reveal_secrets:
            values["tokens"] = [f"{token.name}:{MASK}" for token in self.tokens]
        for name in SECRETS:
            if (secret := getattr(self, name)) is not None:
                values[name] = secret.get_secret_value() if reveal_secrets else MASK
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that ``to_json(reveal_secrets=True)`` wrote."""
        return cls(**json.loads(text))
