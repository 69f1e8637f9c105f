"""One function for each command: parsed arguments in, exit code out.

``run``, ``health`` and ``token`` have modules of their own.

Failures that are the bridge's own (``BridgeError``) and wrong configuration pass through to
``main``, which words them.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing

from bridge.cli import client_settings, tokens
from bridge.cli.arguments import PROG
from bridge.cli.daemon import read_sources, run
from bridge.cli.health import health
from bridge.cli.printing import (
    FAILED,
    OK,
    USAGE,
    console,
    fail,
    on_terminal,
    print_json,
    print_lines,
    tell,
)
from bridge.config import Config, LoadedConfig, example_file, http_endpoint
from bridge.errors import BridgeError, ConfigError
from bridge.langfuse.wire import decode_span
from bridge.model.views import SessionSummary, TraceView
from bridge.store.reader import LedgerReader
from bridge.terminal import captures, choice, progress, records, sending, sessions, settings, traces

UNAUTHENTICATED = 401


def demo(args: argparse.Namespace) -> int:
    """A recorded session through a bridge of its own, without Langfuse."""
    from bridge.app.demo import demo as play  # noqa: PLC0415  servers that other commands do without

    overrides: Mapping[str, object] = {} if args.keep is None else {"data_dir": str(args.keep)}
    found = play(overrides)
    _print_traces(found, args)
    return OK if found else fail("nothing came out of the recorded session")


def list_sessions(args: argparse.Namespace) -> int:
    """The table of sessions, newest first."""
    # One more than asked for tells whether there are more.
    with _ledger(_load(args).config) as ledger:
        found = ledger.sessions(args.limit + 1)
    shown = found[: args.limit]
    if args.json:
        print_json([records.session_record(each) for each in shown])
    elif on_terminal():
        _print_table(shown)
    else:
        print_lines(sessions.sessions_lines(shown))
    if len(found) > len(shown):
        tell(f"only the newest {len(shown)} are listed; --limit N lists more")
    if not found:
        tell(f"no session is kept so far; `{PROG} doctor` says what lacks")
    return OK


def _print_table(shown: Sequence[SessionSummary]) -> None:
    out = console()
    table = sessions.sessions_table(shown, width=out.width)
    out.print(table)
    if missing := sessions.left_out(table):
        tell(f"no room for {', '.join(missing)}: a wider terminal, a pipe and --json have all")


def show(args: argparse.Namespace) -> int:
    """The traces of one session, or one trace."""
    with _ledger(_load(args).config) as ledger:
        chosen = choice.choose(ledger.find(args.what), args.what)
    if isinstance(chosen, choice.NotChosen):
        return fail(chosen.advice)
    _print_traces(chosen.traces, args)
    return OK


def send(args: argparse.Namespace) -> int:
    """Recorded export requests to an endpoint."""
    try:
        requests = captures.find(args.paths)
        to = sending.endpoint(args.endpoint or http_endpoint(_load(args).config))
    except (captures.CaptureError, sending.EndpointError) as error:
        fail(str(error))
        return USAGE
    results = _send_showing(requests, to, args)
    summary = sending.summarize(results, len(requests))
    if args.json:
        print_json(progress.summary_record(summary, results))
    else:
        tell(progress.summary_line(summary))
    if str(UNAUTHENTICATED) in summary.refused:
        advice = f'set {sending.HEADERS_VARIABLE}="Authorization=Bearer TOKEN"'
        tell(f"the endpoint knows no such sender: {advice}")
    if sending.UNREACHABLE in summary.refused:
        where = to.base.geturl()
        tell(f"nobody answers at {where}: `{PROG} run` starts the bridge, --endpoint names another")
    return OK if summary.complete else FAILED


def token(args: argparse.Namespace) -> int:
    """The tokens that senders need: make, list, revoke."""
    return tokens.ACTIONS[args.action](args, _load(args).config)


def provision(args: argparse.Namespace) -> int:
    """Dashboards in Langfuse."""
    from bridge.cli.provisioning import provision as do  # noqa: PLC0415  an HTTP client

    return do(args, _load(args).config)


def claude_settings(args: argparse.Namespace) -> int:
    """Claude Code's settings for this bridge: print, write, take back."""
    return client_settings.claude_settings(args, _load(args).config)


def examine(args: argparse.Namespace) -> int:
    """Everything from Claude Code's settings to Langfuse, each with what to do about it."""
    from bridge.cli.doctor import doctor  # noqa: PLC0415  Langfuse's client, as only this command

    return doctor(args)


def check_config(args: argparse.Namespace) -> int:
    """Every setting and where it was set, or an example file."""
    if args.example:
        print_lines(example_file().splitlines())
        return OK
    try:
        loaded = _load(args)
    except ConfigError as error:
        if args.json:
            print_json({"problems": error.problems})
        raise
    _print_settings(loaded, args)
    return OK


def quarantine(args: argparse.Namespace) -> int:
    """What was set aside: list, show, retry, drop."""
    from bridge.cli import quarantine as actions  # noqa: PLC0415  protobuf, which others do without

    return actions.run(args, _load(args).config)


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "demo": demo,
    "sessions": list_sessions,
    "show": show,
    "quarantine": quarantine,
    "send": send,
    "health": health,
    "token": token,
    "provision": provision,
    "claude-settings": claude_settings,
    "doctor": examine,
    "check-config": check_config,
}


def _load(args: argparse.Namespace) -> LoadedConfig:
    """The configuration of this command; its warnings are told at once."""
    loaded = read_sources(args)
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    return loaded


def _ledger(config: Config) -> AbstractContextManager[LedgerReader]:
    if not config.ledger_path.exists():
        advice = f"nothing is kept in {config.data_dir} yet; start the bridge with `{PROG} run`"
        raise BridgeError(advice)
    return closing(LedgerReader(config.ledger_path, decode_span))


def _send_showing(
    requests: list[captures.CapturedRequest], to: sending.Endpoint, args: argparse.Namespace
) -> list[sending.Sent]:
    headers = sending.headers_of(os.environ.get(sending.HEADERS_VARIABLE, "")) | dict(args.header)
    if args.json:
        return sending.send(requests, to, headers)
    if on_terminal():
        with progress.progress_bar(console(), len(requests)) as advance:
            return sending.send(requests, to, headers, on_sent=advance)
    return sending.send(requests, to, headers, on_sent=_print_sent)


def _print_sent(sent: sending.Sent) -> None:
    print_lines([progress.sent_line(sent)])


def _print_traces(found: Sequence[TraceView], args: argparse.Namespace) -> None:
    if args.json:
        print_json([records.trace_record(view) for view in found])
    elif on_terminal():
        for view in found:
            console().print(traces.trace_tree(view, show_debug=args.all))
    else:
        for view in found:
            print_lines(traces.trace_lines(view, show_debug=args.all))


def _print_settings(loaded: LoadedConfig, args: argparse.Namespace) -> None:
    if args.json:
        print_json(settings.settings_record(loaded))
    elif on_terminal():
        console().print(settings.settings_table(loaded))
    else:
        print_lines(settings.settings_lines(loaded))
