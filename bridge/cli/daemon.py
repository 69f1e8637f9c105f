"""The command ``run``, apart from the others: what it imports makes the daemon's start wait.

Also what every command asks of a configuration: where it is from, and where this bridge is then.
"""

import argparse
import os
from pathlib import Path

from bridge.cli.arguments import OPTIONS
from bridge.config import LoadedConfig, load


def run(args: argparse.Namespace) -> int:
    """The daemon, until it is asked to stop."""
    loaded = read_sources(args)
    if loaded.warnings or loaded.config.insecure_bind:
        _log_warnings(loaded)
    # Not for `check-config`, which reads the sources too.
    from bridge.app.senders import checked  # noqa: PLC0415
    from bridge.app.supervisor import become  # noqa: PLC0415
    from bridge.app.systemd import activated  # noqa: PLC0415

    become(checked(activated(loaded.config, os.environ, os.getpid())))


def read_sources(args: argparse.Namespace) -> LoadedConfig:
    """The settings, with what the command line says of them."""
    options = {name: getattr(args, name, None) for name in ("config", *OPTIONS)}
    return load(options, os.environ, Path.cwd())


def _log_warnings(loaded: LoadedConfig) -> None:
    import structlog  # noqa: PLC0415  rarely needed here

    from bridge.telemetry import logging  # noqa: PLC0415

    logging.configure(loaded.config.log_level, loaded.config.log_format)
    for warning in loaded.warnings:
        structlog.get_logger(__name__).warning("config.variable_ignored", reason=warning)
