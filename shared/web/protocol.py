"""Requests that never reach a handler, because they are not HTTP or because aiohttp refuses them itself.

Here: making problem documents of these too, in the place of aiohttp's plain text, and waiting a moment before such a
connection is closed, so that the client can read why. Not here: which status that is (`problems`).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

MAX_TARGET: Final = 8190
"""Bytes of a request's target: path and query. More are 414."""
MAX_FIELD: Final = 16380
"""Bytes of one header field. More are 431; this is not the limit of the target, so that the two can be told apart."""
LINGER: Final = 1.0
"""Seconds in which a client may read its answer, before what it still sends makes the kernel reset the connection."""

Refuse = Callable[[web.BaseRequest, Exception], web.Response]


class ProblemRunner(web.AppRunner):
    """An AppRunner whose connections answer everything with problem documents; `refuse` makes them."""

    def __init__(self, app: web.Application, *, refuse: Refuse, **options: Any) -> None:
        super().__init__(
            app, auto_decompress=False, max_line_size=MAX_TARGET, max_field_size=MAX_FIELD, **options
        )  # `bodies` decompresses
        self._refuse = refuse

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(self._refuse, server)


class _Server(web.Server):
    """As the one that it is made of, with connections of ours."""

    def __init__(self, refuse: Refuse, of: web.Server) -> None:
        super().__init__(of.request_handler, request_factory=of.request_factory, loop=of._loop, **of._kwargs)
        self.refuse = refuse

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, refuse=self.refuse, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_broken", "_over", "_refuse")

    def __init__(self, manager: web.Server, *, refuse: Refuse, **options: Any) -> None:
        super().__init__(manager, **options)
        self._refuse = refuse
        self._broken = False
        self._over: asyncio.Future[None] = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        if not self._broken:  # else nothing that comes can be told apart any more
            super().data_received(data)

    def eof_received(self) -> None:
        super().eof_received()
        self._ended()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._ended()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called for what the parser could not read, with a request that stands for it."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is out already")
        self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
        self._broken = True
        response = self._refuse(request, exc if isinstance(exc, Exception) else RuntimeError(message or status))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Also called with what aiohttp raised before any of our code ran: an `Expect` that it does not know."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = self._refuse(request, resp)
        finished = await super().finish_response(request, resp, start_time)
        if self._broken and self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            await asyncio.wait({self._over}, timeout=LINGER)
        return finished

    def _ended(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
