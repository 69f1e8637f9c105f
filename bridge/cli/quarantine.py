"""``langfuse-bridge quarantine``: looking at what was set aside, trying it again, deleting it."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.app.quarantine import Retried, part_in, request_in, retry
from bridge.cli.arguments import PROG
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
from bridge.config import Config
from bridge.decode.shown import shown_message, shown_request
from bridge.errors import BridgeError
from bridge.model.views import Ending, SetAside
from bridge.store.quarantine import Quarantine
from bridge.terminal import quarantine as view

WELL = {Retried.IN_INBOX, Retried.PENDING}


def run(args: argparse.Namespace, config: Config) -> int:
    """One of the quarantine's own commands."""
    if not config.ledger_path.exists():
        advice = f"nothing is kept in {config.data_dir} yet; start the bridge with `{PROG} run`"
        raise BridgeError(advice)
    return _ACTIONS[args.action](args, config, Quarantine(config.ledger_path))


def _list(args: argparse.Namespace, _: Config, kept: Quarantine) -> int:
    items = kept.listed()
    if args.json:
        print_json([view.quarantine_record(item) for item in items])
    elif on_terminal():
        console().print(view.quarantine_table(items))
    else:
        print_lines(view.quarantine_lines(items))
    if expired := kept.expired():
        tell(f"{expired:,} older records gave way to newer ones, as the quarantine was full")
    return OK


def _show(args: argparse.Namespace, _: Config, kept: Quarantine) -> int:
    (item,) = _chosen(kept, [args.id])
    content = _content(kept, item) if args.show_content else {}
    if args.json:
        print_json(view.quarantine_record(item) | content)
        return OK
    print_lines([*view.detail_lines(item), *(view.content_lines(content) if content else [])])
    if not args.show_content:
        tell("--show-content shows what is in it, which may be somebody's prompt")
    return OK


def _content(kept: Quarantine, item: SetAside) -> dict[str, object]:
    body = kept.content(item)
    if not body:
        raise BridgeError(f"{item.id} was kept without its bytes, as content=metadata has it")
    if item.ending is Ending.DEAD_LETTERED:
        return {"span": shown_message(Span.FromString(body))}
    if item.signal is None:
        return {"part": msgspec.to_builtins(part_in(body))}
    return shown_request(request_in(body))


def _retry(args: argparse.Namespace, config: Config, kept: Quarantine) -> int:
    endings: Counter[Retried] = Counter()
    for item in _asked_for(args, kept):
        ending = retry(config, item)
        endings[ending] += 1
        if ending not in WELL:
            tell(f"{PROG}: {item.id} {ending.value}")
    put_back = sum(endings[ending] for ending in WELL)
    into, again = endings[Retried.IN_INBOX], endings[Retried.PENDING]
    print_lines([f"{put_back} put back: {into} into the inbox, {again} to wait for Langfuse"])
    return OK if put_back == endings.total() else FAILED


def _drop(args: argparse.Namespace, _: Config, kept: Quarantine) -> int:
    items = _asked_for(args, kept)
    if not items or not (args.yes or _agreed(items)):
        return OK if not items else fail("nothing was deleted; --yes deletes without asking")
    dropped = sum(kept.remove(item) for item in items)
    print_lines([f"{dropped} deleted"])
    return OK


def _agreed(items: Sequence[SetAside]) -> bool:
    if not sys.stdin.isatty():
        return False
    tell(f"Delete {len(items)} for good? Nothing can bring them back. [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _asked_for(args: argparse.Namespace, kept: Quarantine) -> list[SetAside]:
    if bool(args.ids) == args.all:
        tell(f"{PROG}: name ids from `{PROG} quarantine list`, or --all")
        raise SystemExit(USAGE)
    return kept.listed() if args.all else _chosen(kept, args.ids)


def _chosen(kept: Quarantine, ids: Sequence[str]) -> list[SetAside]:
    known = {item.id: item for item in kept.listed()}
    unknown = [each for each in ids if each not in known]
    if unknown:
        raise BridgeError(
            f"nothing in quarantine has the id {', '.join(unknown)};"
            f" `{PROG} quarantine list` lists what there is"
        )
    return [known[each] for each in dict.fromkeys(ids)]


_ACTIONS: Mapping[str, Callable[[argparse.Namespace, Config, Quarantine], int]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}
