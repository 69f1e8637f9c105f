"""Asks a bridge how it is, as anybody can: ``GET /healthz``, answered in time or not.

Responsible for: whom to trust, one question, and the line or the error that comes of it.
Left to others: what the numbers mean (``app.health``), which address to ask (``cli``).
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path

from bridge.errors import BridgeError
from bridge.terminal.formats import line
from bridge.terminal.sending import Endpoint

PATH = "/healthz"
TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 1 << 20
SHOWN = ("version", "uptime_s", "held", "pending", "langfuse")
OTHER_ADDRESS = "name another address with --url"


class HealthError(BridgeError):
    """No bridge, or one that is not well; the text says which, and what to do."""


def trusting(
    *, pinned: Path | None, authorities: Path | None, cert: Path | None, key: Path | None
) -> ssl.SSLContext:
    """What to trust of the bridge's certificate, and what to show it.

    Args:
        pinned: PEM file of the very certificate that the bridge has, whatever name is in it: on
            its own machine it is asked by an address that no certificate needs to hold.
        authorities: PEM file of authorities to trust besides the system's.
        cert: PEM file of the client's certificate, if it needs one.
        key: PEM file of that certificate's key; None when it is in the same file.

    Raises:
        HealthError: A file cannot be used.
    """
    context = ssl.create_default_context() if pinned is None else _pinning()
    try:
        for known in (pinned, authorities):
            if known is not None:
                context.load_verify_locations(known)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        named = ", ".join(str(file) for file in (pinned, authorities, cert, key) if file)
        raise HealthError(f"cannot use {named}: {error}; they should be PEM files") from error
    return context


def ask(to: Endpoint, context: ssl.SSLContext | None) -> Mapping[str, object]:
    """What a bridge that is well says of itself, as ``/healthz`` tells it.

    Raises:
        HealthError: Nobody answers in ``TIMEOUT_S``, it is no bridge, or it is not well.
    """
    url = to.base.geturl().rstrip("/") + PATH
    status, body = _get(to, context, url)
    report = _report(body)
    if status != http.client.OK:
        raise HealthError(
            f"{url} answered {status}: {_word(report, 'message', 'without a reason')}"
        )
    if "status" not in report:
        raise HealthError(f"{url} is answered, but by no bridge; {OTHER_ADDRESS}")
    if report["status"] != "ok":
        state = _word(report, "status", "not well")
        raise HealthError(f"{state}: {_word(report, 'reason', 'its log says why')}")
    return report


def health_line(report: Mapping[str, object]) -> str:
    """The state and the most telling numbers, by their names in ``/healthz``."""
    return line(
        f"{report['status']}: " + ", ".join(f"{n} {report[n]}" for n in SHOWN if n in report)
    )


def _pinning() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may end before an authority
    return context


def _get(to: Endpoint, context: ssl.SSLContext | None, url: str) -> tuple[int, bytes]:
    connection = _connection(to, context)
    try:
        connection.request("GET", to.target(PATH))
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        advice = f"is the bridge running? `langfuse-bridge run` starts it; or {OTHER_ADDRESS}"
        raise HealthError(
            f"{url} does not answer: {error or type(error).__name__}; {advice}"
        ) from error
    finally:
        connection.close()


def _connection(to: Endpoint, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host, port = to.base.hostname or "", to.base.port
    if context is None:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def _report(body: bytes) -> Mapping[str, object]:
    try:
        report = json.loads(body)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _word(report: Mapping[str, object], key: str, otherwise: str) -> str:
    return line(str(report.get(key, otherwise)))
