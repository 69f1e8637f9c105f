import json

from bridge.terminal.records import session_record, trace_record
from tests.unit.terminal.samples import START_MS, a_full_trace, a_session, a_summary, a_trace


def test_a_session_record_is_exact() -> None:
    record = session_record(a_session(cost_picousd=1))
    assert json.loads(json.dumps(record)) == {
        "session_id": "97d2fd7f-1111-4222-8333-444455556666",
        "user_id": "alex",
        "models": ["claude-opus-5-5"],
        "start": "2026-11-22T00:19:44.909Z",
        "start_ms": START_MS,
        "end": "2026-11-22T00:21:49.909Z",
        "end_ms": START_MS + 125_000,
        "duration_ms": 125_000,
        "prompts": 2,
        "live": 0,
        "generations": 3,
        "tools": 4,
        "errors": 0,
        "tokens": {"input": 11, "output": 117, "input_cached_tokens": 1010},
        "cost_usd": "0.000000000001",
        "cost_picousd": 1,
        "active_ms": None,
        "lines_added": None,
        "lines_removed": None,
        "commits": None,
        "pull_requests": None,
    }


def test_a_session_record_tells_what_its_metrics_told() -> None:
    told = {"active_ms": 499, "lines_added": 3, "lines_removed": 0, "commits": 1}
    record = session_record(a_session(**told, pull_requests=2))
    assert record.items() >= {**told, "pull_requests": 2}.items()


def test_a_summarys_record_lasts_as_long_as_its_session_and_has_no_tokens() -> None:
    record = trace_record(a_summary(lines_added=3))
    assert record.items() >= {"is_summary": True, "duration_ms": 65_001, "tokens": {}}.items()


def test_a_trace_record_has_its_sums_and_every_observation_unabridged() -> None:
    record = json.loads(json.dumps(trace_record(a_full_trace())))
    observations = record.pop("observations")
    assert record == {
        "trace_id": "a" * 32,
        "session_id": "97d2fd7f-1111-4222-8333-444455556666",
        "live": False,
        "is_summary": False,
        "name": "claude-code",
        "user_id": "alex",
        "tags": ["department:engineering", "team:platform"],
        "metadata": {"department": "engineering", "team": "platform"},
        "version": "2.1.330",
        "release": None,
        "environment": None,
        "duration_ms": 65_000,
        "tokens": {"input": 11, "output": 117, "input_cached_tokens": 1010},
        "cost_usd": "0.003086",
        "cost_picousd": 3_086_000_000,
    }
    assert [each["id"] for each in observations] == [
        *("root", "gen", "bash", "sub", "read", "compact", "hook")
    ]
    assert observations[0]["output"] == "Done. " * 40
    assert observations[2] == {
        "id": "bash",
        "parent_id": "root",
        "kind": "tool",
        "name": "Bash",
        "start": "2026-11-22T00:19:48.009Z",
        "start_ms": START_MS + 3_100,
        "end": "2026-11-22T00:19:48.509Z",
        "end_ms": START_MS + 3_600,
        "duration_ms": 500,
        "level": "ERROR",
        "status_message": "exit 3\nno such file",
        "input": None,
        "output": None,
        "model": None,
        "model_parameters": None,
        "usage": None,
        "cost_usd": None,
        "cost_picousd": None,
        "completion_start_ms": None,
        "metadata": {},
    }


def test_a_trace_without_observations_is_a_record_too() -> None:
    assert trace_record(a_trace())["observations"] == []
