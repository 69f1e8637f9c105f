"""What ``make bench`` says of a figure, and that the document tells of every one."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import corpus, gates, pipeline, report
from benchmarks.figure import Figure

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "PERFORMANCE.md").read_text()


def a_figure(*rounds: float) -> Figure:
    return Figure(number=2, what="cost", unit="F", rounds=rounds, gate=12, stretch=8)


@pytest.mark.parametrize(
    ("value", "verdict"), [(8.0, "stretch"), (8.1, "ok"), (12.0, "ok"), (12.1, "misses")]
)
def test_a_figure_is_held_against_its_gate_and_its_stretch_value(
    value: float, verdict: str
) -> None:
    assert a_figure(value).verdict == verdict


def test_a_figure_is_the_median_of_its_rounds_and_tells_their_noise() -> None:
    figure = a_figure(9.0, 30.0, 10.0)

    assert (figure.value, figure.spread) == (10.0, 2.1)


def test_the_report_is_kept_with_every_round_and_the_machine(tmp_path: Path) -> None:
    report.write(tmp_path / "bench.json", [a_figure(9.0, 10.0, 11.0)], {"cores": 2})

    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["cores"] == 2
    assert kept["figures"][0]["rounds"] == [9.0, 10.0, 11.0]
    assert "| 2 | cost | 10 F | 12 | 8 | ok | 20% |" in (tmp_path / "bench.md").read_text()


def test_the_document_has_a_value_and_a_method_for_every_gate() -> None:
    values, methods = DOCUMENT.split("## How each is measured")
    for part in (values, methods):
        numbers = {int(found) for found in re.findall(r"^\| (\d+) \|", part, flags=re.MULTILINE)}
        assert numbers == set(gates.GATES)


def test_the_pipeline_that_is_counted_makes_an_observation_of_what_settles(tmp_path: Path) -> None:
    made = corpus.make(tmp_path, 600)

    assert pipeline.run_decode(made.path) == made.records == 600
    assert pipeline.run_all(made.path) > 10_000
