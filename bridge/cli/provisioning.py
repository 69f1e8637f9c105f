"""``langfuse-bridge provision``: dashboards in Langfuse, for a person.

Responsible for what the settings and options ask for and for showing what became of it. Leaves the
dashboards to ``bridge.provision``.
"""

import argparse
import asyncio
from collections.abc import Sequence

from bridge.cli.printing import OK, console, on_terminal, print_json, print_lines, tell
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.langfuse.client import LangfuseTarget
from bridge.langfuse.trace import TraceSettings, tags_of
from bridge.model.provisioned import Provisioned
from bridge.provision.perform import provision as perform
from bridge.provision.plan import wanted
from bridge.terminal import provisioned

DEPARTMENT = "department"


def provision(args: argparse.Namespace, config: Config) -> int:
    """Make or update the dashboards, and tell of every tile."""
    tags = department_tags(args.department, config)
    want = wanted(tags, config.group_by or None)
    done = asyncio.run(perform(_target(config), want, dry_run=args.dry_run, tell=tell))
    _print(done, args)
    return OK


def department_tags(names: Sequence[str], config: Config) -> list[str]:
    """The tags that traces of these departments have.

    Raises:
        ConfigError: The settings make no tag of the department.
    """
    settings = TraceSettings(tags=tuple((tag.attribute, tag.key) for tag in config.tags))
    tags = [tag for name in names for tag in tags_of({DEPARTMENT: name}, settings)]
    if names and not tags:
        raise ConfigError([f"tags: {DEPARTMENT} is not among them, so no chart can filter by it"])
    return tags


def _target(config: Config) -> LangfuseTarget:
    if config.langfuse_public_key is None or config.langfuse_secret_key is None:
        names = "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"
        raise ConfigError([f"{names}: dashboards need the keys of a Langfuse project"])
    return LangfuseTarget(
        base_url=config.langfuse_base_url,
        public_key=config.langfuse_public_key,
        secret_key=config.langfuse_secret_key.get_secret_value(),
        ca_file=config.ca_file,
    )


def _print(done: Provisioned, args: argparse.Namespace) -> None:
    if args.json:
        print_json(provisioned.record(done))
        return
    if on_terminal():
        console().print(provisioned.steps_table(done))
    else:
        print_lines(provisioned.steps_lines(done))
    for line in provisioned.remarks(done):
        tell(line)
