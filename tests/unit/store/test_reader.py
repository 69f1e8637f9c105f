"""What people and ``/healthz`` read of the ledger, beside its writer."""

from pathlib import Path

import pytest

from bridge.app.reading import ledger_reader
from bridge.config import Config
from bridge.errors import StoreError
from bridge.store.reader import LedgerReader
from tests.builders import SESSION, T0_MS, a_prompt, a_record, a_request, a_result
from tests.pipeline import Logged, Pipeline, batch

OTHER = "0ther000-0000-4000-8000-000000000002"


def test_a_ledger_that_is_not_there_yet_reads_as_an_empty_one(tmp_path: Path) -> None:
    reader = _reader(tmp_path)

    assert (reader.sessions(10), reader.find("")) == ([], [])
    totals = reader.totals()
    assert (totals.live_records, totals.pending, totals.watermark) == (0, 0, 0)


def test_a_ledger_is_read_as_soon_as_it_is_there(tmp_path: Path) -> None:
    reader = _reader(tmp_path)
    assert reader.sessions(10) == []

    _filled(tmp_path, a_prompt(0), a_request(300)).close()

    assert [s.session_id for s in reader.sessions(10)] == [SESSION]
    reader.close()


def test_sessions_are_summed_up_latest_first(tmp_path: Path) -> None:
    _filled(
        tmp_path,
        a_prompt(0, sequence=0),
        a_request(300, "r1", sequence=1),
        a_result(400, more={"success": "false"}, sequence=2),
        a_request(500, "r2", {"model": "claude-haiku-4-5"}, sequence=3),
        a_prompt(9000, session=OTHER, sequence=0),
    ).close()
    reader = _reader(tmp_path)

    other, mine = reader.sessions(10)

    assert (other.session_id, other.prompts, other.generations) == (OTHER, 1, 0)
    assert (mine.session_id, mine.user_id) == (SESSION, "alex")
    assert mine.models == ("claude-haiku-4-5", "claude-opus-5-5")
    assert (mine.prompts, mine.live, mine.generations, mine.tools, mine.errors) == (1, 0, 2, 1, 1)
    assert (mine.cost_picousd, mine.tokens["input"], mine.tokens["output"]) == (2 * 10**9, 22, 14)
    assert mine.ended_ms == T0_MS + 500
    assert [s.session_id for s in reader.sessions(1)] == [OTHER]
    reader.close()


def test_a_live_turn_is_shown_as_far_as_it_has_come(tmp_path: Path) -> None:
    made = Pipeline(tmp_path)
    made.post(batch([a_prompt(0), a_request(300), a_result(400)]))
    made.work(T0_MS + 400)
    made.work(T0_MS + 5000)
    reader = _reader(tmp_path)

    (view,) = reader.find(SESSION)

    assert view.live
    assert {o.kind.value for o in view.observations} == {"generation", "tool"}
    assert reader.totals().live_records == 1, "the prompt waits for its root"
    reader.close()
    made.close()


def test_sessions_without_an_id_have_a_row_of_their_own(tmp_path: Path) -> None:
    _filled(tmp_path, a_prompt(0, session=None), a_request(300, session=None)).close()
    reader = _reader(tmp_path)

    assert [(s.session_id, s.prompts, s.generations) for s in reader.sessions(10)] == [("-", 1, 1)]
    reader.close()


@pytest.mark.parametrize("length", [4, 8, 36])
def test_a_session_is_found_by_the_beginning_of_its_id(tmp_path: Path, length: int) -> None:
    _filled(tmp_path, a_prompt(0), a_prompt(0, session=OTHER)).close()
    reader = _reader(tmp_path)

    found = reader.find(SESSION[:length])

    assert {view.session_id for view in found} == {SESSION}
    reader.close()


def test_a_trace_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    made = _filled(tmp_path, a_prompt(0), a_prompt(0, session=OTHER))
    wanted = next(s for s in made.spans() if s.attributes["langfuse.session.id"] == OTHER)
    made.close()
    reader = _reader(tmp_path)

    (view,) = reader.find(wanted.trace_id[:12])

    assert (view.trace_id, view.live) == (wanted.trace_id, False)
    assert wanted.id in {o.id for o in view.observations}
    reader.close()


@pytest.mark.parametrize("text", ["nothing like it", "%", "_", "\\", "5e55101_"])
def test_wildcards_find_only_themselves(tmp_path: Path, text: str) -> None:
    _filled(tmp_path, a_prompt(0)).close()
    reader = _reader(tmp_path)

    assert reader.find(text) == []
    reader.close()


def test_observations_are_in_order_of_start(tmp_path: Path) -> None:
    _filled(
        tmp_path, a_prompt(0), a_request(300), a_result(350), a_record("at_mention", 10)
    ).close()
    reader = _reader(tmp_path)

    starts = [o.start_ms for o in reader.find(SESSION)[0].observations]

    assert starts == sorted(starts)
    reader.close()


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(StoreError, match=r"ledger\.db"):
        _reader(tmp_path).totals()


def _filled(folder: Path, *records: Logged) -> Pipeline:
    made = Pipeline(folder)
    made.post(batch(records, T0_MS + 10_000))
    made.finish(T0_MS + 10_000)
    return made


def _reader(folder: Path) -> LedgerReader:
    return ledger_reader(Config.model_validate({"data_dir": folder}))
