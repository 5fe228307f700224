"""Answers that are too large to be made in one go: written piece by piece, with room for others in between.

Here: sending the pieces. Not here: live streams (`sse`), and what the pieces are.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from shared.web.slow_clients import WRITE_DEADLINE, write_deadline


async def send_pieces(
    request: web.Request,
    content_type: str,
    pieces: AsyncIterator[bytes],
    *,
    deadline: float = WRITE_DEADLINE,
) -> web.StreamResponse:
    """Answer 200 with the pieces, one after the other; the client has `deadline` seconds to read each.

    The first is made before the answer begins, so that what fails until then is an ordinary problem; what fails later
    cuts the connection, which says that the answer is not whole.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type})
    first = await anext(pieces, b"")
    await response.prepare(request)
    if request.method != "HEAD":
        async with write_deadline(request, deadline):
            await response.write(first)
        async for piece in pieces:
            async with write_deadline(request, deadline):
                await response.write(piece)
            await asyncio.sleep(0)  # a reader as fast as we are would keep the loop to itself
    async with write_deadline(request, deadline):
        await response.write_eof()
    return response
