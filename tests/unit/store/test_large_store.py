"""A year's store: what it takes to start with it, and that no query walks through all of it.

``STORE_ROWS`` in the environment makes it larger: 1000000 is what the figures are told for.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from isal import isal_zlib

from bridge.app.assembler import Assembler
from bridge.config import Config
from bridge.store import blocks, ledger, observations, outbox, retention, scores
from bridge.store.facts import set_fact
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.observations import LAST_POSITION
from bridge.store.outbox import DELIVERED_TO
from bridge.store.schema import LEDGER
from tests.builders import T0_MS, a_prompt
from tests.pipeline import batch
from tests.unit.store.samples import a_finished, a_step

ROWS = int(os.environ.get("STORE_ROWS", "20000"))
READY_S = 2.0
A_BLOCK = isal_zlib.compress(msgspec.msgpack.encode([bytes(600)] * 10))
SMALL = ("totals", "facts")
"""Tables of a few rows, whose names a scan may have."""

FILL = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO observations (position, trace, span_id, session_id, kind, is_root, is_error,
        start_ms, end_ms, service_name, changed_at_ms)
    SELECT i + 1, i / 20 + 2, randomblob(8), hex(i / 200), 'generation', 0, 0, i, i + 5,
        'claude-code', i FROM n"""
FILL_BLOCKS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO blocks SELECT 10 * i + 1, 10 * i - 8, ? FROM n"""
FILL_TRACES = """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO traces SELECT i + 2, hex(i) FROM n"""
FILL_DELIVERIES = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO deliveries SELECT i * 10, i * 10 FROM n"""
FILL_TURNS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO turns SELECT i, hex(i), hex(i), hex(i / 10), 0, 0, i, i, 0, zeroblob(800) FROM n"""
FILL_CONVERSATIONS = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO conversations SELECT i, hex(i), 0, 0, i, zeroblob(400) FROM n"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    with closing(Ledger(folder / "ledger.db")) as made:
        made.commit(a_step(finished=[a_finished(1)]))
    with closing(sqlite3.connect(folder / "ledger.db")) as filling:
        filling.execute("PRAGMA synchronous = OFF")
        filling.execute(FILL, (ROWS,))
        filling.execute(FILL_BLOCKS, (ROWS // 10, A_BLOCK))
        filling.execute(FILL_TRACES, (ROWS // 20,))
        filling.execute(FILL_DELIVERIES, (ROWS // 10 - 10,))
        set_fact(filling, LAST_POSITION, str(ROWS + 1))
        set_fact(filling, DELIVERED_TO, str(ROWS - 100))
        filling.execute(FILL_TURNS, (ROWS // 20,))
        filling.execute(FILL_CONVERSATIONS, (ROWS // 200,))
        filling.commit()
    return folder


def test_a_large_ledger_is_ready_to_assemble_and_deliver_at_once(large: Path) -> None:
    config = Config.model_validate({"data_dir": large})
    with (
        closing(Inbox(large / "inbox.db")) as inbox,
        closing(InboxReader(large / "inbox.db")) as reader,
    ):
        inbox.append([batch([a_prompt(0)])])
        began_s = time.perf_counter()
        with closing(Ledger(large / "ledger.db")) as opened:
            assert Assembler(config, reader, opened).step(T0_MS) == 1
            assert len(opened.claim(10**9, 50)) == 50
            ready_s = time.perf_counter() - began_s
            steps_s = sorted(prune_steps_s(opened))
    print(f"{ROWS} observations: ready after {ready_s:.3f} s, prune step {steps_s[-1]:.3f} s")  # noqa: T201 - the figures
    assert ready_s < READY_S


def prune_steps_s(opened: Ledger) -> Iterator[float]:
    """How long ten steps of retention and of shrinking take."""
    for _ in range(10):
        began_s = time.perf_counter()
        assert opened.prune(ROWS // 2, pending_too=False)
        opened.shrink()
        yield time.perf_counter() - began_s


def statements() -> list[str]:
    """Every query and change that the worker makes at run time."""
    named = [
        *vars(blocks).items(),
        *vars(ledger).items(),
        *vars(observations).items(),
        *vars(outbox).items(),
        *vars(scores).items(),
        *vars(retention).items(),
    ]
    texts: list[str] = []
    for name, value in named:
        if re.fullmatch(r"_[A-Z_]+", name):
            values = value.values() if isinstance(value, dict) else value
            texts += [values] if isinstance(values, str) else list(values)
    return sorted({text for text in texts if " " in str(text)})


@pytest.mark.parametrize("statement", statements())
def test_every_query_at_run_time_goes_by_an_index(statement: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for each in LEDGER:
            connection.execute(each)
        numbered = [int(n) for n in re.findall(r"\?(\d)", statement)]
        count = max(numbered) if numbered else statement.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * count).fetchall()
    for *_, step in plan:
        whole = step.startswith("SCAN") and "INDEX" not in step and not step.endswith(SMALL)
        assert not whole, step
        assert "TEMP B-TREE" not in step
