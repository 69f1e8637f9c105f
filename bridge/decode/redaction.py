"""Masks secrets in decoded records, whatever attribute, name or JSON document they stand in.

All strings of a record are looked through at once, which is all that happens to nearly every
record; only one with a suspect is taken apart. RE2 matches in linear time, so that no text can
hold up the worker. What secrets look like is up to ``secret_rules``. Nothing of a text is kept.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import orjson
import re2

from bridge.decode.secret_rules import (
    EMAIL,
    KEY_LINES,
    PRIVATE_KEY,
    PRIVATE_KEY_END,
    RULES,
    SECRET_NAME,
    Found,
    Rule,
    is_placeholder,
    is_secret_name,
    is_token_name,
    looks_random,
)

MAX_DEPTH = 64
"""JSON inside JSON included. What lies deeper is masked unread."""

LONGEST_KEY_BYTES = 65_536
"""How far from the first line of a private key its last one may be."""

MOST_MATCHES = 10_000
"""Of one rule in one text. A text with more is an attack on our time, or a list of secrets: what
follows is masked unread."""

_ESCAPED = r"\\u00[2-7]|\\/"
"""JSON may write any character so, and with it hide a secret from the first look."""

_LENIENT = "surrogatepass"

Kinds = Counter[str]
"""Kind of secret → how many were masked."""

S = TypeVar("S", bound=msgspec.Struct)


class Redactor:
    """Masks secrets as ``[redacted:kind]``, the same in every text.

    Args:
        patterns: RE2 patterns of the team's own, masked as ``pattern``.
        emails: Whether e-mail addresses are secrets.
    """

    def __init__(self, patterns: Sequence[str] = (), *, emails: bool = False) -> None:
        own = [Rule("pattern", pattern) for pattern in patterns]
        self._rules = [*own, *RULES, *([EMAIL] if emails else [])]
        self._compiled = [_compiled(rule.pattern) for rule in self._rules]
        self._key_begin = _compiled(PRIVATE_KEY)
        self._key_mark = _compiled(f"{PRIVATE_KEY}|{PRIVATE_KEY_END}")
        self._key_lines = _compiled(KEY_LINES)
        every = [PRIVATE_KEY, *(rule.pattern for rule in self._rules)]
        self._suspects = _set(every)
        self._worth_a_look = _set([*every, SECRET_NAME, _ESCAPED])

    def record(self, record: S, found: Kinds) -> S:
        """The record with its secrets masked, and counted in ``found``; itself if it has none."""
        if not self.is_suspect(_strings(record, [])):
            return record
        masked: S = self.value(record, found)
        return masked

    def is_suspect(self, strings: Iterable[str]) -> bool:
        """Whether any of these may be, hold or name a secret."""
        return bool(self._worth_a_look.Match(_encoded("\0".join(strings))))

    def value(self, value: Any, found: Kinds, name: str = "", depth: int = 0) -> Any:  # noqa: ANN401 - JSON
        """A decoded value of any shape with its secrets masked; ``name`` is the key it is under."""
        match value:
            case str():
                return self._string(value, found, name, depth)
            case bool() | None:
                return value
            case int() | float():
                return _mask("secret", found) if is_secret_name(name) else value
            case bytes():
                return self._bytes(value, found)
        return self._nested(value, found, name, depth + 1)

    def text(self, text: str, found: Kinds) -> str:
        """A text that is no JSON document."""
        raw = _encoded(text)
        masked = self._bytes(raw, found)
        return text if masked is raw else masked.decode("utf-8", _LENIENT)

    def _nested(self, value: Any, found: Kinds, name: str, depth: int) -> Any:  # noqa: ANN401 - JSON
        if depth > MAX_DEPTH:
            return _mask("too_deep", found)
        if isinstance(value, list | tuple):
            return type(value)(self.value(item, found, name, depth) for item in value)
        if isinstance(value, msgspec.Struct):
            fields = {key: getattr(value, key) for key in value.__struct_fields__}
            return type(value)(**self._pairs(fields, found, depth))
        return self._pairs(value, found, depth)

    def _pairs(self, pairs: dict[str, Any], found: Kinds, depth: int) -> dict[str, Any]:
        return {
            self.text(key, found): self.value(item, found, key, depth)
            for key, item in pairs.items()
        }

    def _string(self, text: str, found: Kinds, name: str, depth: int) -> str:
        if name and _is_told_by(name, text):
            return _mask("secret", found)
        document = _json_document(text)
        if document is None:
            return self.text(text, found)
        before = found.total()
        masked = self.value(document, found, name, depth)
        return text if found.total() == before else orjson.dumps(masked).decode()

    def _bytes(self, text: bytes, found: Kinds) -> bytes:
        for number in sorted(self._suspects.Match(text) or ()):
            text = self._without(number - 1, text, found) if number else self._keyless(text, found)
        return text

    def _without(self, number: int, text: bytes, found: Kinds) -> bytes:
        rule = self._rules[number]
        pieces: list[bytes] = []
        end = 0
        for count, match in enumerate(self._compiled[number].finditer(text)):
            if count == MOST_MATCHES:
                return b"".join([*pieces, text[end : match.start()], _mask("rest", found).encode()])
            start, stop = _span(match)
            around = Found(text[start:stop], text[match.start() : start], text[stop : stop + 1])
            if stop > start and (rule.accepts is None or rule.accepts(around)):
                pieces += [text[end:start], _mask(rule.kind, found).encode()]
                end = stop
        return b"".join([*pieces, text[end:]]) if pieces else text

    def _keyless(self, text: bytes, found: Kinds) -> bytes:
        """Without private keys: whole blocks, or of one without its end what lines there are."""
        marks = list(self._key_mark.finditer(text))
        pieces: list[bytes] = []
        end = 0
        for mark, following in zip(marks, [*marks[1:], None], strict=True):
            if mark.start() >= end and self._key_begin.fullmatch(mark.group()):
                pieces += [text[end : mark.start()], _mask("private_key", found).encode()]
                end = self._end_of_key(text, mark, following)
        return b"".join([*pieces, text[end:]])

    def _end_of_key(self, text: bytes, begin: Any, following: Any) -> int:  # noqa: ANN401 - re2 has no types
        ends = following is not None and not self._key_begin.fullmatch(following.group())
        if ends and following.end() - begin.end() < LONGEST_KEY_BYTES:
            return int(following.end())
        return int(self._key_lines.match(text, begin.end()).end())


def _mask(kind: str, found: Kinds) -> str:
    found[kind] += 1
    return f"[redacted:{kind}]"


def _is_told_by(name: str, text: str) -> bool:
    """Whether the key alone, or the key and the look of the value, make a text a secret."""
    if is_secret_name(name):
        return bool(text) and not is_placeholder(_encoded(text))
    return is_token_name(name) and looks_random(_encoded(text))


def _json_document(text: str) -> Any:  # noqa: ANN401 - JSON
    """The object or list in a string; None for any other text."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _strings(value: object, into: list[str]) -> list[str]:
    """Every string in a record, names included, added to a list."""
    kind = type(value)  # decoded values have no subclasses, and this is asked of every attribute
    if kind is str:
        into.append(cast("str", value))
    elif kind is dict:
        for key, item in cast("dict[str, object]", value).items():
            into.append(key)
            if type(item) is str:
                into.append(item)
            else:
                _strings(item, into)
    elif kind in {list, tuple}:
        for item in cast("Iterable[object]", value):
            _strings(item, into)
    elif isinstance(value, msgspec.Struct):
        for key in value.__struct_fields__:
            _strings(getattr(value, key), into)
    elif isinstance(value, bytes):
        into.append(value.decode("utf-8", "replace"))
    return into


def _span(match: Any) -> tuple[int, int]:  # noqa: ANN401 - re2 has no types
    """Where the secret stands in a match."""
    groups = range(1, len(match.groups()) + 1)
    group = next((each for each in groups if match.start(each) >= 0), 0)
    return match.start(group), match.end(group)


def _encoded(text: str) -> bytes:
    # Half a surrogate pair, which JSON can hold, has no UTF-8 of its own.
    return text.encode("utf-8", _LENIENT)


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it would print the pattern
    return options


def _compiled(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    return re2.compile(pattern, _options())


def _set(patterns: Sequence[str]) -> Any:  # noqa: ANN401 - re2 has no types
    """All patterns at once: ``Match`` tells the numbers of those that match anywhere."""
    found = re2.Set.SearchSet(_options())
    for pattern in patterns:
        found.Add(pattern)
    found.Compile()
    return found
