"""``langfuse-bridge claude-settings``: Claude Code's settings, printed, written, or put back."""

import argparse
import os
import sys
from pathlib import Path

from bridge.cli.arguments import PROG
from bridge.cli.printing import OK, USAGE, fail, print_json, print_lines, tell
from bridge.client import files, layers, merging
from bridge.client.variables import (
    Exported,
    SetupError,
    Wanted,
    attributes_of,
    dropped,
    environment_of,
)
from bridge.config import Config, grpc_endpoint, http_endpoint

FROM_STDIN = "-"


def claude_settings(args: argparse.Namespace, config: Config) -> int:
    """Print the ``env`` block, write it (``--write``) or take that back (``--undo``)."""
    file = layers.managed_file() if args.managed else layers.user_file(os.environ)
    if args.undo:
        tell(files.undo(file))
        return OK
    try:
        environment = environment_of(_wanted(args, config))
    except SetupError as error:
        fail(str(error))
        return USAGE
    _warn(args, file, environment)
    if args.write:
        _write(file, environment, managed=args.managed)
    else:
        print_json({"env": environment})
        tell(f"this belongs into {file}; --write puts it there")
    return OK


def _wanted(args: argparse.Namespace, config: Config) -> Wanted:
    own = grpc_endpoint(config) if args.grpc else http_endpoint(config)
    endpoint = args.endpoint or own
    if endpoint is None:
        raise SetupError("BRIDGE_GRPC_PORT is 0: this bridge takes no gRPC; leave out --grpc")
    return Wanted(
        endpoint=endpoint,
        grpc=args.grpc,
        traces=args.traces,
        content=Exported(args.content),
        token=sys.stdin.readline().strip() if args.token == FROM_STDIN else args.token,
        attributes=attributes_of(args.tags or ""),
    )


def _warn(args: argparse.Namespace, file: Path, environment: dict[str, str]) -> None:
    for key, written in dropped(args.tags or "").items():
        tell(f"warning: Claude Code would drop {key} as it is; it is written as {written}")
    known = layers.read_layers(os.environ, Path.cwd(), layers.managed_file())
    for sentence in (
        *layers.conflicts(known, file, environment),
        *layers.for_one_signal(known),
    ):
        tell(f"warning: {sentence}")


def _write(file: Path, environment: dict[str, str], *, managed: bool) -> None:
    before = files.read_text(file)
    try:
        after = merging.merged(before, environment)
    except SetupError as error:
        raise SetupError(f"{file} is left alone: {error}; correct it first") from error
    if after == before:
        tell(f"{file} says so already")
        return
    mode = files.SHARED_MODE if managed else files.OWN_MODE
    backup = files.write(file, after, before, mode=mode)
    print_lines(merging.difference(before, after, str(file)))
    again = f"{PROG} claude-settings{' --managed' if managed else ''} --undo"
    kept = f"{file} written, what was there is in {backup}" if before else f"{file} is new"
    tell(f"{kept}\n`{again}` takes it back")
    tell("a claude that runs keeps its telemetry as it was: start it anew")
