"""HTTP clients whose every answer is held against the service's own OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import BinaryIO

import aiohttp

from hodei.client import Client
from hodei.client.transport import Answer, Query, Transport
from tests.e2e.framework.openapi import OpenApiCheck


class CheckedTransport(Transport):
    """The client's transport, checking what it receives."""

    def __init__(self, base_url: str, check: OpenApiCheck, *, timeout: float) -> None:
        super().__init__(base_url, timeout=timeout, attempts=4)
        self._check = check

    async def _send(
        self, method: str, path: str, body: bytes | None, query: Query | None, headers: dict[str, str], timeout: float
    ) -> Answer:
        answer = await super()._send(method, path, body, query, headers, timeout)
        self._check.check(method, path, answer.status, answer.headers.get("Content-Type", ""), answer.body)
        return answer

    @asynccontextmanager
    async def _listen(
        self, path: str, query: Query | None, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with super()._listen(path, query, headers) as response:
            # Only the beginning of a stream is in the document; its events the client reads as their models.
            body = await response.read() if response.status >= 400 else b""
            self._check.check("GET", path, response.status, response.headers.get("Content-Type", ""), body)
            yield response


class RawHttp:
    """Plain HTTP to one service, for what a well-behaved client never sends."""

    def __init__(self, base_url: str, check: OpenApiCheck, session: aiohttp.ClientSession) -> None:
        self.base_url, self._check, self._session = base_url, check, session

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        data: bytes | str | BinaryIO | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawAnswer:
        async with self._session.request(
            method, self.base_url + path, data=data, json=json, headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            self._check.check(method, path, response.status, response.headers.get("Content-Type", ""), body)
            return RawAnswer(response.status, response.headers.copy(), body)


class RawAnswer:
    """Status, headers (case-insensitive) and body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> object:
        import json

        return json.loads(self.body)


def checked_client(urls: Mapping[str, str], checks: Mapping[str, OpenApiCheck], *, timeout: float) -> Client:
    """A `hodei.client.Client` whose answers are checked."""
    client = Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"], timeout=timeout)
    client.orchestrator = CheckedTransport(urls["orchestrator"], checks["orchestrator"], timeout=timeout)
    client.scheduler = CheckedTransport(urls["scheduler"], checks["scheduler"], timeout=timeout)
    client.worker_manager = CheckedTransport(urls["worker_manager"], checks["worker_manager"], timeout=timeout)
    return client
