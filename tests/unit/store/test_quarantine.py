"""What was set aside is bounded, listed, and leaves by one way at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model.requests import Signal
from bridge.model.views import Ending
from bridge.store import quarantine
from bridge.store.ledger import Ledger
from bridge.store.quarantine import ROW_BYTES, Quarantine
from bridge.store.step import Quarantined, Step

AT_MS = 1_795_000_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


@pytest.fixture
def kept(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "ledger.db")


def poison(body: bytes, records: int = 1) -> Quarantined:
    return Quarantined(
        position=1, record_index=0, records=records, reason="odd", body=body, signal=Signal.LOGS
    )


def put(ledger: Ledger, *items: Quarantined, watermark: int = 1) -> None:
    ledger.commit(
        Step(
            watermark=watermark,
            turns=(),
            conversations=(),
            finished=(),
            quarantined=items,
            outcomes={},
            at_ms=AT_MS,
        )
    )


def test_what_is_kept_is_listed_without_its_bytes(ledger: Ledger, kept: Quarantine) -> None:
    put(ledger, poison(b"bytes"), poison(b"more bytes", 3))

    first, second = kept.listed()
    assert (first.id, first.ending, first.size_bytes, first.records) == (
        "1", Ending.QUARANTINED, 5, 1,
    )  # fmt: skip
    assert (second.signal, second.records, kept.content(second)) == ("logs", 3, b"more bytes")


def test_beyond_its_bound_the_oldest_give_way_and_are_counted(
    ledger: Ledger, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_BYTES", 3 * (ROW_BYTES + 1000))
    for number in range(10):
        put(ledger, poison(b"x" * 1000, 2), watermark=number + 1)

    assert [item.id for item in kept.listed()] == ["8", "9", "10"]
    assert kept.expired() == 14


def test_what_was_taken_out_makes_room(
    ledger: Ledger, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_BYTES", 2 * (ROW_BYTES + 10))
    put(ledger, poison(b"x" * 10), poison(b"x" * 10))
    (first, _) = kept.listed()
    assert kept.remove(first)
    assert not kept.remove(first)
    put(ledger, poison(b"x" * 10), watermark=2)

    assert ([item.id for item in kept.listed()], kept.expired()) == (["2", "3"], 0)


def test_a_rehearsed_step_leaves_nothing(ledger: Ledger, kept: Quarantine) -> None:
    step = Step(
        watermark=5,
        turns=(),
        conversations=(),
        finished=(),
        quarantined=(poison(b"x"),),
        outcomes={},
        at_ms=AT_MS,
    )
    ledger.rehearse(step)

    assert (ledger.watermark(), kept.listed()) == (0, [])
