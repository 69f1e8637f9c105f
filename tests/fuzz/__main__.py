"""Fuzzing for longer than a test run: ``python -m tests.fuzz --seed 1 --inputs 100000``.

Prints for each target how many inputs it took and how many broke a promise; a broken one is printed
with the input that did it, and the exit code is 1.
"""

import argparse
import asyncio
import itertools
import logging
import random
import sys
import time
import traceback
from collections.abc import Iterator

import structlog

from tests.fuzz import http
from tests.fuzz.mutating import structured, unstructured
from tests.fuzz.targets import DECODERS, LIMIT_S, Held, Target, at_most, decoded

MAX_FINDINGS = 5
SOCKET_PER_S = 100


def main() -> int:
    """Run every target over its inputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=20_000, help="for each target")
    parser.add_argument("--seconds", type=float, default=3600, help="bound for each target")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    held = Held()
    targets: list[tuple[str, Target, Iterator[tuple[int, bytes]]]] = [
        ("decode, fields", decoded, structured(random.Random(args.seed))),
        ("decode, bytes", decoded, unstructured(random.Random(args.seed))),
        (
            "decode without content, fields",
            lambda kind, body: decoded(kind, body, DECODERS[1]),
            structured(random.Random(args.seed + 1)),
        ),
        ("the whole way, fields", held.take, structured(random.Random(args.seed + 2))),
        ("the whole way, bytes", held.take, unstructured(random.Random(args.seed + 2))),
    ]
    findings = sum(
        run(name, target, inputs, args.inputs, args.seconds) for name, target, inputs in targets
    )
    held.settle()
    held.close()
    sent = int(min(args.inputs, args.seconds * SOCKET_PER_S))
    print(f"the port: {dict(asyncio.run(http.fuzz(args.seed, sent)))}", flush=True)  # noqa: T201
    return 1 if findings else 0


def run(
    name: str, target: Target, inputs: Iterator[tuple[int, bytes]], most: int, seconds: float
) -> int:
    """Take up to ``most`` inputs; returns how many broke a promise."""
    started, taken, findings = time.monotonic(), 0, 0
    for kind, body in itertools.islice(inputs, most):
        if findings >= MAX_FINDINGS or time.monotonic() - started > seconds:
            break
        taken += 1
        try:
            with at_most(LIMIT_S):
                target(kind, body)
        except Exception:  # noqa: BLE001 - anything is a finding
            findings += 1
            print(f"--- {name}: kind {kind}, {body[:3000]!r}")  # noqa: T201
            print("".join(traceback.format_exc().splitlines(keepends=True)[-14:]))  # noqa: T201
    took_s = time.monotonic() - started
    print(f"{name}: {taken:,} inputs in {took_s:.0f} s, {findings} findings", flush=True)  # noqa: T201
    return findings


if __name__ == "__main__":
    sys.exit(main())
