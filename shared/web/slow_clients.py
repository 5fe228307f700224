"""The deadline for writing a part of a response to a client that does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

WRITE_DEADLINE: Final = 30.0


@asynccontextmanager
async def write_deadline(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Use around one write of a response. If the client does not read within `seconds`, the connection is aborted and
    its buffers are freed. Raises ConnectionResetError then."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client does not read the response") from None
