"""Which Claude Code is installed, and what is known of its exports.

What is missing in which version was seen in captures of 2.1.330 and 24 older versions; what is
marked as reported is from the public issues 56098 and 59942 of anthropics/claude-code.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from bridge.model.findings import Finding, failed, ok, warning

Version = tuple[int, int, int]

TIMEOUT_S: Final = 10.0
NUMBERS: Final = re.compile(r"\b(\d+)\.(\d+)\.(\d+)\b")
NEWEST_TRIED: Final = (2, 1, 330)
UPDATE: Final = "update Claude Code: `claude update`"


class Defect(NamedTuple):
    """What exports lack from ``first`` on, until ``fixed``, the first version known to have it."""

    first: Version
    fixed: Version
    text: str


OLDEST: Final = (0, 0, 0)
DEFECTS: Final = (
    Defect(OLDEST, (2, 1, 20), "events have no sequence: lost records go unnoticed"),
    Defect(OLDEST, (2, 1, 59), "no prompt.id, and no tool decisions under -p: told apart by order"),
    Defect(OLDEST, (2, 1, 110), "requests have no id: halves are joined by tokens and time"),
    Defect(OLDEST, (2, 1, 126), "no query_source, no tool_use_id in events"),
    Defect(OLDEST, (2, 1, 156), "log records name no trace: BRIDGE_JOIN_TRACES may miss prompts"),
    Defect(OLDEST, (2, 1, 193), "answers are not exported"),
    Defect(OLDEST, (2, 1, 214), "tokens count twice where a gateway repeats a request's usage"),
    Defect(OLDEST, NEWEST_TRIED, "events do not name their sub-agent: parallel ones by time"),
    Defect((2, 1, 122), (2, 1, 142), "requests without cost_usd (reported): priced by Langfuse"),
    Defect((2, 1, 128), (2, 1, 156), "requests without query_source (reported)"),
)


def findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which ``claude`` is on the path, its version, and what that one's exports lack."""
    path = shutil.which("claude", path=environ.get("PATH"))
    if path is None:
        remedy = "install it, or put it on the PATH; a bridge without clients beside it needs none"
        yield warning("Claude Code", "there is no `claude` on the PATH", remedy)
        return
    version = version_of(_asked(path, environ))
    if version is None:
        yield failed("Claude Code", f"{path} does not tell its version", "run `claude --version`")
        return
    yield ok("Claude Code", f"{_written(version)} ({path}){_newer(version)}")
    for defect in defects_of(version):
        yield warning(f"Claude Code {_written(version)}", defect.text, UPDATE)


def version_of(text: str) -> Version | None:
    """The version in ``2.1.330 (Claude Code)``."""
    found = NUMBERS.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def defects_of(version: Version) -> list[Defect]:
    """What is known to be missing in this version's exports."""
    return [defect for defect in DEFECTS if defect.first <= version < defect.fixed]


def _asked(path: str, environ: Mapping[str, str]) -> str:
    try:
        asked = subprocess.run(  # noqa: S603  the one that a shell would start, too
            [path, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout


def _newer(version: Version) -> str:
    if version <= NEWEST_TRIED:
        return ""
    return f", newer than {_written(NEWEST_TRIED)}, the newest that was tried"


def _written(version: Version) -> str:
    return ".".join(map(str, version))
