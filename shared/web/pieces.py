"""Responses that are too large to be made at once: sent in pieces, between which other requests get their turn.

Here: sending the pieces. Not here: live streams (`sse`), and making the pieces.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from shared.web.slow_clients import WRITE_DEADLINE, write_deadline


async def send_pieces(
    request: web.Request,
    content_type: str,
    pieces: AsyncIterator[bytes],
    *,
    headers: Mapping[str, str] | None = None,
    deadline: float = WRITE_DEADLINE,
) -> web.StreamResponse:
    """Respond 200 with the pieces, one after the other. The client has `deadline` seconds to read each.

    The first piece is made before the response begins, so that an error until then gives an ordinary problem document.
    A later error cuts the connection, which shows the client that the response is incomplete.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
    first = await anext(pieces, b"")
    await response.prepare(request)
    if request.method != "HEAD":
        async with write_deadline(request, deadline):
            await response.write(first)
        async for piece in pieces:
            async with write_deadline(request, deadline):
                await response.write(piece)
            await asyncio.sleep(0)  # with a fast reader nothing else would yield to the event loop
    async with write_deadline(request, deadline):
        await response.write_eof()
    return response
