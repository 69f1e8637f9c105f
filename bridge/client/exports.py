"""What would be exported under the environment in force, and why not all of it, or nothing.

Pure: layers in, findings out. Values of headers are told to nobody.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bridge.client import variables as names
from bridge.client.layers import Layer, Setting, in_force, replaced
from bridge.model.findings import Finding, failed, ok, warning

SET_UP: Final = "`langfuse-bridge claude-settings --write` sets it up; then start claude anew"
PROTOCOLS: Final = ("http/protobuf", "http/json", "grpc")
TRUE: Final = {"1", "true", "yes", "on"}
LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
SIGNALS: Final = ("LOGS", "METRICS", "TRACES")


@dataclass(frozen=True, slots=True)
class Receiving:
    """The bridge that the telemetry is for.

    Attributes:
        http: Its base address for OTLP over HTTP.
        grpc: That for gRPC; None when it is turned off.
        admits: Whether it takes what comes with these headers.
    """

    http: str
    grpc: str | None
    admits: Callable[[Mapping[str, str]], bool]


def findings(layers: Sequence[Layer], bridge: Receiving) -> Iterator[Finding]:
    """Each reason for which nothing or not all would arrive at ``bridge``."""
    settings = in_force(layers)
    yield from _files(layers)
    yield _switch(settings)
    yield _logs(settings)
    yield _metrics(settings)
    yield _spans(settings)
    yield _protocol(settings)
    yield _endpoint(settings, bridge)
    yield from _own_endpoints(settings, bridge)
    yield _token(settings, bridge)
    yield from _attributes(layers, settings)


def headers_in(settings: Mapping[str, Setting]) -> dict[str, str]:
    """The headers that go with each export, by lower-case names."""
    pairs = (part.partition("=") for part in value_of(settings, names.HEADERS).split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def value_of(settings: Mapping[str, Setting], name: str, default: str = "") -> str:
    """The value in force."""
    return settings[name].value if name in settings else default


def _files(layers: Sequence[Layer]) -> Iterator[Finding]:
    for layer in layers:
        if layer.trouble:
            remedy = "correct the file: Claude Code passes over it as it is"
            yield failed("settings", f"{layer.name}: {layer.trouble}", remedy)


def _switch(settings: Mapping[str, Setting]) -> Finding:
    if value_of(settings, names.ENABLE).strip().lower() in TRUE:
        return ok("telemetry", _told(settings, names.ENABLE))
    return failed("telemetry", f"nothing is exported: {_told(settings, names.ENABLE)}", SET_UP)


def _logs(settings: Mapping[str, Setting]) -> Finding:
    if _exports(settings, names.LOGS):
        return ok("logs", _told(settings, names.LOGS))
    return failed("logs", f"no traces without them: {_told(settings, names.LOGS)}", SET_UP)


def _metrics(settings: Mapping[str, Setting]) -> Finding:
    if _exports(settings, names.METRICS):
        return ok("metrics", _told(settings, names.METRICS))
    missing = f"no active time, lines or commits: {_told(settings, names.METRICS)}"
    return warning("metrics", missing, SET_UP)


def _spans(settings: Mapping[str, Setting]) -> Finding:
    beta = (names.TRACES_BETA, "ENABLE_ENHANCED_TELEMETRY_BETA")
    switched = any(value_of(settings, name).strip().lower() in TRUE for name in beta)
    exported = _exports(settings, names.TRACES)
    if switched == exported:
        return ok("spans", _told(settings, names.TRACES))
    missing = names.TRACES if switched else names.TRACES_BETA
    remedy = "`langfuse-bridge claude-settings --traces --write` sets both variables"
    return warning("spans", f"half set up: {_told(settings, missing)}", remedy)


def _protocol(settings: Mapping[str, Setting]) -> Finding:
    protocol = value_of(settings, names.PROTOCOL, names.HTTP_PROTOCOL)
    if protocol not in PROTOCOLS:
        return failed("protocol", _told(settings, names.PROTOCOL), f"one of {', '.join(PROTOCOLS)}")
    if protocol == names.GRPC_PROTOCOL:
        lost = "over gRPC Claude Code sends nothing again: what is refused is lost"
        return warning("protocol", lost, f"{names.PROTOCOL}={names.HTTP_PROTOCOL}")
    return ok("protocol", _told(settings, names.PROTOCOL))


def _endpoint(settings: Mapping[str, Setting], bridge: Receiving) -> Finding:
    told = _told(settings, names.ENDPOINT)
    own = _own(settings, bridge)
    if own is None:
        remedy = f"set BRIDGE_GRPC_PORT, or {names.PROTOCOL}={names.HTTP_PROTOCOL}"
        return failed("endpoint", "the protocol is grpc, and this bridge takes no gRPC", remedy)
    value = value_of(settings, names.ENDPOINT)
    if not value:
        return failed("endpoint", told, f"{names.ENDPOINT}={own}")
    if urlsplit(value).path.rstrip("/").rpartition("/")[2] in {"logs", "metrics", "traces"}:
        return failed("endpoint", f"{told} is of one signal", f"{names.ENDPOINT}={own}")
    if _is_same(value, own):
        return ok("endpoint", told)
    return warning("endpoint", f"{told} is not this bridge", f"{names.ENDPOINT}={own}")


def _own_endpoints(settings: Mapping[str, Setting], bridge: Receiving) -> Iterator[Finding]:
    """A signal's own address is used as it stands, and wins."""
    for signal in SIGNALS:
        name = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
        own = _own(settings, bridge)
        value = value_of(settings, name)
        if value and own and not _is_same(value, own):
            yield warning("endpoint", f"{_told(settings, name)} is not this bridge", "remove it")


