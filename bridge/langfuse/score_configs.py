"""What the bridge's scores mean, put into Langfuse where its API allows.

Responsible for the descriptions people read beside a score's name, and for creating those that are
missing. Leaves when that is to ``scores``. Nothing depends on a score config: scores are stored and
shown without, and sent without naming one.
"""

import math
from collections.abc import Collection, Iterator, Sequence

import msgspec
import structlog

from bridge.langfuse.client import SCORE_CONFIGS_PER_PAGE, Document, LangfuseClient
from bridge.langfuse.retry import Answer, AnswerClass, classify

SCORE_DESCRIPTIONS = {
    "active_s": "Active time of the session in seconds, as Claude Code measures it: "
    "a person typing or the agent working, without waiting.",
    "added": "Lines of code added in the session.",
    "removed": "Lines of code removed in the session.",
    "commits": "Git commits made in the session.",
    "prs": "Pull requests opened in the session.",
    "tool_errors": "Tool calls of the session that failed.",
    "cost_usd": "Cost of the prompt in US dollars, as reported by the client.",
}
"""Score name → what it counts and in which unit. Langfuse has no field for the unit."""

MAX_PAGES = 50
"""A project with five thousand score configs is not looked through any further."""

log = structlog.get_logger(__name__)


class ConfigListing(msgspec.Struct, frozen=True):
    """One page of a project's score configs."""

    class Config(msgspec.Struct, frozen=True):
        """What of a score config matters here."""

        name: str

    class Meta(msgspec.Struct, frozen=True, rename="camel"):
        """Where the page stands."""

        total_items: int

    data: tuple[Config, ...]
    meta: Meta


async def ensure_configs(client: LangfuseClient) -> None:
    """Create the score configs the project has none of by name.

    Langfuse takes a name twice and deletes none, so nothing is created before all were read. Any
    trouble ends it, with a line for who wonders: the next start looks again.
    """
    known = await _known_names(client)
    if isinstance(known, Answer):
        _skipped(known, [])
        return
    created: list[str] = []
    for name, body in missing_configs(known):
        answer = await client.post_score_config(body)
        if classify(answer.status) is not AnswerClass.TAKEN:
            _skipped(answer, created)
            return
        created.append(name)
    log.info("scores.configs_ensured", created=created)


def missing_configs(known: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Name and request body of each config to create. No bounds: Langfuse drops what is outside."""
    for name, description in SCORE_DESCRIPTIONS.items():
        if name not in known:
            config = {"name": name, "dataType": "NUMERIC", "description": description}
            yield name, msgspec.json.encode(config)


async def _known_names(client: LangfuseClient) -> set[str] | Answer:
    """The names of all the project's configs, or the answer that kept us from reading them."""
    known: set[str] = set()
    for page in range(1, MAX_PAGES + 1):
        document = await client.get_score_configs(page)
        listing = read_listing(document)
        if listing is None:
            return document.answer
        known.update(config.name for config in listing.data)
        if page >= math.ceil(listing.meta.total_items / SCORE_CONFIGS_PER_PAGE):
            return known
    return Answer(status=None, error=f"the project has more than {MAX_PAGES} pages of them")


def read_listing(document: Document) -> ConfigListing | None:
    """A page as it was answered; None where the answer is something else."""
    if classify(document.answer.status) is not AnswerClass.TAKEN:
        return None
    try:
        return msgspec.json.decode(document.body, type=ConfigListing)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _skipped(answer: Answer, created: Sequence[str]) -> None:
    log.info(
        "scores.configs_skipped",
        status=answer.status,
        reason=answer.error or "the answer is not a list of score configs",
        created=created,
    )
