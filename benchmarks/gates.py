"""Every figure with its gate. What is compared runs in turns; a figure is the median of its rounds.

Responsible for what is measured against what, at which size. Leaves how a load is sent and what a
process cost to ``loads`` and ``processes``, and printing to ``report``.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from benchmarks import corpus, loads, peers, pipeline, processes
from benchmarks.corpus import Corpus
from benchmarks.figure import Figure
from benchmarks.loads import Cost
from benchmarks.peers import Observed
from benchmarks.processes import Measured
from benchmarks.scale import Scale
from benchmarks.yardstick import InSitu

WAITS = MappingProxyType({"settle_s": "0.5", "span_settle_s": "1", "quiet_s": "2", "idle_s": "3"})
"""Shorter than the defaults, since the load is a day's in seconds: below the time between two posts
of a session, so that observations leave and states are saved as often as in a day."""
OPEN_TURNS = MappingProxyType({"settle_s": "0.5", "quiet_s": "600", "idle_s": "600"})
CLIENT, GATEWAY = "client", "gateway"
GATEWAY_RECORDS = 512
BODIES = MappingProxyType({CLIENT: "client bodies", GATEWAY: f"{GATEWAY_RECORDS}-record bodies"})
HUGE_RECORDS = 8_192
PACED_RATE, HUGE_RATE = 200, 1.5
US = 1e6
MS = 1e3
KIB = 1024


@dataclass(slots=True)
class SideBySide:
    """Costs of the same loads, round by round, by profile."""

    bridge: dict[str, list[Cost]] = field(default_factory=lambda: {CLIENT: [], GATEWAY: []})
    rotel: dict[str, list[Cost]] = field(default_factory=lambda: {CLIENT: [], GATEWAY: []})

    def ratios(self, profile: str, of: Callable[[Cost], float]) -> list[float]:
        """The bridge's cost as multiples of rotel's, round by round."""
        pairs = zip(self.bridge[profile], self.rotel[profile], strict=True)
        return [of(ours) / theirs.per_record_s for ours, theirs in pairs]


class Bench:
    """Measurements at one scale; what several figures are made of is measured once.

    Args:
        scale: How much.
        folder: For corpora and peers, kept from run to run.
        seed: Of the corpora.
    """

    def __init__(self, scale: Scale, folder: Path, seed: int) -> None:
        self.scale = scale
        self.seed = seed
        self._folder = folder
        self._corpora = folder / "corpora"
        self._corpora.mkdir(parents=True, exist_ok=True)

    def corpus(self, records: int, profile: str = CLIENT, **options: int) -> Corpus:
        """The corpus of that shape."""
        return corpus.make(self._corpora, records, profile, seed=self.seed, **options)

    def costs(self, *corpora: Corpus) -> list[Cost]:
        """What these cost a new bridge, one after the other."""
        with ExitStack() as stack:
            sink_url = stack.enter_context(processes.sink())
            bridge = self.bridge(stack, sink_url)
            delivered = loads.nothing_held(bridge.url)
            return [loads.cost_of(each, bridge, sink_url, delivered) for each in corpora]

    def bridge(self, stack: ExitStack, sink_url: str, **settings: str) -> Measured:
        """A new bridge in a folder that is gone afterwards."""
        port = processes.free_port()
        return stack.enter_context(
            processes.bridge(_folder(stack), port, sink_url, **(WAITS | settings))
        )

    def spool(self, stack: ExitStack) -> Measured:
        """A new server that only spools."""
        return stack.enter_context(peers.spool_only(_folder(stack)))

    @cached_property
    def side_by_side(self) -> SideBySide:
        """The bridge and rotel, with bodies of clients and of gateways, in turns."""
        records = self.scale.records
        corpora = {
            CLIENT: self.corpus(records),
            GATEWAY: self.corpus(records, GATEWAY, batch=GATEWAY_RECORDS),
        }
        found = SideBySide()
        for _, (profile, each) in itertools.product(range(self.scale.rounds), corpora.items()):
            found.bridge[profile] += self.costs(each)
            with suppress(peers.NotAvailableError):
                found.rotel[profile].append(self._cost_of_rotel(each))
        return found

    @cached_property
    def grown(self) -> tuple[list[Cost], Cost, Cost]:
        """Small loads, one of middle size and a large one, each to a new bridge."""
        sizes = (self.scale.small, self.scale.middle, self.scale.large)
        small, middle, large = (self.corpus(records) for records in sizes)
        smalls = [cost for _ in range(self.scale.rounds) for cost in self.costs(small)]
        return smalls, self.costs(middle)[0], self.costs(large)[0]

    def _cost_of_rotel(self, each: Corpus) -> Cost:
        binary = peers.installed_rotel(self._folder / "rotel")
        with ExitStack() as stack:
            sink_url = stack.enter_context(processes.sink())
            agent = stack.enter_context(peers.rotel(binary, sink_url, _folder(stack)))
            return loads.cost_of(each, agent, sink_url, lambda items: items >= each.records)


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="langfuse-bridge-bench-")))


def pipeline_instructions(bench: Bench) -> Iterator[Figure]:
    """Gate 1. Counts do not vary, so one round is enough."""
    small, large = (bench.corpus(records) for records in bench.scale.counted)
    all_stages, floor = (pipeline.counted(stage, small, large) for stage in ("all", "F"))
    unit = "instructions" if pipeline.has_valgrind() else "ns of CPU"
    yield Figure(
        number=1,
        what="pipeline, " + unit,
        unit="F",
        rounds=[all_stages / floor],
        gate=6,
        stretch=4,
        detail=f"{all_stages:,.0f} {unit} per record, F {floor:,.0f}",
    )


def whole_bridge(bench: Bench) -> Iterator[Figure]:
    """Gate 2."""
    costs = bench.side_by_side.bridge[CLIENT]
    yield Figure(
        number=2,
        what="whole bridge, client bodies, saturated",
        unit="F",
        rounds=[cost.per_record_f for cost in costs],
        gate=12,
        stretch=8,
        detail=_by_role(costs),
    )


def against_rotel(bench: Bench) -> Iterator[Figure]:
    """Gate 3."""
    gates = {CLIENT: (5.0, 3.5), GATEWAY: (3.5, 2.5)}
    return _beside_rotel(bench, 3, "total CPU", gates, lambda cost: cost.per_record_s)


def receiver_against_rotel(bench: Bench) -> Iterator[Figure]:
    """Gate 4. Housekeeping of the receiver is in it."""
    gates = {CLIENT: (1.5, 1.2), GATEWAY: (0.6, 0.35)}
    return _beside_rotel(bench, 4, "receive, commit, answer", gates, _of_receiver)


def _beside_rotel(
    bench: Bench,
    number: int,
    what: str,
    gates: Mapping[str, tuple[float, float]],
    part: Callable[[Cost], float],
) -> Iterator[Figure]:
    """A figure for each profile that rotel took too: a part of our cost by all of rotel's."""
    for profile, (gate, stretch) in gates.items():
        if not bench.side_by_side.rotel[profile]:
            continue
        yield Figure(
            number=number,
            what=f"{what} / rotel, {BODIES[profile]}",
            unit="x",
            rounds=bench.side_by_side.ratios(profile, part),
            gate=gate,
            stretch=stretch,
            detail=_us(bench, profile, part),
        )


