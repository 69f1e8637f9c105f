"""The process `langfuse-bridge run` starts: listens, and keeps two children alive.

It binds the port itself and hands the socket on, so that a receiver that dies and comes back
refuses no connection meanwhile. gRPC takes no socket from outside, so its port is only reserved:
there, connections are refused while the receiver is away. A child that ends without being asked is
started again; the other one is not told, since the two share nothing but the files. The folder of
those files is one bridge's at a time: all three processes hold its lock. Under systemd it takes
over a socket that is there already, and tells how the bridge is (``systemd``, ``watch``).

The shutdown ladder, each rung bounded: worker (end the step and the request in flight) → receiver
(stop listening, answer what is open) → out. In this order clients are without an answer for the
shortest time; what comes meanwhile is in the inbox for the next worker. A second stop request ends
everything at once.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from bridge import __version__
from bridge.app import lean
from bridge.app.child import READY
from bridge.app.edges import check_files, url
from bridge.app.handed import hand_over, take_over
from bridge.app.systemd import Notifier, handed_socket
from bridge.app.watch import Look, ask, report
from bridge.errors import BridgeError
from bridge.store.room import STORES
from bridge.store.sqlite import OTHERS
from bridge.telemetry import logging

if TYPE_CHECKING:
    from bridge.config import Config

RECEIVER_STOP_S = 4.5
WORKER_STOP_S = 5.0
"""Each a little above what the child itself allows; together below ten seconds."""

MIN_RESTART_S = 0.2
MAX_RESTART_S = 5.0
"""Claude Code waits ten seconds for an answer and then drops what it had: a receiver that comes
back by then has lost nothing."""
STEADY_S = 30.0
"""A child that lived so long has recovered: its next restart is prompt again."""

BACKLOG = 1024
OTHER_FILES = ("tokens", ".tokens", "user.key")
"""What else of ours may be in the folder."""

log = structlog.get_logger(__name__)


class Supervisor:
    """Listener and children of one bridge. ``run`` returns when both children have ended.

    Args:
        config: With the address of ``handed``, if that is there.
        handed: A socket that listens already; ours from now on.
        notifier: Told how the bridge is.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self,
        config: "Config",
        *,
        handed: socket.socket | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        check_files(config)
        self._config = config
        self._notifier = notifier or Notifier()
        self._lock = claim(config.data_dir)
        self._listening = handed or listen(config.host, config.port)
        self._reserved = reserve(config.host, config.grpc_port) if config.grpc_port else None
        self._stop = asyncio.Event()
        self.port: int = self._listening.getsockname()[1]
        self._receiver = Child("receiver", config, self._lock, self._listening)
        self._worker = Child("worker", config, self._lock)

    async def run(self) -> None:
        """Keep both children alive until ``stop``, then take them down in order."""
        _tell_started(self._config, self.port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receiver.keep_alive())
            tasks.create_task(self._worker.keep_alive())
            tasks.create_task(report(self._notifier, self._look, self._stop))
            await self._stop.wait()
            log.info("bridge.stopping")
            self._notifier.tell(STOPPING="1", STATUS="Stopping: answering what is open")
            await self._worker.stop(WORKER_STOP_S)  # meanwhile clients are answered
            await self._receiver.stop(RECEIVER_STOP_S)
            self._listening.close()  # nobody answers any more: a refusal keeps no client waiting
            if self._reserved:
                self._reserved.close()
        os.close(self._lock)
        log.info("bridge.stopped")

    def stop(self) -> None:
        """Ask for a stop; the second time at once."""
        if self._stop.is_set():
            self._receiver.kill()
            self._worker.kill()
        self._stop.set()

    async def _look(self) -> Look:
        children = (self._receiver, self._worker)
        away = tuple(child.role for child in children if not child.is_ready)
        return Look(away, None if away else await ask(self._config, self.port))


class Child:
    """One child process, started again whenever it ends without being asked.

    Attributes:
        role: Its name.
        is_ready: Whether it does its work.
    """

    def __init__(
        self, role: str, config: "Config", lock: int, listening: socket.socket | None = None
    ) -> None:
        self.role = role
        self.is_ready = False
        self._line = hand_over(config)
        self._lock = lock
        self._listening = listening
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep_alive(self) -> None:
        """Start it, wait for its end, start it again; returns once it was stopped."""
        pause_s = 0.0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            ending = await self._run_once()
            if self._stopping.is_set():
                return
            pause_s = restart_pause_s(pause_s, time.monotonic() - started_s)
            log.error("bridge.child_ended", child=self.role, code=ending, restart_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def stop(self, within_s: float) -> None:
        """Ask it to end, and make it end after ``within_s``."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            log.warning("bridge.child_killed", child=self.role, after_s=within_s)
            self.kill()

    def kill(self) -> None:
        """End it at once. What it had answered or committed is on disk."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _run_once(self) -> int | str:
        """Its exit code, or why it could not be started."""
        try:
            process = self._process = await self._start()
        except OSError as error:
            return error.strerror or type(error).__name__
        if self._stopping.is_set():  # asked for while it was being started
            process.kill()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self._line)
            await process.stdin.drain()
        async for line in process.stdout:  # to its end, which is the child's
            self.is_ready |= line == READY.encode()
        self.is_ready = False
        return await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        descriptors = (self._listening.fileno(),) if self._listening else ()
        return await asyncio.create_subprocess_exec(
            *lean.command(f"bridge.app.{self.role}", *descriptors),
            env=lean.environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(self._lock, *descriptors),
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, which asks in order
        )


