"""Reading the body of a request within its limits.

Responsible for: size, time and memory of a body while it comes. Left to others: what is in it.
"""

import asyncio
from io import BytesIO
from typing import Final, NamedTuple

from aiohttp import StreamReader, web

from bridge.receive.budget import Share
from bridge.receive.request import Refusal, RefusedError, check_size

BODY_IDLE_TIMEOUT_S: Final = 10.0
"""A body of which nothing comes for so long is given up, as the client has done by then. Chunks
found malformed while a body is being read need it too: aiohttp does not tell the reader."""

BODY_TIMEOUT_S: Final = 60.0
"""For a whole body, however steadily it trickles: 64 MiB at 10 Mbit/s."""


class BodyLimits(NamedTuple):
    """Of one body, on the wire; ``body_bytes`` inflated too."""

    body_bytes: int
    idle_timeout_s: float = BODY_IDLE_TIMEOUT_S
    timeout_s: float = BODY_TIMEOUT_S


async def read_body(request: web.Request, limits: BodyLimits, share: Share) -> bytes:
    """Read a body of at most ``limits.body_bytes``, of announced length or chunked.

    Raises:
        RefusedError: It is larger, or did not come whole.
        IntakeUnavailableError: Other bodies fill the memory for now.
    """
    check_size(request.content_length or 0, limits.body_bytes)
    await share.announce(request.content_length or 0)
    try:
        async with asyncio.timeout(limits.idle_timeout_s) as idle:
            return await _read_chunks(request.content, limits, share, idle)
    except (web.RequestPayloadError, OSError) as error:  # a TimeoutError is an OSError too
        text = "The body ended early, came too slowly, or its chunks are malformed."
        raise RefusedError(Refusal.INCOMPLETE, text) from error


async def _read_chunks(
    content: StreamReader, limits: BodyLimits, share: Share, idle: asyncio.Timeout
) -> bytes:
    # A BytesIO grows in place and gives its buffer away; chunks to be joined would be there twice.
    body = BytesIO()
    now_s = asyncio.get_running_loop().time
    end_s = now_s() + limits.timeout_s
    async for chunk in content.iter_any():
        size_bytes = body.tell() + len(chunk)
        check_size(size_bytes, limits.body_bytes)
        share.grow(size_bytes)
        body.write(chunk)
        idle.reschedule(min(now_s() + limits.idle_timeout_s, end_s))
    return body.getvalue()
