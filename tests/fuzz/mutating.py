"""Inputs made of the captures: fields of valid requests replaced, bytes of any put out of order.

Everything is drawn from one ``random.Random``, so that a seed gives the same inputs again.
"""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from bridge.decode.envelope import inflated
from bridge.model.requests import Encoding
from tests.fuzz.targets import KINDS
from tests.measurements import all_requests
from tests.pipeline import Json

CAPTURES = ("2.1.330/b-tools-full", "2.1.330/e-subagent", "1.0.60/b-tools-full", "2.0.76/f-resume")

ABSURD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), 1.5, -0.0, 1e308,
    "", "0", "-1", "NaN", "Infinity", "-Infinity", "1e308", "1e999999999", "12abc", "١٢", "1_0",
    "9" * 400, " 7 ", "\0", "a\0b", "\n", "é", "\ud83d\ude00", "\u202e", "__proto__", "constructor",
    "prototype.x", "a" * 300, "0" * 32, "f" * 32, "zz", "1795000000000", "253402300799000000000",
    "18446744073709551615", "18446744073709551616", "-9223372036854775808", [], {}, [[]], [None],
    {"stringValue": "x"}, {"intValue": "٣"}, {"doubleValue": "NaN"}, {"boolValue": "true"},
    {"arrayValue": {"values": [{}] * 3}}, {"kvlistValue": {"values": [{"key": "k"}]}},
    {"bytesValue": "AAAA"}, {"stringValue": "user_prompt"}, {"stringValue": "api_request"},
)  # fmt: skip
INTERESTING = (
    b"\0",
    b"\xff",
    b"\x80",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\ud800",
    b"1e9",
)


def seeds() -> list[tuple[int, bytes]]:
    """(kind, body) of every recorded request, inflated."""
    requests = [request for capture in CAPTURES for request in all_requests(capture)]
    return sorted({(KINDS.index((r.signal, r.encoding)), inflated(r)) for r in requests})


def documents() -> list[tuple[int, Json]]:
    """The seeds that are JSON, taken apart."""
    found = [(kind, body) for kind, body in seeds() if KINDS[kind][1] is Encoding.JSON]
    return [(kind, json.loads(body)) for kind, body in found if len(body) < 50_000]


def structured(rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Recorded requests in JSON with a few fields replaced, moved, doubled or left out."""
    whole = documents()
    while True:
        kind, document = rng.choice(whole)
        changed = _few_records(copy.deepcopy(document), rng)
        for _ in range(rng.randint(1, 6)):
            _change(rng, changed)
        yield kind, json.dumps(changed).encode()


def unstructured(rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Recorded requests of both encodings with bytes changed, cut, doubled or mixed."""
    known = [(kind, body[:20_000]) for kind, body in seeds()]
    while True:
        kind, body = rng.choice(known)
        kind = rng.randrange(len(KINDS)) if rng.random() < 0.05 else kind
        mutated = bytearray(body)
        for _ in range(rng.randint(1, 8)):
            _mutate(rng, mutated, known)
        yield kind, bytes(mutated)


def _few_records(document: Any, rng: random.Random) -> Any:
    """At most three items in any list: small inputs are tried faster."""
    if isinstance(document, dict):
        return {key: _few_records(value, rng) for key, value in document.items()}
    if isinstance(document, list):
        is_items = len(document) > 3 and "key" not in str(document[0])[:8]
        kept = rng.sample(document, 3) if is_items else document
        return [_few_records(item, rng) for item in kept]
    return document


def _change(rng: random.Random, document: Any) -> None:
    holders = list(_holders(document))
    if not holders:
        return
    holder = rng.choice(holders)
    if isinstance(holder, dict):
        key = rng.choice(list(holder))
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1:
                holder[rng.choice(["", "__proto__", "key", key.upper(), "log_records"])] = holder[
                    key
                ]
            case _:
                holder[key] = copy.deepcopy(rng.choice(ABSURD))
    else:
        place = rng.randrange(len(holder))
        match rng.randrange(4):
            case 0:
                del holder[place]
            case 1:
                holder.append(copy.deepcopy(holder[place]))
            case 2:
                holder[place] = _nested(rng.choice((3, 40)))
            case _:
                holder[place] = copy.deepcopy(rng.choice(ABSURD))


def _holders(document: Any) -> Iterator[Any]:
    if isinstance(document, dict | list):
        if document:
            yield document
        for value in document.values() if isinstance(document, dict) else document:
            yield from _holders(value)


def _nested(depth: int) -> Json:
    value: Json = {"stringValue": "deep"}
    for level in range(depth):
        pair = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
        value = pair if level % 2 else {"arrayValue": {"values": [value]}}
    return {"key": "deep", "value": value}


def _mutate(rng: random.Random, body: bytearray, known: list[tuple[int, bytes]]) -> None:
    at = rng.randrange(len(body) + 1)
    until = min(len(body), at + rng.choice((1, 2, 4, 16, 200)))
    match rng.randrange(7):
        case 0:
            body[at:until] = rng.randbytes(until - at)
        case 1:
            del body[at:until]
        case 2:
            body[at:at] = body[at:until]
        case 3:
            body[at:until] = rng.choice(INTERESTING)
        case 4:
            _, other = rng.choice(known)
            start = rng.randrange(len(other) + 1)
            body[at:until] = other[start : start + 200]
        case 5 if at < len(body):
            body[at] ^= 1 << rng.randrange(8)
        case _:
            del body[at:]
