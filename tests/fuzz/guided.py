"""Coverage-guided fuzzing with atheris: ``python -m tests.fuzz.guided CORPUS -seed=1 -runs=9999``.

The first byte of an input picks signal and encoding, the rest is the body. An empty CORPUS folder
is filled with the recorded requests first. Arguments are libFuzzer's.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bridge"]):
    from tests.fuzz.mutating import seeds
    from tests.fuzz.targets import decoded

MAX_SEED_BYTES = 8_000


def one(data: bytes) -> None:
    """Take one input; whatever it raises is a finding."""
    if data:
        decoded(data[0], data[1:])


def fill(corpus: Path) -> None:
    """Put the recorded requests into an empty corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, (kind, body) in enumerate(seeds()):
            if len(body) <= MAX_SEED_BYTES:
                (corpus / f"seed-{number}").write_bytes(bytes([kind]) + body)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
