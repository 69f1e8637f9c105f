"""What an observation costs the bridge when what it tells of is in memory already: for gate 5.

That is what an SDK starts from too. Run as a program with the sink's URL and a corpus, it decodes
all records first, and then correlates, maps, encodes, compresses and posts them with the bridge's
own client; it prints the CPU seconds of that. The whole bridge, with receiving, both files and
decoding, is measured beside it (``gates.against_sdks``).
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.pipeline import Decoded, Pipeline, steps
from bridge.langfuse.client import LangfuseClient, LangfuseTarget, connect


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[LangfuseClient]:
    """A client whose connection is open: the SDKs are warm, too, when their time begins."""
    target = LangfuseTarget(base_url=url, public_key="pk-lf-b", secret_key="sk-lf-b")  # noqa: S106
    async with connect(target) as client:
        await client.probe()
        yield client


async def _observe(pipeline: Pipeline, decoded: list[list[Decoded]], url: str) -> float:
    """CPU seconds from the first record to the last answer."""
    async with _connected(url) as client:
        began_s = time.process_time()
        for step in decoded:
            for export in pipeline.exports(step):
                await _post(client, export)
        await _post(client, pipeline.rest())
        return time.process_time() - began_s


async def _post(client: LangfuseClient, export: bytes) -> None:
    answer = await client.post_spans(export)
    if answer.status != 200:
        raise ValueError(f"the sink answered {answer.status}: {answer.error}")


def main(url: str, path: Path) -> None:
    """Decode, then measure the rest."""
    pipeline = Pipeline()
    decoded = [pipeline.decode(step) for step in steps(path)]
    gc.freeze()  # a load of records that live on is the benchmark's, not the bridge's
    print(asyncio.run(_observe(pipeline, decoded, url)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
