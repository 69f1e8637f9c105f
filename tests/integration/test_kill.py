"""kill -9 at random moments, while clients post: what was answered 200 arrives, and arrives once.

A round kills one or more processes of a running bridge. Its moments come from a seed that is
printed when the test fails; ``KILL_SEED`` in the environment repeats it, as far as a machine can.
"""

import contextlib
import http.client
import os
import random
import signal
import socket
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Self

import pytest

from tests.fakes import ReceivedSpan, ReceivedSpans, SpanKey
from tests.processes import ROLES, Bridge, Client, Langfuse, until
from tests.recordings import Body, as_session, capture, captures, cost_usd, sessions, usage

LIVES = 6
"""How often the bridge is started: each life is one round of each kind, the supervisor's last."""
CLIENTS = 3
PAUSE_S = 0.25
"""Between two sessions of one client: enough of them for every moment, few enough to look at."""
MOMENT_S = 1.2
"""The latest moment of a round, as long as a restart takes: some fall into the start of a child."""
KINDS = ("receiver", "worker", "worker at delivery", "both", "supervisor")


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


def test_a_dead_receiver_leaves_the_port_open_and_its_successor_answers(tmp_path: Path) -> None:
    body = capture("2.1.330/e-subagent")[0]

    with Bridge(tmp_path) as bridge:
        bridge.send(signal.SIGSTOP)  # so that it cannot start another one yet
        bridge.kill_child("receiver")
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as waiting:
            head = (
                f"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body.data)}\r\n"
            )
            waiting.sendall(f"{head}Content-Type: {body.content_type}\r\n\r\n".encode())
            waiting.sendall(body.data)
            assert "receiver" not in bridge.pids()
            bridge.send(signal.SIGCONT)
            answer = waiting.recv(1024)
        health = bridge.wait_until_assembled()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert health["accepted"] > 0


