"""``langfuse-bridge token new|list|revoke``: the tokens file, for a person.

The text of a token is printed once, when it is made, and is kept nowhere.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.cli.arguments import PROG
from bridge.cli.printing import OK, print_json, print_lines, tell
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.model.tokens import (
    Token,
    TokenError,
    check_name,
    digest_of,
    distinct,
    fixed_of,
    line_of,
    name_of,
    new_token,
    tokens_of_file,
    written_fixed,
)
from bridge.store import token_file

COLUMNS = ("name", "fixed", "source")
VARIABLE = "BRIDGE_TOKENS"


def new(args: argparse.Namespace, config: Config) -> int:
    """Make a token, keep its digest, and print it with the line that sets it."""
    text = new_token()
    try:
        name = check_name(args.name)
    except TokenError as error:
        raise BridgeError(str(error)) from error
    try:
        fixed = fixed_of(args.tags or "")
    except TokenError as error:
        raise BridgeError(f"--tags {args.tags}: {error}") from error
    token = Token(name=name, digest=digest_of(text), fixed=fixed)
    is_first = not config.tokens and not config.tokens_path.exists()
    token_file.rewrite(config.tokens_path, lambda lines: _with(lines, token, config))
    _print_new(text, token, args)
    if is_first:
        tell("this is the first token: from now on the bridge takes nothing without one")
    return OK


def list_all(args: argparse.Namespace, config: Config) -> int:
    """Names and fixed attributes of the tokens in force."""
    path = config.tokens_path
    of_file = token_file.read(path) if path.exists() else ()
    sources = [*((each, VARIABLE) for each in config.tokens), *((t, str(path)) for t in of_file)]
    rows = [(each.name, written_fixed(each.fixed), source) for each, source in sources]
    if args.json:
        print_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        print_lines("\t".join(row) for row in (COLUMNS, *rows))
    if not rows:
        tell(_none_left(path) if path.exists() else f"none; `{PROG} token new NAME` makes one")
    return OK


def revoke(args: argparse.Namespace, config: Config) -> int:
    """Take a token out of the file; a bridge that runs refuses it from then on."""
    if any(token.name == args.name for token in config.tokens):
        raise BridgeError(f"{args.name} is set by {VARIABLE}; remove it there and start anew")
    if config.tokens_path.exists():
        token_file.rewrite(config.tokens_path, lambda lines: _without(lines, args.name))
    else:
        raise _unknown(args.name)
    tell(f"token {args.name} revoked in {config.tokens_path}")
    if not config.tokens and not token_file.read(config.tokens_path):
        tell(_none_left(config.tokens_path))
    return OK


ACTIONS: Mapping[str, Callable[[argparse.Namespace, Config], int]] = {
    "new": new,
    "list": list_all,
    "revoke": revoke,
}


def _none_left(path: Path) -> str:
    """As long as the file is there, being empty does not open the bridge to everybody."""
    again = "remove the file and start the bridge anew to need no tokens any more"
    return f"{path} has no token left, so nobody may send: make one, or {again}"


def _with(lines: list[str], token: Token, config: Config) -> list[str]:
    if any(token.name == name for name in (*map(name_of, lines), *(t.name for t in config.tokens))):
        advice = "revoke that one first, or take another name"
        raise BridgeError(f"there is a token named {token.name} already; {advice}")
    return _readable([*lines, line_of(token)])


def _without(lines: list[str], name: str) -> list[str]:
    if name not in map(name_of, lines):
        raise _unknown(name)
    return [line for line in lines if name_of(line) != name]


def _readable(lines: list[str]) -> list[str]:
    """The same lines, once the bridge can read them all: a file that it cannot changes nothing."""
    try:
        distinct(tokens_of_file("\n".join(lines)))
    except TokenError as error:
        raise BridgeError(f"the tokens file is wrong, correct it first: {error}") from error
    return lines


def _unknown(name: str) -> BridgeError:
    return BridgeError(f"there is no token named {name}; `langfuse-bridge token list` shows them")


def _print_new(text: str, token: Token, args: argparse.Namespace) -> None:
    setting = f'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer {text}"'
    if args.json:
        print_json({"name": token.name, "token": text, "fixed": token.fixed, "setting": setting})
        return
    print_lines([text])
    tell(f"token {token.name} made; it is shown this once. Where Claude Code runs, set\n{setting}")
