"""What can be written on the command line. Light imports only: ``--help`` is there at once."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from bridge import __version__

PROG = "langfuse-bridge"
DEFAULT_LIMIT = 50
EXPORTED = ("metadata", "prompts", "full")
OPTIONS = {
    "host": "address to listen on",
    "port": "port to listen on",
    "data_dir": "folder of what is kept",
    "log_level": "debug, info, warning or error",
    "log_format": "auto, console or json",
    "langfuse_base_url": "where Langfuse is",
}
"""The settings that are options too. Their values are checked with all others, not here."""


def make_parser() -> argparse.ArgumentParser:
    """The parser; ``args.command`` is the command's name, or None."""
    parser = argparse.ArgumentParser(
        prog=PROG, description="Turns the OpenTelemetry of coding agents into Langfuse traces."
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    parser.add_argument("--config", metavar="FILE", help="settings (default: config/bridge.toml)")
    commands = _Commands(parser)
    commands.add("run", "receive, assemble and deliver, until stopped", OPTIONS)
    _add_reading(commands)
    _add_quarantine(commands.add("quarantine", "what could not be taken in, and trying it again"))
    _add_send(commands.add("send", "post recorded export requests to an endpoint"))
    _add_health(commands.add("health", "ask a bridge how it is; 0 is well, 1 is not"))
    _add_token(commands.add("token", "make, list and revoke the tokens that senders need"))
    _add_provision(commands.add("provision", "make or update the dashboards in Langfuse"))
    _add_claude_settings(
        commands.add("claude-settings", "set up Claude Code's settings.json for this bridge")
    )
    doctor = commands.add("doctor", "examine Claude Code, the bridge and Langfuse", OPTIONS)
    check = commands.add("check-config", "print every setting and where it was set", OPTIONS)
    check.add_argument("--example", action="store_true", help="print an example file instead")
    doctor.add_argument(
        "--send", action="store_true", help="send a made-up turn, read it back, remove it"
    )
    _add_json(doctor)
    _add_json(check)
    return parser


class _Commands:
    """Adds commands to a parser."""

    def __init__(
        self,
        parser: argparse.ArgumentParser,
        *,
        title: str = "commands",
        dest: str = "command",
        required: bool = False,
    ) -> None:
        self._parsers = parser.add_subparsers(
            title=title, metavar=dest.upper(), dest=dest, required=required
        )

    def add(self, name: str, about: str, options: Iterable[str] = ()) -> argparse.ArgumentParser:
        parser = self._parsers.add_parser(name, help=about, description=about)
        # SUPPRESS: left out behind the command, it must not undo a --config in front of it.
        parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings")
        for option in options:
            parser.add_argument(f"--{option.replace('_', '-')}", help=OPTIONS[option])
        return parser


def _add_reading(commands: _Commands) -> None:
    demo = commands.add("demo", "show what a recorded session becomes")
    demo.add_argument("--keep", metavar="DIR", type=Path, help="keep what was assembled in DIR")
    sessions = commands.add("sessions", "list the sessions that are kept", ["data_dir"])
    about = f"newest N (default: {DEFAULT_LIMIT})"
    sessions.add_argument("--limit", metavar="N", type=_count, default=DEFAULT_LIMIT, help=about)
    show = commands.add("show", "show traces as trees", ["data_dir"])
    show.add_argument("what", metavar="SESSION|TRACE", help="an id or its beginning")
    for parser in (demo, sessions, show):
        _add_json(parser)
    for parser in (demo, show):
        parser.add_argument("--all", action="store_true", help="debug observations too")


def _add_quarantine(parser: argparse.ArgumentParser) -> None:
    actions = _Commands(parser, title="actions", dest="action", required=True)
    listed = actions.add("list", "list what was set aside, without contents", ["data_dir"])
    show = actions.add("show", "show one of it", ["data_dir"])
    show.add_argument("id", metavar="ID", help="as `list` shows it")
    show.add_argument("--show-content", action="store_true", help="what is in it too")
    for each in (listed, show):
        _add_json(each)
    retry = actions.add("retry", "put it back into the inbox", ["data_dir"])
    drop = actions.add("drop", "delete it for good", ["data_dir"])
    drop.add_argument("--yes", action="store_true", help="without asking")
    for each in (retry, drop):
        each.add_argument("ids", metavar="ID", nargs="*", help="as `list` shows them")
        each.add_argument("--all", action="store_true", help="everything there is")


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="capture, or its files")
    parser.add_argument("--endpoint", metavar="URL", help="where to (default: this bridge)")
    parser.add_argument(
        "--header", metavar="K=V", action="append", type=_header, default=[], help="sent along"
    )
    _add_json(parser)


def _add_health(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", metavar="URL", help="whom to ask (default: this bridge)")
    about = "authorities to trust besides the system's (default: this bridge's certificate)"
    parser.add_argument("--ca", metavar="FILE", type=Path, help=about)
    shown = "certificate to show to a bridge that asks for one"
    parser.add_argument("--cert", metavar="FILE", type=Path, help=shown)
    parser.add_argument("--key", metavar="FILE", type=Path, help="key of that certificate")


def _add_token(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    new = actions.add_parser("new", help="make a token and print it, this once")
    new.add_argument("name", metavar="NAME", help="whose it is; every token has its own")
    fixed = "attributes of all that is sent with it, whatever the client says"
    new.add_argument("--tags", metavar="KEY=VALUE,…", help=fixed)
    listed = actions.add_parser("list", help="list the tokens, by name")
    revoke = actions.add_parser("revoke", help="make a token worthless")
    revoke.add_argument("name", metavar="NAME", help="as listed")
    for action in (new, listed, revoke):
        action.add_argument("--data-dir", help=OPTIONS["data_dir"])
    for action in (new, listed):
        _add_json(action)


def _add_provision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="write nothing, say what would be")
    parser.add_argument(
        "--department",
        metavar="NAME",
        action="append",
        type=_name,
        default=[],
        help="a dashboard for this department too; may be given several times",
    )
    _add_json(parser)


def _add_claude_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--managed", action="store_true", help="for everybody on this machine")
    parser.add_argument("--grpc", action="store_true", help="gRPC instead of http/protobuf")
    parser.add_argument("--traces", action="store_true", help="spans too, a beta of Claude Code's")
    parser.add_argument(
        "--content",
        choices=EXPORTED,
        default=EXPORTED[0],
        help=f"texts to export: none, prompts and answers, all (default: {EXPORTED[0]})",
    )
    parser.add_argument("--endpoint", metavar="URL", help="where to (default: this bridge)")
    parser.add_argument("--token", metavar="TOKEN", help="sent along; - reads it from stdin")
    attributes = "who it is, such as member=alex,department=engineering"
    parser.add_argument("--tags", metavar="KEY=VALUE,…", help=attributes)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true", help="write it, and keep a backup")
    action.add_argument("--undo", action="store_true", help="take the last --write back")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("should be a number, at least 1")
    return int(text)


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("should be a name")
    return text.strip()


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.strip() or not equals or not text.isprintable() or not text.isascii():
        raise argparse.ArgumentTypeError("should be NAME=VALUE in plain letters")
    return name.strip(), value.strip()
