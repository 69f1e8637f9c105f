"""Clients that keep posting whatever happens to the bridge, and remember what was promised."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple, Self

from tests.processes import Bridge, Client, until
from tests.recordings import Body, as_session, capture, captures

CLIENTS = 3
PAUSE_S = 0.25
"""Between two sessions of one client: enough of them for every moment, few enough to look at."""
AGAIN_S = 0.02


class Answer(NamedTuple):
    """A 200: when it was asked for on the machine's monotonic clock, and how long it took.

    Attempts that failed before it are part of the time.
    """

    at_s: float
    took_s: float


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
        answers: Every 200.
        repeats: How often a body was posted again.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.promised: list[Body] = []
        self.dropped: list[Body] = []
        self.refusals: list[str] = []
        self.answers: list[Answer] = []
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

    def go_on(self, for_s: float) -> Sequence[Answer]:
        """Let them post so long, and until some of it was answered; the answers of that time."""
        since, end_s = len(self.answers), time.monotonic() + for_s
        until(
            lambda: time.monotonic() >= end_s and len(self.answers) > since,
            "something is answered",
            for_s + 20,
        )
        return self.answers[since:]

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
        began_s = time.monotonic()
        while (status := self._attempt(client, body)) != 200:
            assert status in {None, 503}, f"{body.name} was answered {status}"
            if status is None and drops:
                self.dropped.append(body)
                return
            self.repeats += 1
            self._end.wait(AGAIN_S)
        self.answers.append(Answer(began_s, time.monotonic() - began_s))
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


def p99_s(answers: Sequence[Answer]) -> float:
    """What all but one of a hundred answers took at most."""
    times = sorted(answer.took_s for answer in answers)
    return times[max(0, -(-99 * len(times) // 100) - 1)]


def longest_s(answers: Sequence[Answer]) -> float:
    """What the slowest took."""
    return max(answer.took_s for answer in answers)
