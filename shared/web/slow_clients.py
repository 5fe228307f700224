"""Clients that do not read: how long a part of an answer may take to be written, and what happens then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

WRITE_DEADLINE: Final = 30.0


@asynccontextmanager
async def write_deadline(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Around one write of an answer. Where the client does not read for so long, its connection is cut, and so nothing
    is kept for it any more. Raises ConnectionResetError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client does not read its answer") from None