def _token(settings: Mapping[str, Setting], bridge: Receiving) -> Finding:
    headers = headers_in(settings)
    if bridge.admits(headers):
        return ok("token", "accepted" if headers else "none is needed")
    remedy = "`langfuse-bridge claude-settings --token TOKEN --write` with a token of `token new`"
    if headers:
        return failed("token", f"the bridge does not know it: {_source(settings)}", remedy)
    return failed("token", f"the bridge needs one, and {names.HEADERS} is not set", remedy)


def _attributes(layers: Sequence[Layer], settings: Mapping[str, Setting]) -> Iterator[Finding]:
    name = names.ATTRIBUTES
    if name not in settings:
        remedy = "`langfuse-bridge claude-settings --tags member=…,department=… --write`"
        yield warning("attributes", f"nobody is told: {_told(settings, name)}", remedy)
        return
    yield ok("attributes", _told(settings, name))
    for key, written in names.dropped(settings[name].value).items():
        yield warning("attributes", f"Claude Code drops {key} from its records", f"write {written}")
    for other in replaced(layers, name):
        remedy = "set all attributes in one place: they are not joined"
        lost = f"{other.value} of {other.source} is replaced by {settings[name].source}"
        yield warning("attributes", lost, remedy)


def _own(settings: Mapping[str, Setting], bridge: Receiving) -> str | None:
    is_grpc = value_of(settings, names.PROTOCOL) == names.GRPC_PROTOCOL
    return bridge.grpc if is_grpc else bridge.http


def _exports(settings: Mapping[str, Setting], name: str) -> bool:
    return "otlp" in [part.strip() for part in value_of(settings, name).split(",")]


def _told(settings: Mapping[str, Setting], name: str) -> str:
    if name not in settings:
        return f"{name} is not set"
    return f"{name}={settings[name].value} ({settings[name].source})"


def _source(settings: Mapping[str, Setting]) -> str:
    return f"{names.HEADERS} of {settings[names.HEADERS].source}"


def _is_same(value: str, own: str) -> bool:
    try:
        there, here = urlsplit(value), urlsplit(own)
        return (
            there.scheme == here.scheme and there.port == here.port and _host(there) == _host(here)
        )
    except ValueError:
        return False


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return "localhost" if host in LOOPBACK else host
