"""The same again: retried bodies, a second exporter, a replayed spool. Filtered, and counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from bridge.clock import SystemClock
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.store.inbox import Inbox
from tests.accounts import account, assert_complete
from tests.chaos.figures import Figure
from tests.chaos.langfuse import LastingLangfuse
from tests.chaos.scale import SCALE
from tests.chaos.watching import MIB, Watch
from tests.processes import Bridge, free_port, post_over_grpc
from tests.recordings import Body, as_protobuf, as_session, capture, count

SENT_AS_JSON = ("2.1.330/e-subagent", "2.1.330/b-tools-full")
SETTLED_S = 300


@pytest.mark.timeout(900)
def test_whatever_comes_again_is_filtered_and_counted(
    tmp_path: Path, langfuse: LastingLangfuse, report: Callable[[Figure], None]
) -> None:
    bodies = sessions_of(SENT_AS_JSON, SCALE.copies)
    logs = [body for body in bodies if body.signal == "logs"]
    protobuf = [as_protobuf(body) for body in logs]
    again: Counter[str] = Counter()

    with (
        Bridge(tmp_path, langfuse.url, grpc_port=free_port()) as bridge,
        Watch(bridge) as watch,
    ):
        for body in bodies:
            bridge.post(body, body)  # a client that did not see the first answer
        again += count(bodies)
        bridge.post(*protobuf)
        post_over_grpc(bridge, *protobuf)
        again += count([*logs, *logs])
        bridge.wait_until_settled(SETTLED_S)
        spans = len(langfuse.received().spans)

        bridge.post(*bodies)
        assert bridge.stop() == 0
        replay(bodies, bridge.data_dir)
        again += count([*bodies, *bodies])
        bridge.start()
        health = bridge.wait_until_settled(SETTLED_S)

    received = langfuse.received()
    found = account(bodies, set(), received, health["accepted"])
    report(
        Figure(
            scenario="duplicates",
            rounds=SCALE.copies,
            **asdict(found),
            memory_mib=round(watch.peak_bytes / MIB),
            disk_mib=round(watch.disk_bytes / MIB),
            besides={"filtered": health["outcomes"]["duplicate"], "again": again.total()},
        )
    )
    found.check()
    received.check()
    received.assert_no_duplicates()
    assert_complete(received, bodies, unsure=set())
    assert len(received.spans) == spans == health["delivered"]
    assert health["outcomes"]["duplicate"] == again.total()
    assert health["accepted"] == again.total() + count(bodies).total()


def sessions_of(names: Sequence[str], copies: int) -> list[Body]:
    """The logs and metrics of captures, each from so many sessions."""
    return [
        body
        for name in names
        for number in range(copies)
        for body in as_session(capture(name), number)
        if body.signal != "traces"
    ]


def replay(bodies: Sequence[Body], data_dir: Path) -> None:
    """Put requests into the inbox of a bridge that does not run."""
    with closing(Inbox(data_dir / "inbox.db")) as inbox:
        inbox.append([as_kept(body) for body in bodies])


def as_kept(body: Body) -> ExportRequest:
    """As the inbox has it."""
    return ExportRequest(
        signal=Signal(body.signal),
        encoding=Encoding(body.content_type),
        body=body.data,
        gzipped=body.gzipped,
        records=count([body]).total(),
        received_at_ms=SystemClock().now_ms(),
    )
