"""The doctor's made-up turn through the real inbox, assembler and ledger, with told time."""

from bridge.doctor.sending import COST_USD, MADE_UP, OBSERVED, USAGE, Turn, request_body
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.measurements import assembled

NOW_MS = 1_790_000_000_000


def a_request(session_id: str) -> ExportRequest:
    turn = Turn(session_id=session_id, now_ms=NOW_MS)
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=Encoding.JSON,
        body=request_body(turn, {"member": MADE_UP}),
        gzipped=False,
        records=3,
        received_at_ms=NOW_MS,
    )


def test_it_becomes_one_trace_and_nothing_that_would_come_after_it_was_removed() -> None:
    made = assembled([a_request(Turn().session_id)])

    (spans,) = made.assembly.traces.values()
    assert sorted(span.type.upper() for span in spans) == sorted(OBSERVED)
    (generation,) = [span for span in spans if span.type == "generation"]
    assert {kind: generation.usage[kind] for kind in USAGE} == USAGE
    assert float(generation.cost or 0) == COST_USD
    assert made.scores == []


def test_any_other_session_with_the_same_turn_has_a_summary_and_scores() -> None:
    made = assembled([a_request("a-session")])

    assert len(made.summaries) == 1
    assert made.scores
