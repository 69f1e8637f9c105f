"""The bridge that runs with these settings: does it answer, how is it, whom has it seen last?"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.app.reading import ledger_reader
from bridge.config import Config, grpc_endpoint, http_endpoint
from bridge.doctor.subject import Subject
from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState
from bridge.model.findings import Finding, failed, ok, warning
from bridge.model.sessions import CHECK_SESSION
from bridge.model.views import SessionSummary

TIMEOUT_S: Final = 5.0
LATEST: Final = 20
START: Final = "start it with `langfuse-bridge run`"

DELIVERY: Final[dict[str, Callable[[int], Finding]]] = {
    LangfuseState.OK: lambda pending: ok("delivery", f"Langfuse takes it, {pending} pending"),
    LangfuseState.LOCAL: lambda _: warning(
        "delivery",
        "the bridge runs without keys",
        "set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY where it runs; what is kept is delivered",
    ),
    LangfuseState.UNREACHABLE: lambda pending: failed(
        "delivery",
        f"the bridge does not reach Langfuse, {pending} pending",
        "its log says why; nothing is lost, it goes on by itself",
    ),
    LangfuseState.UNAUTHORIZED: lambda pending: failed(
        "delivery",
        f"Langfuse refuses the bridge's keys, {pending} pending",
        "compare them with the project's and with LANGFUSE_BASE_URL, where the bridge runs",
    ),
    LangfuseState.RATE_LIMITED: lambda pending: warning(
        "delivery", f"Langfuse's plan is at its limit, {pending} pending", "nothing; it waits"
    ),
}


def bridge(subject: Subject) -> Iterator[Finding]:
    """Ports and health."""
    config = subject.config
    if not config.port:
        yield warning("port", "BRIDGE_PORT is 0: any free one is taken", "set BRIDGE_PORT")
        return
    try:
        health = ask_health(config)
    except ConnectionRefusedError:
        yield ok("port", f"{config.port} is free")
        yield failed("bridge", f"nobody answers at {http_endpoint(config)}", START)
        return
    except (OSError, http.client.HTTPException, ValueError) as error:
        yield _stranger(config, error)
        return
    yield ok("port", f"{config.port} is this bridge's")
    yield from _grpc_port(config)
    yield from _healthy(health)


def last_seen(subject: Subject) -> Iterator[Finding]:
    """From whom the latest record was, and when."""
    try:
        with closing(ledger_reader(subject.config)) as ledger:
            found = ledger.sessions(LATEST)
    except StoreError:
        return  # told with the store already
    seen = [each for each in found if not each.session_id.startswith(CHECK_SESSION)]
    if not seen:
        remedy = (
            "ask Claude Code something and wait five seconds; the lines about it say what lacks"
        )
        yield warning("last record", "nothing was received so far", remedy)
        return
    yield ok("last record", _written(max(seen, key=lambda each: each.ended_ms), time.time()))


def ask_health(config: Config) -> dict[str, Any]:
    """What ``/healthz`` says.

    Raises:
        OSError: Nobody answers in time, or not with TLS as configured.
        HTTPException: It is not HTTP.
        ValueError: It is another program's answer.
    """
    with closing(connection_to(config)) as connection:
        connection.request("GET", "/healthz")
        found = json.loads(connection.getresponse().read())
    if not isinstance(found, dict) or not {"status", "version"} <= found.keys():
        raise ValueError
    return found


def connection_to(config: Config) -> http.client.HTTPConnection:
    """One to this bridge's HTTP port. Over TLS the configured certificate is believed, no other."""
    parts = urlsplit(http_endpoint(config))
    host = parts.hostname or ""
    if config.tls_cert is None:
        return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    context = ssl.create_default_context(cafile=str(config.tls_cert))
    context.check_hostname = False  # asked by an address of this machine, which it need not name
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)


def _stranger(config: Config, error: Exception) -> Finding:
    if config.tls_client_ca and isinstance(error, OSError):
        remedy = "ask it with curl and a certificate of yours: https://…/healthz"
        return warning(
            "bridge", "it wants a client's certificate, which this command has not", remedy
        )
    remedy = "stop that program, or set another BRIDGE_PORT"
    return failed("port", f"what answers on {config.port} is not this bridge", remedy)


def _grpc_port(config: Config) -> Iterator[Finding]:
    endpoint = grpc_endpoint(config)
    if endpoint is None:
        return
    try:
        host = urlsplit(endpoint).hostname
        socket.create_connection((host, config.grpc_port), timeout=TIMEOUT_S).close()
        yield ok("port", f"{config.grpc_port} takes gRPC")
    except OSError as error:
        text = f"nobody takes gRPC on {config.grpc_port}: {error.strerror or error}"
        yield failed("port", text, "start the bridge anew; BRIDGE_GRPC_PORT=0 does without gRPC")


def _healthy(health: dict[str, Any]) -> Iterator[Finding]:
    if health["status"] != "ok":
        yield failed("bridge", f"degraded: {health.get('reason')}", "its log says more")
        return
    if "accepted" not in health:
        yield ok("bridge", f"{health['version']} runs; it tells no more without a token")
        return
    yield ok("bridge", f"{health['version']} runs, {health['accepted']:,} records accepted")
    if refused := health["refused"]:
        counts = ", ".join(f"{count} {reason}" for reason, count in refused.items())
        yield warning("refused", f"{counts} since its start", 'see README, "Nothing arrives?"')
    if count := health["dead_lettered"]:
        remedy = "the log event deliver.span_rejected has the reason"
        yield warning("delivery", f"Langfuse refused {count} observations for good", remedy)
    yield _delivery(health["langfuse"], health["pending"])


def _delivery(state: str, pending: int) -> Finding:
    if state not in DELIVERY:
        remedy = "use the doctor of the bridge that runs"
        return warning("delivery", f"the bridge says {state}, {pending} pending", remedy)
    return DELIVERY[state](pending)


def _written(session: SessionSummary, now_s: float) -> str:
    at = datetime.fromtimestamp(session.ended_ms / 1000, UTC).astimezone()
    ago_min = max(0, round(now_s - session.ended_ms / 1000)) // 60
    who = session.user_id or "nobody told"
    return (
        f"{at:%Y-%m-%d %H:%M:%S} ({ago_min:,} min ago) of {who}, session {session.session_id[:8]}"
    )