def restart_pause_s(previous_s: float, lived_s: float) -> float:
    """How long to wait before a child is started again.

    Args:
        previous_s: The pause before the start that has just ended; 0 for the first start.
        lived_s: How long it lived.
    """
    if lived_s > STEADY_S:
        return MIN_RESTART_S
    return min(max(previous_s * 2, MIN_RESTART_S), MAX_RESTART_S)


def claim(folder: Path) -> int:
    """Make the folder ours: a descriptor whose lock nobody else gets while it is open anywhere.

    Children inherit it: one that outlives a killed parent still has a delivery in flight, which
    the next bridge would do again. The lock is on the folder itself, so that a disk that is full
    or read-only for now does not keep the bridge from starting: it answers 503 until then.

    Raises:
        BridgeError: The folder cannot be used, or another bridge uses it.
    """
    advice = "another with BRIDGE_DATA_DIR or --data-dir (demo: --keep)."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        if not read_only and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except BlockingIOError as error:
        raise BridgeError(
            f"another bridge uses the folder {folder}. Stop that one, or set {advice}"
        ) from error
    except OSError as error:
        raise BridgeError(
            f"cannot use the folder {folder}: {error.strerror}. Set {advice}"
        ) from error
    close_to_others(folder)
    return lock


def close_to_others(folder: Path) -> None:
    """Take the rights of others from a folder that holds nothing but what is ours.

    Any other may have its reasons: a home folder, or /tmp, is only warned about.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & OTHERS:
        return
    alone = all(file.name.startswith((*STORES, *OTHER_FILES)) for file in folder.iterdir())
    try:
        if not alone or folder.stat().st_uid != os.geteuid():
            raise PermissionError
        folder.chmod(0o700)
    except OSError:
        log.warning("bridge.folder_open_to_others", folder=str(folder), mode=f"{mode:o}")
    else:
        log.info("bridge.folder_closed_to_others", folder=str(folder), mode_before=f"{mode:o}")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        BridgeError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BridgeError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. "
            "Stop what listens there, or set another with BRIDGE_PORT or --port."
        ) from error


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps a port for our children without listening on it.

    Raises:
        BridgeError: The address cannot be listened on.
    """
    try:
        # Alone first: whoever listens there with SO_REUSEPORT too would not be noticed otherwise.
        _bound(host, port, socket.SO_REUSEADDR).close()
        return _bound(host, port, socket.SO_REUSEPORT)
    except OSError as error:
        raise BridgeError(
            f"cannot listen on {host} port {port} for gRPC: {error.strerror or error}. Stop what "
            "listens there, or set another with BRIDGE_GRPC_PORT; 0 turns gRPC off."
        ) from error


def _bound(host: str, port: int, option: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def become(config: "Config") -> NoReturn:
    """Turn this process into the daemon.

    It stays the same process for whoever started it, but forgets what reading the settings took.
    """
    handed = os.memfd_create("settings", flags=0)  # which the program that follows inherits
    os.write(handed, hand_over(config))
    os.lseek(handed, 0, os.SEEK_SET)
    os.execve(sys.executable, lean.command("bridge.app.supervisor", handed), lean.environment())  # noqa: S606 - ourselves


def main(handed: int) -> int:
    """The daemon: returns when it was asked to stop, or could not start.

    Args:
        handed: Descriptor of a file with the settings.
    """
    with open(handed, "rb") as file:
        config = take_over(file.read())
    logging.configure(config.log_level, config.log_format)
    try:
        return asyncio.run(_serve(config))
    except BridgeError as error:
        sys.stderr.write(f"langfuse-bridge: {error}\n")
        return 1


async def _serve(config: "Config") -> int:
    handed = handed_socket(os.environ, os.getpid())
    notifier = Notifier.taken_from(os.environ, os.getpid())
    supervisor = Supervisor(config, handed=handed, notifier=notifier)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        hung_up = supervisor.stop if sys.stdin.isatty() else _nothing_to_reload
        loop.add_signal_handler(signal.SIGHUP, hung_up)
    await supervisor.run()
    return 0


def _nothing_to_reload() -> None:
    """Without a terminal that could be closed, SIGHUP asks a daemon to read its files again."""
    log.info("bridge.hangup_ignored", reason="tokens and certificates are read again by themselves")


def _tell_started(config: "Config", port: int) -> None:
    """One line with all that is in force; secrets are masked."""
    log.info(
        "bridge.started",
        version=__version__,
        endpoint=url(config, port),
        grpc=url(config, config.grpc_port) if config.grpc_port else "off",
        langfuse=config.langfuse_base_url
        if config.delivers
        else "none: no keys, traces are kept locally",
        data_dir=str(config.data_dir),
        settings=config.masked,
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
