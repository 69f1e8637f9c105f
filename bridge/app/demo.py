"""`langfuse-bridge demo`: a whole bridge without Langfuse, fed with a recorded session.

The real processes, over real HTTP, with short waits; only Langfuse is left out.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from bridge.app.reading import ledger_reader
from bridge.app.supervisor import Supervisor
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.model.views import TraceView
from bridge.telemetry import logging

SESSION = Path(__file__).parent / "demo_session"
"""One prompt of Claude Code 2.1.330 with an MCP tool, a skill, hooks and a sub-agent, recorded
against a stand-in for the model: its texts and numbers are made up."""

PATIENCE_S = 30.0
POLL_S = 0.05

_WAITS = {"settle_s": 0.2, "quiet_s": 0.4, "idle_s": 2.0}


def demo(overrides: Mapping[str, object]) -> list[TraceView]:
    """Run the recorded session through a bridge and give its traces.

    Args:
        overrides: Settings; without ``data_dir`` everything is kept in a folder that goes away.

    Raises:
        BridgeError: Nothing came out in time.
    """
    with tempfile.TemporaryDirectory(prefix="langfuse-bridge-demo-") as folder:
        settings = (
            {"data_dir": folder, "port": 0, "log_level": "warning"} | _WAITS | dict(overrides)
        )
        config = Config.model_validate(settings)
        bodies = [(path.name, path.read_bytes()) for path in sorted(SESSION.iterdir())]
        config.data_dir.mkdir(parents=True, exist_ok=True)
        logging.configure(config.log_level, config.log_format)
        return asyncio.run(_play(config, bodies))


async def _play(config: Config, bodies: list[tuple[str, bytes]]) -> list[TraceView]:
    async with _bridge(config) as port:
        for name, body in bodies:
            await _post(name, body, port)
        return await _assembled(config)


@contextlib.asynccontextmanager
async def _bridge(config: Config) -> AsyncIterator[int]:
    supervisor = Supervisor(config)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor.port
    finally:
        supervisor.stop()
        await running


async def _post(name: str, body: bytes, port: int) -> None:
    """Post one recorded body; ``001.logs.json`` tells the signal."""
    signal = name.split(".")[1]
    url = f"http://127.0.0.1:{port}/v1/{signal}"
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise BridgeError(f"{name} was answered {answer.status}: {await answer.text()}")


async def _assembled(config: Config) -> list[TraceView]:
    """The traces, once the session's turns are closed."""
    reader = ledger_reader(config)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = reader.find("")
                if found and not any(view.live for view in found):
                    return found
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise BridgeError(f"no trace was finished within {PATIENCE_S:.0f} s") from error
    finally:
        reader.close()
