"""`langfuse-bridge quarantine`, on the files of a real bridge."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.app import quarantine as putting_back
from bridge.cli import main
from bridge.correlate.correlator import Correlator
from bridge.langfuse.mapping import Mapper
from bridge.model.events import Record
from bridge.model.measures import Measurement
from bridge.model.parts import Settled
from bridge.store.ledger import Ledger
from bridge.store.quarantine import Quarantine
from bridge.store.step import Step
from tests.builders import T0_MS, a_prompt, a_record, a_request, an_answer
from tests.measurements import lines, metrics_request
from tests.pipeline import IDLE_MS, Pipeline, batch, of_prompts
from tests.requests import with_body

Captured = pytest.CaptureFixture[str]
POISON = "POISON-secret-text"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(tmp_path))
    pipeline = Pipeline(tmp_path)
    yield pipeline
    pipeline.close()


@pytest.fixture
def buggy_fold(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A bug that folding meets with one record, after it has changed what is held."""
    fold = Correlator.fold

    def failing(self: Correlator, record: Record) -> None:
        fold(self, record)
        if POISON in str(record.event.attributes):
            raise KeyError(POISON)

    monkeypatch.setattr(Correlator, "fold", failing)
    return monkeypatch


def poisoned() -> list[Any]:
    odd = a_record("odd", 200, {"note": POISON})
    return [a_prompt(0), odd, a_request(300), an_answer(301)]


def work(made: Pipeline, now_ms: int = T0_MS) -> None:
    """As the worker does it: what fails is isolated."""
    for _ in range(10):
        try:
            made.work(now_ms)
        except Exception:  # noqa: BLE001 - any bug of ours is what this is about
            made.assembler.isolate(now_ms)
        else:
            return


def finish(made: Pipeline) -> None:
    for later in (0, 20_000, IDLE_MS, 2 * IDLE_MS, 4 * IDLE_MS):
        work(made, T0_MS + later)


def balanced(made: Pipeline) -> bool:
    return made.accepted() == made.held() + sum(made.outcomes().values())


