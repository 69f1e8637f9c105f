"""What a setting may be: the kinds of values, and how each is read from what the user wrote.

Raises ``WrongValueError``, whose text goes on where the setting's name ends.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import re2
from platformdirs import user_state_path
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from bridge.model.tokens import (
    Token,
    TokenError,
    distinct,
    line_of,
    tokens_of_file,
    tokens_of_variable,
)

MAX_DURATION_S = 1e9
MAX_RETENTION_DAYS = 36_500
"""Both bounds keep times in milliseconds inside the 64 bits that SQLite gives a number."""
MAX_DISK_MB = 1 << 30
MAX_ENVIRONMENT_LENGTH = 40
MIN_USER_KEY_BYTES = 16
MAX_USER_KEY_BYTES = 64
"""As many as BLAKE2b takes for a key; with fewer, e-mail addresses could be guessed."""


class Content(StrEnum):
    """How much text leaves the bridge."""

    FULL = "full"
    REDACTED = "redacted"
    METADATA = "metadata"


class User(StrEnum):
    """How the person is told."""

    PLAIN = "plain"
    HASH = "hash"
    OMIT = "omit"


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


SERVICE_STATE = Path("/var/lib/langfuse-bridge")


def lower(value: object) -> object:
    """A word without regard to case."""
    return value.strip().lower() if isinstance(value, str) else value


def switch(value: object) -> object:
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


def base_url_of(value: str) -> str:
    """The URL without a trailing slash; ValueError when nothing could be posted to it."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise WrongValueError("should be an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise WrongValueError("should hold no user or password; keys have settings of their own")
    if parts.query or parts.fragment or parts.port == 0:
        raise WrongValueError("should end with the host, port or path")
    return value.rstrip("/")


def tag_rules(value: object) -> tuple[Tag, ...]:
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


def named_tokens(value: object) -> tuple[Token, ...]:
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


def token_lines(tokens: tuple[Token, ...]) -> list[str]:
    """The lines that ``named_tokens`` reads: digests, for another process of ours."""
    return [line_of(token) for token in tokens]


def one_attribute(value: str) -> str:
    """A single attribute's name."""
    if "," in value:
        raise WrongValueError("should be one attribute; a trace belongs to one group")
    return value


def patterns(value: object) -> tuple[str, ...]:
    """Patterns from one text with a pattern on each line, or from a list."""
    parts = value.splitlines() if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise WrongValueError("should be a list of regular expressions, or one on each line")
    found = tuple(part.strip() for part in parts if part.strip())
    for number, pattern in enumerate(found, start=1):
        _check_pattern(number, pattern)
    return found


def _check_pattern(number: int, pattern: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        reason = told.partition(":")[0]
        raise WrongValueError(
            f"pattern {number} is no regular expression of RE2 ({reason}); "
            "look-around and back-references are not among them"
        ) from None
    if compiled.search("") is not None:
        raise WrongValueError(f"pattern {number} matches the empty text, and would mask everywhere")


def long_enough_key(value: SecretStr | None) -> SecretStr | None:
    """A key that cannot be guessed and that BLAKE2b takes whole."""
    size = len(value.get_secret_value().encode()) if value else MAX_USER_KEY_BYTES
    if not MIN_USER_KEY_BYTES <= size <= MAX_USER_KEY_BYTES:
        raise WrongValueError(
            f"should be {MIN_USER_KEY_BYTES} to {MAX_USER_KEY_BYTES} bytes; "
            "`openssl rand -hex 32` makes one"
        )
    return value


def environment_name(value: str) -> str:
    """Langfuse's rule; what breaks it would silently become ``default`` there."""
    letters = value.replace("-", "").replace("_", "")
    if value and not (letters.isascii() and letters.isalnum()):
        raise WrongValueError("should be letters, digits, - and _ only")
    if value.startswith("langfuse") or len(value) > MAX_ENVIRONMENT_LENGTH:
        raise WrongValueError("should be at most 40 characters and not begin with langfuse")
    return value


def home_path(value: Path) -> Path:
    """A path in which ``~`` is the home folder."""
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise WrongValueError("should be a path; there is no such home folder") from error


def host_names(value: str) -> str:
    """Names as the Host header has them, in lower case, without their port."""
    names = [name.strip().lower() for name in value.split(",")]
    if any("/" in name or name.count(":") == 1 for name in names):
        raise WrongValueError("should be names without http:// and port, with commas between them")
    return ",".join(filter(None, names))


def user_state() -> Path:
    """Where a user's programs keep what they have to, or a service's, which has no home."""
    try:
        return user_state_path("langfuse-bridge", appauthor=False)
    except RuntimeError:  # neither HOME nor an entry for this user, as under DynamicUser=
        return SERVICE_STATE


Number = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=MAX_DURATION_S), Unit("seconds")]
Days = Annotated[Number, Field(gt=0, le=MAX_RETENTION_DAYS), Unit("days")]
Rate = Annotated[Number, Field(ge=0, le=1e6), Unit("requests per second")]
Megabytes = Annotated[Number, Field(gt=0, le=4096), Unit("MiB")]
DiskMegabytes = Annotated[Number, Field(gt=0, le=MAX_DISK_MB), Unit("MiB")]
Connections = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=100_000)]
File = Annotated[Path, AfterValidator(home_path)]
Port = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=65535)]