def against_sdks(bench: Bench) -> Iterator[Figure]:
    """Gate 5: from what is in memory to delivered, which is what an SDK does, in turns.

    Beside it what an observation costs the whole bridge, which starts from bytes on a socket.
    """
    load = bench.corpus(bench.scale.records)
    gates = (("langfuse", "Langfuse SDK", 0.1, 0.05), ("opentelemetry", "OTel SDK", 0.2, 0.1))
    whole = statistics.median(
        sum(cost.cpu_s.values()) / cost.delivered for cost in bench.side_by_side.bridge[CLIENT]
    )
    rounds = [
        (peers.observed_by_bridge(load), *(peers.observed(gate[0], load) for gate in gates))
        for _ in range(bench.scale.rounds)
    ]
    ours, *others = zip(*rounds, strict=True)
    for (_, name, gate, stretch), theirs in zip(gates, others, strict=True):
        yield Figure(
            number=5,
            what=f"CPU per observation / {name}",
            unit="x",
            rounds=[_ratio(mine, its) for mine, its in zip(ours, theirs, strict=True)],
            gate=gate,
            stretch=stretch,
            detail=f"{_each_us(ours):.0f} against {_each_us(theirs):.0f} us; "
            f"whole bridge, beside a load: {whole * US:.0f} us",
        )