def listed(capsys: Captured) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["quarantine", "list", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_record_that_a_bug_meets_is_quarantined_alone(
    made: Pipeline, buggy_fold: pytest.MonkeyPatch, capsys: Captured
) -> None:
    made.post(batch(poisoned()))
    finish(made)

    assert made.outcomes() == {"observed": 2, "folded": 1, "quarantined": 1}
    (item,) = listed(capsys)
    assert (item["records"], item["record_index"], item["signal"]) == (1, 1, "logs")
    assert "KeyError" in item["reason"]
    assert POISON not in json.dumps(item)
    assert buggy_fold


@pytest.mark.parametrize("place", ["measure", "commit", "map"])
def test_wherever_it_fails_only_one_ends_in_quarantine(
    made: Pipeline, place: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    if place == "measure":
        _fail(monkeypatch, Correlator, "measure", lambda m: m.point.value_pico == 7 * 10**12)
    elif place == "commit":
        monkeypatch.setattr(Ledger, "rehearse", _failing_commit(Ledger.rehearse))
        monkeypatch.setattr(Ledger, "commit", _failing_commit(Ledger.commit))
    else:
        _fail(monkeypatch, Mapper, "observation", lambda s: POISON in str(s.part))
    made.post(batch(poisoned()), metrics_request(lines(1), lines(7), lines(3)))
    finish(made)

    (item,) = listed(capsys)
    assert item["records"] == 1
    assert made.outcomes()["quarantined"] == 1
    assert made.held() == 0
    assert balanced(made)


def _fail(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, is_poison: Any
) -> None:  # fmt: skip
    inner = getattr(owner, name)

    def failing(self: Any, item: Measurement | Settled) -> Any:
        if is_poison(item):
            raise RuntimeError("a bug of ours")
        return inner(self, item)

    monkeypatch.setattr(owner, name, failing)


def _failing_commit(inner: Any) -> Any:
    def failing(self: Ledger, step: Step) -> None:
        held = b"".join([*(t.state for t, _ in step.turns), *(f.span for f in step.finished)])
        if POISON.encode() in held:
            raise RuntimeError("a bug of ours")
        inner(self, step)

    return failing


def test_content_is_shown_only_where_asked_for(
    made: Pipeline, buggy_fold: pytest.MonkeyPatch, capsys: Captured
) -> None:
    made.post(batch(poisoned()))
    work(made)
    (item,) = listed(capsys)

    assert main(["quarantine", "list"]) == 0
    assert main(["quarantine", "show", item["id"]]) == 0
    assert main(["quarantine", "show", item["id"], "--json"]) == 0
    told = capsys.readouterr()
    assert POISON not in told.out + told.err
    assert "--show-content" in told.err
    assert main(["quarantine", "show", item["id"], "--show-content", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert POISON in json.dumps(shown["request"])
    assert "Do it" not in json.dumps(shown), "the record alone"
    assert buggy_fold


def test_piped_the_list_is_lines_with_tabs(
    made: Pipeline, buggy_fold: pytest.MonkeyPatch, capsys: Captured
) -> None:
    made.post(batch(poisoned()))
    work(made)
    capsys.readouterr()
    assert main(["quarantine", "list"]) == 0

    header, row = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["id", "time", "signal", "records", "ending", "bytes", "reason"]
    assert (row[0], row[2:5]) == ("1", ["logs", "1", "quarantined"])
    assert buggy_fold


def test_what_is_retried_after_the_bug_is_gone_joins_its_trace(
    made: Pipeline, buggy_fold: pytest.MonkeyPatch, capsys: Captured
) -> None:
    made.post(batch(poisoned()))
    finish(made)
    (item,) = listed(capsys)
    buggy_fold.undo()
    buggy_fold.setenv("BRIDGE_DATA_DIR", str(made.config.data_dir))

    assert main(["quarantine", "retry", item["id"]]) == 0
    assert "1 put back" in capsys.readouterr().out
    assert listed(capsys) == []
    finish(made)

    (event,) = [span for span in made.spans() if span.name == "odd"]
    assert event.metadata["note"] == POISON
    assert len({span.trace_id for span in of_prompts(made.spans())}) == 1
    assert made.outcomes() == {"observed": 3, "folded": 1, "quarantined": 1}
    assert made.accepted() == 5, "a retried record is accepted anew"
    assert balanced(made)


def test_a_crash_between_putting_back_and_taking_out_neither_loses_nor_doubles(
    made: Pipeline,
    buggy_fold: pytest.MonkeyPatch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    made.post(batch(poisoned()))
    finish(made)
    (item,) = Quarantine(made.config.ledger_path).listed()
    buggy_fold.undo()
    with monkeypatch.context() as crash:
        crash.setattr(Quarantine, "remove", _killed)
        with pytest.raises(KeyboardInterrupt):
            putting_back.retry(made.config, item)
    finish(made)
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(made.config.data_dir))
    assert main(["quarantine", "retry", "--all"]) == 0
    finish(made)

    assert len([span for span in made.spans() if span.name == "odd"]) == 1
    assert made.outcomes()["duplicate"] == 1
    assert balanced(made)
    assert listed(capsys) == []


def _killed(*_: object) -> bool:
    raise KeyboardInterrupt


def test_a_part_that_could_not_be_told_of_is_told_when_it_is_retried(
    made: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    with monkeypatch.context() as bug:
        _fail(bug, Mapper, "observation", lambda s: POISON in str(s.part))
        made.post(batch(poisoned()))
        finish(made)
        (item,) = listed(capsys)
        assert main(["quarantine", "retry", item["id"]]) == 1
        assert "still cannot be told of" in capsys.readouterr().err
        assert main(["quarantine", "show", item["id"], "--show-content"]) == 0
        assert POISON in capsys.readouterr().out
    assert main(["quarantine", "retry", item["id"]]) == 0

    assert listed(capsys) == []
    assert {span.name for span in made.spans()} >= {"odd"}
    assert made.outcomes() == {"observed": 3, "folded": 1}
    assert balanced(made)


def test_dropping_asks_first_and_yes_needs_no_question(
    made: Pipeline, buggy_fold: pytest.MonkeyPatch, capsys: Captured
) -> None:
    made.post(batch(poisoned()))
    work(made)
    assert main(["quarantine", "drop", "--all"]) == 1
    assert "nothing was deleted" in capsys.readouterr().err
    assert main(["quarantine", "drop", "--all", "--yes"]) == 0
    assert listed(capsys) == []
    assert made.outcomes()["quarantined"] == 1, "how it ended stays true"
    assert buggy_fold


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_without_ids_or_all_nothing_happens(made: Pipeline, action: str, capsys: Captured) -> None:
    made.work(T0_MS)
    made.post(batch([a_prompt(0)]))
    made.work(T0_MS)
    with pytest.raises(SystemExit) as ended:
        main(["quarantine", action])
    assert ended.value.code == 2
    assert main(["quarantine", action, "77"]) == 1
    assert "nothing in quarantine has the id 77" in capsys.readouterr().err


def test_without_content_there_is_nothing_to_show_or_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(tmp_path))
    made = Pipeline(tmp_path, content="metadata")
    broken = metrics_request(lines(1))
    made.post(with_body(broken, b'{"resourceMetrics": ['))
    made.finish(T0_MS)
    made.close()

    (item,) = listed(capsys)
    assert item["size_bytes"] == 0
    assert main(["quarantine", "show", item["id"], "--show-content"]) == 1
    assert main(["quarantine", "retry", item["id"]]) == 1
    assert "without its bytes" in capsys.readouterr().err
    assert len(listed(capsys)) == 1


def test_a_span_that_langfuse_refused_is_listed_and_can_be_sent_again(
    made: Pipeline, capsys: Captured
) -> None:
    made.post(batch([a_prompt(0), a_request(300), an_answer(301)]))
    made.finish(T0_MS)
    pending = made.ledger.claim(10**6, 100)
    made.ledger.rejected(pending[0].position, "HTTP 400: no", T0_MS)
    (item,) = listed(capsys)

    assert (item["id"], item["ending"]) == (f"s{pending[0].position}", "dead_lettered")
    assert main(["quarantine", "show", item["id"], "--show-content"]) == 0
    assert "langfuse.observation.type" in capsys.readouterr().out
    assert main(["quarantine", "retry", "--all"]) == 0
    assert listed(capsys) == []
    again = [*pending[1:], pending[0]]
    assert [span.span for span in made.ledger.claim(10**6, 100)] == [span.span for span in again]
    assert _total(made, "dead_lettered") == 0


def _total(made: Pipeline, name: str) -> int:
    connection = sqlite3.connect(made.config.ledger_path)
    try:
        (value,) = connection.execute("SELECT value FROM totals WHERE name = ?", (name,)).fetchone()
    finally:
        connection.close()
    return int(value)


def test_more_poison_than_is_kept_one_by_one_stays_together_and_can_be_retried(
    made: Pipeline, capsys: Captured
) -> None:
    request = metrics_request(*(lines(float(n)) for n in range(1, 131)))
    document = json.loads(request.body)
    metrics = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    points = [point for metric in metrics for point in metric["sum"]["dataPoints"]]
    for point in points[:120]:
        point["asDouble"] = "none"
    made.post(with_body(request, json.dumps(document).encode()))
    finish(made)

    assert made.outcomes() == {"quarantined": 120, "session_total": 10}
    (item,) = listed(capsys)
    assert item["records"] == 120
    assert main(["quarantine", "retry", "--all"]) == 0
    finish(made)
    assert made.outcomes() == {"quarantined": 240, "session_total": 10, "duplicate": 10}
    assert balanced(made)
