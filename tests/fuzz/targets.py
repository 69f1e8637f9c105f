"""What must hold for any bytes: each target takes an input and raises where a promise is broken.

``hold``  a body that the receiver would answer 200 is decoded, correlated, mapped, encoded; every
          record of it has ended or is held, and nothing of it is in the way of what comes next.
``count`` any body is counted or refused, never anything else.
"""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.decode.apart import single_records
from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder, Foreign, Unreadable
from bridge.errors import UndecodableError
from bridge.langfuse.forward import forwarded
from bridge.langfuse.trace import TraceSettings
from bridge.model.measures import Measurement
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.receive import records
from tests.pipeline import IDLE_MS, Pipeline

T0_MS = 1_795_000_000_000
LIMIT_S = 10
"""An input that takes longer hangs: the slowest honest one takes a hundredth."""

KINDS = [(signal, encoding) for signal in Signal for encoding in Encoding]
SETTINGS = TraceSettings(tags=(("member", "member"), ("department", "department")))


def request_of(kind: int, body: bytes, records_in: int = 1) -> ExportRequest:
    """A body as the inbox would have it; ``kind`` picks signal and encoding."""
    signal_, encoding = KINDS[kind % len(KINDS)]
    return ExportRequest(
        signal=signal_,
        encoding=encoding,
        body=body,
        gzipped=False,
        records=records_in,
        received_at_ms=T0_MS,
    )


def counted(kind: int, body: bytes) -> int | None:
    """Records of a body; None where the receiver answers 400."""
    signal_, encoding = KINDS[kind % len(KINDS)]
    try:
        return records.count(signal_, encoding, body)
    except UndecodableError:
        return None


def decoded(kind: int, body: bytes, decoder: Decoder | None = None) -> None:
    """What the receiver counts is what decode gives, record by record, and can be taken apart."""
    accepted = counted(kind, body)
    if accepted is None:
        return
    request = request_of(kind, body, accepted)
    decoder = decoder or DECODERS[0]
    try:
        items = list(decoder.decode(request))
    except UndecodableError:
        return  # quarantined whole
    given = sum(item.records if isinstance(item, Measurement) else 1 for item in items)
    assert given == accepted, f"{accepted} records were accepted and {given} decoded"
    for item in items:
        if isinstance(item, Foreign) and item.span:
            forwarded(item.span, SETTINGS)
    odd = {item.index for item in items if isinstance(item, Unreadable)}
    if odd:
        try:
            singles = list(single_records(request, odd))
        except UndecodableError:
            return  # kept with the rest of its request
        assert len(singles) == len(odd)
        assert all(counted(kind, single.body) == 1 for single in singles)


def _decoder(policy: ContentPolicy, *, keeps_foreign: bool) -> Decoder:
    tags = frozenset({"member", "department"})
    return Decoder(policy=policy, tag_attributes=tags, keeps_foreign=keeps_foreign)


DECODERS = (
    _decoder(ContentPolicy.FULL, keeps_foreign=True),
    _decoder(ContentPolicy.METADATA, keeps_foreign=False),
)


class Held:
    """The whole way of bodies into one ledger, which is started afresh now and then."""

    FRESH_AFTER = 200

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="langfuse-bridge-fuzz-"))
        self._number = 0
        self._made: Pipeline | None = None

    def take(self, kind: int, body: bytes) -> None:
        """Assemble one body; fails where a step fails, or a record is neither held nor ended."""
        accepted = counted(kind, body)
        if not accepted:
            return
        made = self._fresh()
        made.post(request_of(kind, body, accepted))
        now_ms = T0_MS + self._number
        made.work(now_ms)
        made.work(now_ms + 20_000)
        assert made.accepted() == made.held() + sum(made.outcomes().values()), made.outcomes()

    def settle(self) -> None:
        """Let everything end that is held: the looks at what came before must not fail either."""
        if self._made is not None:
            for later in (1, 2, 4):
                self._made.work(T0_MS + self._number + later * IDLE_MS)
            self._made.local_view().sessions(10)
            assert self._made.held() == 0, self._made.outcomes()

    def close(self) -> None:
        """Remove what was kept."""
        if self._made is not None:
            self._made.close()
        shutil.rmtree(self._folder)

    def _fresh(self) -> Pipeline:
        if self._made is None or self._number % self.FRESH_AFTER == 0:
            self.settle()
            if self._made is not None:
                self._made.close()
            folder = self._folder / str(self._number)
            folder.mkdir()
            self._made = Pipeline(folder, forward_other_spans=True, grpc_port=0)
        self._number += 1
        return self._made


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail where the block takes longer, even inside a loop in C that looks at signals."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"an input took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


Target = Callable[[int, bytes], None]
