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
            {"data_dir": folder, "port": 0, "grpc_port": 0, "log_level": "warning"}
            | _WAITS
            | dict(overrides)
        )
        config = Config.model_validate(settings)
        bodies = [(path.name, path.read_bytes()) for path in sorted(SESSION.iterdir())]
        logging.configure(config.log_level, config.log_format)
        return asyncio.run(_play(config, bodies))


async def _play(config: Config, bodies: list[tuple[str, bytes]]) -> list[TraceView]:
    async with _bridge(config) as port:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await _post(bodies, port)
                return await _assembled(config)
        except TimeoutError as error:
            raise BridgeError(f"no trace was finished within {PATIENCE_S:.0f} s") from error
        except aiohttp.ClientError as error:
            raise BridgeError(f"the bridge did not answer: {error}") from error


@contextlib.asynccontextmanager
async def _bridge(config: Config) -> AsyncIterator[int]:
    supervisor = Supervisor(config)
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor.port
    finally:
        supervisor.stop()
        await running


async def _post(bodies: list[tuple[str, bytes]], port: int) -> None:
    """Post recorded bodies in their order; ``001.logs.json`` tells the signal."""
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        for name, body in bodies:
            signal = name.split(".")[1]
            async with session.post(f"/v1/{signal}", data=body) as answer:
                if answer.status != 200:  # noqa: PLR2004 - OK
                    words = await answer.text()
                    raise BridgeError(f"{name} was answered {answer.status}: {words}")


async def _assembled(config: Config) -> list[TraceView]:
    """The traces, once the session's turns are closed."""
    with contextlib.closing(ledger_reader(config)) as reader:
        while True:
            found = reader.find("")
            if found and not any(view.live for view in found):
                return found
            await asyncio.sleep(POLL_S)