def _ratio(ours: Observed, theirs: Observed) -> float:
    """What one observation cost us by what it cost them.

    Raises:
        ValueError: They did not deliver the same observations.
    """
    if ours.delivered != theirs.delivered:
        raise ValueError(f"{theirs.delivered} observations came instead of {ours.delivered}")
    return ours.each_s / theirs.each_s


def _each_us(rounds: Iterable[Observed]) -> float:
    return statistics.median(each.each_s for each in rounds) * US


def answers_beside_huge_bodies(bench: Bench) -> Iterator[Figure]:
    """Gate 6."""
    spooled, answered = [], []
    for _ in range(bench.scale.rounds):
        with ExitStack() as stack:
            spooled.append(_p99_ms(bench, bench.spool(stack)))
        with ExitStack() as stack:
            sink_url = stack.enter_context(processes.sink())
            answered.append(_p99_ms(bench, bench.bridge(stack, sink_url)))
    yield Figure(
        number=6,
        what="answer p99 beside 8192-record bodies / spool only",
        unit="x",
        rounds=[ours / least for ours, least in zip(answered, spooled, strict=True)],
        gate=3,
        stretch=1.5,
        detail=f"{statistics.median(answered):.0f} against {statistics.median(spooled):.0f} ms",
    )


def memory(bench: Bench) -> Iterator[Figure]:
    """Gate 7."""
    found = _open_sessions(bench.scale.open_sessions)
    yield Figure(
        number=7,
        what="memory per open session",
        unit="KiB",
        rounds=[found["kib_per_session"]],
        gate=6,
        stretch=3,
        detail=f"{bench.scale.open_sessions} sessions, worker's stages {found['rss_mib']} MiB",
    )
    _, middle, large = bench.grown
    yield Figure(
        number=7,
        what=f"memory, {large.records:,} / {middle.records:,} records",
        unit="x",
        rounds=[large.pss_bytes / middle.pss_bytes],
        gate=1.2,
        stretch=1.05,
        detail=f"{large.pss_bytes / KIB**2:.0f} against {middle.pss_bytes / KIB**2:.0f} MiB,"
        " all processes",
    )


def growth(bench: Bench) -> Iterator[Figure]:
    """Gate 8."""
    smalls, _, large = bench.grown
    yield Figure(
        number=8,
        what=f"cost per record, {large.records:,} / {smalls[0].records:,} records",
        unit="x",
        rounds=[large.per_record_f / small.per_record_f for small in smalls],
        gate=1.15,
        stretch=1.05,
        detail=f"{large.per_record_f:.1f} against "
        f"{statistics.median(each.per_record_f for each in smalls):.1f} F",
    )


def delivery_when_idle(bench: Bench) -> Iterator[Figure]:
    """Gate 9. Roots stay open, so that each prompt sends one generation, once it has settled."""
    settle_s = float(OPEN_TURNS["settle_s"])
    with ExitStack() as stack:
        sink_url = stack.enter_context(processes.sink())
        bridge = bench.bridge(stack, sink_url, **OPEN_TURNS)
        waits_s = [
            _delivery_s(bridge, sink_url, number) - settle_s
            for number in range(bench.scale.deliveries + 1)
        ][1:]  # the first opens the connection
    yield Figure(
        number=9,
        what="from the answer to delivered, idle, beyond settling",
        unit="s",
        rounds=waits_s,
        gate=1.0,
        stretch=0.3,
    )


def start(bench: Bench) -> Iterator[Figure]:
    """Gate 10."""
    rounds = []
    with processes.sink() as sink_url:
        for _ in range(bench.scale.starts):
            with ExitStack() as stack:
                began_s = time.monotonic()
                bench.bridge(stack, sink_url)
                rounds.append(time.monotonic() - began_s)
    yield Figure(number=10, what="start to ready", unit="s", rounds=rounds, gate=1.0, stretch=0.4)


