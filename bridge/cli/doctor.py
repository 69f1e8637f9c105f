"""``langfuse-bridge doctor``: every check in turn, shown as it ends, and the worst as exit code."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bridge.app.senders import Senders
from bridge.cli.daemon import read_sources
from bridge.cli.printing import console, on_terminal, print_json, print_lines
from bridge.client import layers, versions
from bridge.config import Config
from bridge.doctor.checks import CHECKS, configuration, exit_code
from bridge.doctor.sending import patience_s, send
from bridge.doctor.subject import Subject
from bridge.errors import BridgeError, ConfigError
from bridge.model.findings import Finding, failed
from bridge.terminal import findings as shown


def doctor(args: argparse.Namespace) -> int:
    """Examine this machine's Claude Code, bridge and Langfuse."""
    found = list(_findings(args))
    if args.json:
        print_json(shown.findings_record(found))
    elif on_terminal():
        console().print(shown.findings_table(found))
    else:
        print_lines(shown.findings_lines(found))
    return exit_code(found)


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        loaded = read_sources(args)
        yield from configuration(loaded)
        subject = _subject(loaded.config)
    except ConfigError as error:
        remedy = "correct it; `langfuse-bridge check-config --example` shows every setting"
        yield from (failed("configuration", problem, remedy) for problem in error.problems)
        yield from versions.findings(os.environ)
        return
    except BridgeError as error:
        yield failed("tokens", str(error), "correct the file, or run this as the bridge's user")
        return
    for check in (*CHECKS, *([send] if args.send else [])):
        with _waiting(check.__name__, subject):
            found = list(check(subject))
        yield from found


def _waiting(name: str, subject: Subject) -> AbstractContextManager[object]:
    """A line that says what is waited for, on a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console  # noqa: PLC0415  for a person only

    longest = f", {patience_s(subject):.0f} s at most" if name == send.__name__ else ""
    return Console(stderr=True).status(f"{name.replace('_', ' ')}{longest} …")


def _subject(config: Config) -> Subject:
    return Subject(
        config=config,
        tokens=Senders(config).tokens,
        layers=layers.read_layers(os.environ, Path.cwd(), layers.managed_file()),
        environ=os.environ,
    )
