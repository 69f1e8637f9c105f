"""Which checks there are, in the order in which a record takes its way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from bridge.client import exports, versions
from bridge.config import LoadedConfig, grpc_endpoint, http_endpoint
from bridge.doctor.langfuse import langfuse
from bridge.doctor.local import store, tls, tokens
from bridge.doctor.running import bridge, last_seen
from bridge.doctor.subject import Subject
from bridge.model.findings import Finding, State, ok, warning
from bridge.receive.access import find, offered_tokens


def client(subject: Subject) -> Iterator[Finding]:
    """Claude Code: its version, and what it would export where."""
    yield from versions.findings(subject.environ)
    receiving = exports.Receiving(
        http=http_endpoint(subject.config),
        grpc=grpc_endpoint(subject.config),
        admits=lambda headers: admits(subject, headers),
    )
    yield from exports.findings(subject.layers, receiving)


def admits(subject: Subject, headers: Mapping[str, str]) -> bool:
    """Whether this bridge takes what comes with these headers, by lower-case names."""
    known = subject.tokens
    return known is None or find(known, list(offered_tokens(headers))) is not None


CHECKS: Final[Sequence[Callable[[Subject], Iterator[Finding]]]] = (
    client,
    tokens,
    tls,
    store,
    bridge,
    last_seen,
    langfuse,
)

EXIT_CODES: Final = {State.OK: 0, State.WARNING: 1, State.FAILED: 2}


def configuration(loaded: LoadedConfig) -> Iterator[Finding]:
    """What was noticed while the settings were read."""
    changed = sum(source != "default" for source in loaded.sources.values())
    yield ok("configuration", f"{changed} of {len(loaded.sources)} settings are not the default")
    for text in loaded.warnings:
        yield warning("configuration", text, "`langfuse-bridge check-config` shows every setting")


def exit_code(findings: Sequence[Finding]) -> int:
    """That of the worst finding."""
    return max((EXIT_CODES[finding.state] for finding in findings), default=0)
