"""``python -m benchmarks``: measure, print the table, write ``build/bench.json``."""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import figure, gates, report
from benchmarks.scale import FULL, QUICK

BUILD = Path(__file__).parents[1] / "build"
SEED = 7


def main() -> None:
    """A missed gate is told in the table, not by the exit code: nothing went wrong."""
    options = _arguments()
    about = {**report.machine(), "seed": options.seed, "quick": options.quick}
    bench = gates.Bench(QUICK if options.quick else FULL, BUILD, options.seed)
    figures: list[figure.Figure] = []
    began_s = time.monotonic()
    for number in options.only:
        print(f"measuring {number} of {max(gates.GATES)} …", file=sys.stderr)
        figures += gates.GATES[number](bench)
    report.show(figures, about)
    report.write(BUILD / "bench.json", figures, about)
    print(f"{time.monotonic() - began_s:.0f} s; written to {BUILD / 'bench.json'}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small loads, one round, < 2 minutes")
    parser.add_argument("--only", type=_numbers, default=list(gates.GATES), help="gates, as in 1,4")
    parser.add_argument("--seed", type=int, default=SEED, help="of the loads")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",")]
    if unknown := set(numbers) - set(gates.GATES):
        known = f"{min(gates.GATES)} to {max(gates.GATES)}"
        raise argparse.ArgumentTypeError(f"there is no gate {unknown}; they are {known}")
    return numbers


if __name__ == "__main__":
    main()