def backlog(bench: Bench) -> Iterator[Figure]:
    """Gate 11. All CPU counts, that spent while Langfuse was away and that after its return."""
    load = bench.corpus(bench.scale.backlog)
    with ExitStack() as stack:
        port = processes.free_port()
        bridge = bench.bridge(stack, f"http://127.0.0.1:{port}")
        idle_s = _total_s(bridge)
        f = stack.enter_context(InSitu(list(load.bodies(loads.SAMPLED_BODIES))))
        loads.send(load, bridge.url)
        processes.until(lambda: _held(bridge) == 0, "all is assembled", 3_600, loads.LOOK_EVERY_S)
        away_s = _total_s(bridge)
        stack.enter_context(processes.sink(port))
        delivered = loads.nothing_held(bridge.url)
        processes.until(lambda: delivered(0), "all is delivered", 3_600, loads.LOOK_EVERY_S)
        drained_s = _total_s(bridge)
        per_record_f = (drained_s - idle_s) / load.records / f.per_record_s
        drain_f = (drained_s - away_s) / load.records / f.per_record_s
    yield Figure(
        number=11,
        what=f"backlog of {load.records:,} records after an outage",
        unit="F",
        rounds=[per_record_f],
        gate=12,
        stretch=8,
        detail=f"of it {drain_f:.1f} F after Langfuse's return",
    )


def _by_role(costs: Sequence[Cost]) -> str:
    roles = ("receiver", "worker")
    each = (statistics.median(cost.per_record_of_s(role) * US for cost in costs) for role in roles)
    told = ", ".join(f"{role} {us:.0f}" for role, us in zip(roles, each, strict=True))
    return f"{told} us per record, F {statistics.median(cost.f_s for cost in costs) * US:.1f}"


def _of_receiver(cost: Cost) -> float:
    return cost.per_record_of_s("receiver")


def _us(bench: Bench, profile: str, of: Callable[[Cost], float]) -> str:
    ours = statistics.median(map(of, bench.side_by_side.bridge[profile]))
    theirs = statistics.median(each.per_record_s for each in bench.side_by_side.rotel[profile])
    return f"{ours * US:.0f} against {theirs * US:.0f} us per record"


def _p99_ms(bench: Bench, server: Measured) -> float:
    """Of small bodies at a fixed rate, while another client posts huge ones."""
    small = bench.corpus(PACED_RATE * bench.scale.paced_s * 6)
    huge_bodies = round(HUGE_RATE * bench.scale.paced_s)
    huge = bench.corpus(HUGE_RECORDS * huge_bodies, GATEWAY, batch=HUGE_RECORDS)
    with loads.sending(huge, server.url, rate=HUGE_RATE, connections=2) as other:
        told = loads.send(small, server.url, rate=PACED_RATE, seconds=bench.scale.paced_s)
        loads.sent(other)
    return float(told["p99_ms"])


def _open_sessions(count: int) -> Mapping[str, float]:
    with ExitStack() as stack:
        program = [sys.executable, "-m", "tests.open_sessions", "open", str(_folder(stack))]
        done = subprocess.run([*program, str(count)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _delivery_s(bridge: Measured, sink_url: str, number: int) -> float:
    """From the answer to a prompt with one model request until that request is at the sink."""
    known = processes.get(sink_url, "/counts")["items"]
    processes.post(bridge.url, "/v1/logs", corpus.beginning_of_session(number))
    answered_s = time.time()
    processes.until(
        lambda: processes.get(sink_url, "/counts")["items"] > known, "it is delivered", 30.0
    )
    return float(processes.get(sink_url, "/counts")["latest_s"]) - answered_s


def _total_s(bridge: Measured) -> float:
    return sum(bridge.cpu_by_role_s().values())


def _held(bridge: Measured) -> int:
    health = processes.get(bridge.url, "/healthz")
    return int(health["held"]) if health["accepted"] else -1


GATES: Mapping[int, Callable[[Bench], Iterator[Figure]]] = MappingProxyType(
    {
        1: pipeline_instructions,
        2: whole_bridge,
        3: against_rotel,
        4: receiver_against_rotel,
        5: against_sdks,
        6: answers_beside_huge_bodies,
        7: memory,
        8: growth,
        9: delivery_when_idle,
        10: start,
        11: backlog,
    }
)