def test_a_dead_worker_is_replaced_and_keeps_nobody_waiting(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.send(signal.SIGSTOP)
        bridge.kill_child("worker")
        bridge.post(*capture("2.1.330/e-subagent"))
        assert bridge.health()["delivered"] == 0
        bridge.send(signal.SIGCONT)
        assert bridge.wait_until_settled()["delivered"] > 0


def test_children_do_not_outlive_their_parent_and_free_port_and_folder(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        port = bridge.port
        bridge.kill()
        assert bridge.pids() == {}
        bridge.start()

        assert bridge.port == port
        assert "Traceback" not in bridge.log()


def test_an_orphan_that_cannot_end_in_order_ends_all_the_same(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        langfuse.freeze()
        bridge.post(*capture("2.1.330/e-subagent"))
        until(lambda: bridge.health()["pending"], "a delivery is in flight")
        with contextlib.closing(sqlite3.connect(bridge.data_dir / "ledger.db")) as locked:
            locked.execute("BEGIN IMMEDIATE")  # now the worker cannot mark what it has delivered
            langfuse.thaw()
            until(lambda: langfuse.received_bytes, "Langfuse has it")
            bridge.kill()
        bridge.start()
        bridge.wait_until_settled()

    assert len(exports_that_came_twice(langfuse.received())) == 1


class Posting:
    """Clients that post session after session and repeat what was not answered with 200.

    Spans are left out: a kill holds up one half of a request longer than the other one waits for
    it, and late halves are a subject of their own.

    One of them is like the real one and repeats only after a 503: what it drops when a connection
    breaks may have been taken or not.

    Attributes:
        promised: Every body that was answered 200, once.
        dropped: Every body that was given up.
        refusals: Connections refused although the supervisor was there all the time.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.promised: list[Body] = []
        self.dropped: list[Body] = []
        self.refusals: list[str] = []
        self.supervisor_up = threading.Event()
        self.supervisor_up.set()
        self.repeats = 0
        self._bridge = bridge
        self._life = 0
        self._end = threading.Event()
        self._numbers = count(1)
        self._threads = [
            threading.Thread(target=self._run, kwargs={"drops": number == 0})
            for number in range(CLIENTS)
        ]
        self._problems: list[BaseException] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        assert self._problems == []

    @contextlib.contextmanager
    def supervisor_away(self) -> Iterator[None]:
        """Meanwhile a refused connection is nobody's fault."""
        self.supervisor_up.clear()
        self._life += 1
        yield
        self.supervisor_up.set()

    def _run(self, *, drops: bool) -> None:
        names = captures()
        try:
            with contextlib.closing(Client(self._bridge.port)) as client:
                while not self._end.wait(PAUSE_S):
                    number = next(self._numbers)
                    for body in as_session(capture(names[number % len(names)]), number):
                        if body.signal != "traces":
                            self._post(client, body, drops=drops)
        except BaseException as problem:
            self._problems.append(problem)
            raise

    def _post(self, client: Client, body: Body, *, drops: bool) -> None:
        while (status := self._attempt(client, body)) != 200:
            assert status in {None, 503}, f"{body.name} was answered {status}"
            if status is None and drops:
                self.dropped.append(body)
                return
            self.repeats += 1
            self._end.wait(0.02)
        self.promised.append(body)

    def _attempt(self, client: Client, body: Body) -> int | None:
        life, was_up = self._life, self.supervisor_up.is_set()
        try:
            return client.post(body)
        except ConnectionRefusedError:
            if was_up and self.supervisor_up.is_set() and life == self._life:
                self.refusals.append(f"{body.name} in life {life}")
        except (OSError, http.client.HTTPException):
            pass  # the connection broke: the body may have been taken or not
        return None


class Killer:
    """Does the rounds.

    Attributes:
        rounds: What was killed, in order.
        worker_kills: How many of them found a worker to kill.
    """

    def __init__(
        self, bridge: Bridge, langfuse: Langfuse, posting: Posting, dice: random.Random
    ) -> None:
        self.rounds: list[str] = []
        self.worker_kills = 0
        self._bridge = bridge
        self._langfuse = langfuse
        self._posting = posting
        self._dice = dice
        self._pause = threading.Event()

    def live(self) -> None:
        """One life of the bridge: a round of each kind, then a new start."""
        *kinds, last = KINDS
        for kind in (*self._dice.sample(kinds, len(kinds)), last):
            self._pause.wait(self._dice.uniform(0, MOMENT_S))
            self._kill(kind)
            self.rounds.append(kind)

    def _kill(self, kind: str) -> None:
        match kind:
            case "supervisor":
                with self._posting.supervisor_away():
                    self._bridge.kill()
                    self._bridge.launch()
            case "worker at delivery":
                self._kill_at_delivery()
            case "both":
                self.worker_kills += "worker" in self._bridge.kill_child(*ROLES)
            case role:
                self.worker_kills += "worker" in self._bridge.kill_child(role)

    def _kill_at_delivery(self) -> None:
        """When Langfuse has written an export and is about to answer: there are milliseconds."""
        worker = until(lambda: self._bridge.pids().get("worker"), "there is a worker")
        known_bytes = self._langfuse.received_bytes
        until(lambda: self._langfuse.received_bytes > known_bytes, "a delivery", poll_s=0)
        os.kill(worker, signal.SIGKILL)
        self.worker_kills += 1


def test_what_was_answered_200_survives_kill_9_of_anything_at_any_moment(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    seed = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"KILL_SEED={seed}")  # noqa: T201 - shown when it fails
    with Bridge(tmp_path, langfuse.url) as bridge:
        with Posting(bridge) as posting:
            killer = Killer(bridge, langfuse, posting, random.Random(seed))  # noqa: S311 - no secret
            for _ in range(LIVES):
                killer.live()
            bridge.wait_until_up()
        health = bridge.wait_until_settled(60)

    received = langfuse.received()
    repeated = exports_that_came_twice(received)
    print(f"{len(posting.promised)} bodies, {len(posting.dropped)} dropped,")  # noqa: T201
    print(f"{posting.repeats} repeats, {len(repeated)} exports twice")  # noqa: T201
    assert len(killer.rounds) >= 20
    assert posting.refusals == []
    assert len(repeated) <= killer.worker_kills
    once = first_of_each(received)
    once.check()
    assert once.orphans() == []
    assert_complete(once, posting.promised, set(sessions(posting.dropped)))
    assert (health["quarantined"], health["dead_lettered"]) == (0, 0)
    assert health["delivered"] == len(once.spans)
    assert "Traceback" not in bridge.log()
    assert_same_as_without_kills(once, posting, tmp_path / "calm")


def exports_that_came_twice(received: ReceivedSpans) -> set[int]:
    """Numbers of the exports of which a span came again later; it must be the very same bytes.

    A worker that starts anew claims again from the oldest: the second export may hold more spans.
    """
    by_key: defaultdict[SpanKey, list[ReceivedSpan]] = defaultdict(list)
    for span in received.spans:
        by_key[span.key].append(span)
    for spans in by_key.values():
        assert len({span.raw for span in spans}) == 1, f"{spans[0].key} came in two versions"
        assert len({span.export for span in spans}) == len(spans), f"{spans[0].key} twice in one"
    return {span.export for spans in by_key.values() for span in spans[:-1]}


def first_of_each(received: ReceivedSpans) -> ReceivedSpans:
    first = ReceivedSpans()
    first.add(list({span.key: span for span in reversed(received.spans)}.values())[::-1])
    return first


def assert_complete(
    received: ReceivedSpans, bodies: Sequence[Body], unsure: Container[str]
) -> None:
    """Every session is there with one root for each trace and with its records' sums."""
    by_session: defaultdict[str | None, ReceivedSpans] = defaultdict(ReceivedSpans)
    for span in received.spans:
        by_session[span.session_id].spans.append(span)
    costs, tokens = cost_usd(bodies), usage(bodies)
    for session in sessions(bodies):
        found = by_session[session]
        for spans in found.by_trace().values():
            assert sum(span.parent_id is None for span in spans) == 1, session
        if session not in unsure:
            spent = {key: n for key, n in found.usage(session).items() if n}
            assert found.generation_cost_usd(session) == costs.get(session, 0), session
            assert spent == tokens.get(session, {}), session


def assert_same_as_without_kills(received: ReceivedSpans, posting: Posting, folder: Path) -> None:
    """Sessions whose logs came in one body are, byte for byte, what they are on a calm day.

    In others a restart may take longer than the short settle time between their bodies.
    """
    bodies = [body for body in posting.promised if body.signal == "logs"]
    times = Counter(session for body in bodies for session in sessions([body]))
    unsure = set(sessions(posting.dropped)) | {session for session, n in times.items() if n > 1}
    whole = [body for body in bodies if unsure.isdisjoint(sessions([body]))]
    folder.mkdir()
    with Langfuse(folder) as langfuse:
        with Bridge(folder, langfuse.url) as bridge:
            bridge.post(*whole)
            bridge.wait_until_settled(60)
        calm = langfuse.received()

    wanted = sessions(whole)
    assert len(wanted) >= 20
    assert raw_by_key(calm, wanted) == raw_by_key(received, wanted)


def raw_by_key(received: ReceivedSpans, wanted: Container[str | None]) -> dict[SpanKey, bytes]:
    return {span.key: span.raw for span in received.spans if span.session_id in wanted}
