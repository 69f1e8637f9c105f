"""The command ``langfuse-bridge``: arguments in, exit code out.

``arguments`` what can be written on the command line
``commands``  one function for each command, but for
``daemon``    the daemon's own,
``health``    the command ``health``,
``tokens``    the command ``token``,
``client_settings`` the command ``claude-settings``,
``doctor``    the command ``doctor``,
``provisioning`` the command ``provision``, and
``quarantine`` the actions of the command of that name
``printing``  a terminal, a pipe or JSON

0 is done, 1 is a command that failed, 2 is wrong usage or configuration; of the doctor 1 is a
warning and 2 a failure. What the commands do
lives in ``app`` and ``store``, how it looks in ``terminal``.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.cli.arguments import PROG, make_parser
from bridge.cli.printing import FAILED, USAGE, fail, tell
from bridge.errors import BridgeError, ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage ends in ``SystemExit(2)``."""
    _write_anything(sys.stdout, sys.stderr)
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    try:
        return _command(args.command)(args)
    except ConfigError as error:
        return _refuse(error)
    except BridgeError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted")
    except OSError as error:
        is_reader_gone = isinstance(error, BrokenPipeError)  # `| head`
        return _flush_nowhere(FAILED if is_reader_gone else fail(_worded(error)))


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    # Only now: rich and pydantic would make --help and wrong usage wait, and rich the daemon and
    # what a container runs every half minute.
    if name == "run":
        from bridge.cli.daemon import run  # noqa: PLC0415

        return run
    if name == "health":
        from bridge.cli.health import health  # noqa: PLC0415

        return health
    from bridge.cli.commands import COMMANDS  # noqa: PLC0415

    return COMMANDS[name]


def _write_anything(*streams: object) -> None:
    """What the terminal's encoding lacks is escaped instead of ending the command."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _flush_nowhere(code: int) -> int:
    """What Python would still flush at its exit cannot be written either."""
    with suppress(OSError, ValueError):  # ValueError: a stdout that is no file
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return code


def _worded(error: OSError) -> str:
    """A file or a stream that cannot be used, and for one of somebody else's what to do."""
    where = f"cannot use {error.filename}" if error.filename else "cannot write"
    owner = "; run this as the user whose it is, or with sudo"
    return f"{where}: {error.strerror}{owner if isinstance(error, PermissionError) else ''}"


def _refuse(error: ConfigError) -> int:
    for problem in error.problems:
        tell(f"{PROG}: {problem}")
    tell(f"{PROG}: correct the above; `{PROG} check-config --example` shows every setting")
    return USAGE
