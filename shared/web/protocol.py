"""Requests that never reach a handler, because they are not HTTP or because aiohttp refuses them itself.

Here: answering these with problem documents too, instead of aiohttp's plain text, and waiting a moment before closing
such a connection, so that the client can read the response. Not here: the status (`problems`).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

MAX_TARGET: Final = 8190
"""Most bytes of a request's target (path and query); more get 414."""
MAX_FIELD: Final = 16380
"""Most bytes of one header field; more get 431. It differs from MAX_TARGET, by which the two errors are told apart."""
LINGER: Final = 1.0
"""Seconds to read the response before the connection is closed, as the kernel resets it if the client still sends."""

Refuse = Callable[[web.BaseRequest, Exception], web.Response]


class ProblemRunner(web.AppRunner):
    """An AppRunner whose connections answer all errors with problem documents; `refuse` makes them."""

    def __init__(self, app: web.Application, *, refuse: Refuse, **options: Any) -> None:
        super().__init__(
            app, auto_decompress=False, max_line_size=MAX_TARGET, max_field_size=MAX_FIELD, **options
        )  # `bodies` decompresses
        self._refuse = refuse

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(self._refuse, server)


class _Server(web.Server):
    """As the server that it is made from, but with `_Connection`s."""

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
        if not self._broken:  # after a parse error, the rest cannot be divided into requests
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
        """aiohttp calls this, with a placeholder request, for data that its parser could not read."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response is already sent")
        self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
        self._broken = True
        response = self._refuse(request, exc if isinstance(exc, Exception) else RuntimeError(message or status))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """aiohttp also calls this with errors that it raised before our code ran, as for an unknown `Expect`."""
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
