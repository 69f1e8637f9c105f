"""Who may send: named tokens, how they are written, and making a new one.

Responsible for: the grammar of ``BRIDGE_TOKENS`` and of a line in the tokens file, and that no
more than a digest of a token is kept. Left to others: the file (``store.token_file``), deciding
about a request (``receive.access``).

::

    BRIDGE_TOKENS   name:token,name:token
    tokens file     NAME sha256:DIGEST [KEY=VALUE,KEY=VALUE]      # a comment

The attributes at the end are written as in ``OTEL_RESOURCE_ATTRIBUTES``: ``%20`` for a space,
``%2C`` for a comma. They are fixed: everything sent with the token has them, whatever the client
says itself.
"""

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

PREFIX = "lfb_"
"""Lets people and secret scanners recognise a token."""
TOKEN_BYTES = 32
MIN_TOKEN_CHARS = 16
"""Shorter ones, which only ``BRIDGE_TOKENS`` can have, could be found by trying."""

SCHEME = "sha256:"
NAME = re.compile(r"(?!lfb_)[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
NAME_RULE = "letters, digits and . _ @ - (at most 64, and not lfb_ in front)"
DIGEST = re.compile(rf"{SCHEME}([0-9a-f]{{64}})")
TOKEN = re.compile(r"[!-+\--~]+")
"""What a header can carry, without the comma that ends an entry."""


class TokenError(ValueError):
    """An entry that is none. The text says which and why, and never repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as far as the bridge knows it. Made by this module, read by ``receive.access``.

    Attributes:
        digest: SHA-256 in hex. Nothing slower is needed for what ``new_token`` makes: 256 random
            bits are found by no dictionary, however fast one can try. Not shown all the same,
            since a token that somebody thought up may be in one.
        fixed: Attributes that everything sent with it has.
        is_short: Whether it could be found by trying; not known of those in the file.
    """

    name: str
    digest: str = field(repr=False)
    fixed: dict[str, str] = field(default_factory=dict)
    is_short: bool = field(default=False, compare=False)


def new_token() -> str:
    """Make the text of a new token: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(text: str) -> str:
    """SHA-256 in hex, which is all of a token that is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def tokens_of_variable(text: str) -> tuple[Token, ...]:
    """The tokens of ``BRIDGE_TOKENS``.

    Raises:
        TokenError: An entry is not ``name:token``, or a name or token is there twice.
    """
    entries = [entry.strip() for entry in text.split(",")]
    return distinct([_entry(entry, number) for number, entry in enumerate(entries, start=1)])


def tokens_of_file(text: str) -> tuple[Token, ...]:
    """The tokens of a tokens file; empty lines and those that begin with ``#`` are nobody's.

    Raises:
        TokenError: A line is not as it should be, or a name or token is there twice.
    """
    lines = enumerate(text.splitlines(), start=1)
    return distinct([_line(line, number) for number, line in lines if holds_token(line)])


def holds_token(line: str) -> bool:
    """Whether a line of the file is neither empty nor a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def name_of(line: str) -> str:
    """The name in a line of the file; "" where nobody's is."""
    return line.split(maxsplit=1)[0] if holds_token(line) else ""


def line_of(token: Token) -> str:
    """The token as a line of the file."""
    return f"{token.name} {SCHEME}{token.digest} {written_fixed(token.fixed)}".rstrip()


def written_fixed(fixed: Mapping[str, str]) -> str:
    """Fixed attributes as they are written: ``member=ada,department=research``."""
    return ",".join(f"{key}={quote(value, safe=_UNQUOTED)}" for key, value in fixed.items())


def fixed_of(text: str) -> dict[str, str]:
    """Read fixed attributes.

    Raises:
        TokenError: They are not ``KEY=VALUE`` with commas between them, or a key is there twice.
    """
    pairs = [part.partition("=") for part in text.split(",")] if text.strip() else []
    fixed = {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    if len(fixed) < len(pairs) or not all(map(_is_attribute, fixed.items())):
        raise TokenError(
            "should give attributes as KEY=VALUE,KEY=VALUE, each key once and no value empty;"
            " %20 stands for a space, %2C for a comma"
        )
    return fixed


def check_name(name: str) -> str:
    """Give the name back.

    Raises:
        TokenError: It cannot be a token's.
    """
    if not NAME.fullmatch(name):
        raise TokenError(f"a token's name should be {NAME_RULE}")
    return name


def distinct(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Give the tokens back.

    Raises:
        TokenError: Two of them have the same name, or are the same.
    """
    if name := _repeated(token.name for token in tokens):
        raise TokenError(f"the name {name} is there twice; every token needs a name of its own")
    if digest := _repeated(token.digest for token in tokens):
        first, second, *_ = (token.name for token in tokens if token.digest == digest)
        raise TokenError(f"{first} and {second} have the same token; give each one of its own")
    return tuple(tokens)


_UNQUOTED = "!$&'()*+-./:;<=>?@[]^_`{|}~"


def _entry(entry: str, number: int) -> Token:
    name, _, text = entry.partition(":")
    if not NAME.fullmatch(name) or not TOKEN.fullmatch(text):
        raise TokenError(
            f"entry {number} should be name:token, the name {NAME_RULE},"
            " the token without spaces; commas stand between entries"
        )
    return Token(name=name, digest=digest_of(text), is_short=len(text) < MIN_TOKEN_CHARS)


def _line(line: str, number: int) -> Token:
    name, digest, fixed, *more = [*line.split(), "", "", ""]
    found = DIGEST.fullmatch(digest)
    if not NAME.fullmatch(name) or found is None or any(more):
        raise TokenError(
            f"line {number} should be NAME {SCHEME}DIGEST KEY=VALUE,KEY=VALUE;"
            " `langfuse-bridge token new NAME` writes such lines"
        )
    try:
        return Token(name=name, digest=found[1], fixed=fixed_of(fixed))
    except TokenError as error:
        raise TokenError(f"line {number} {error}") from error


def _is_attribute(pair: tuple[str, str]) -> bool:
    key, value = pair
    return (
        bool(key and value.strip()) and key.isprintable() and value.isprintable() and " " not in key
    )


def _repeated(values: Iterable[str]) -> str | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)
