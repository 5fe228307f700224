"""How the client talks HTTP: one session, deadlines, retries of what is safe, problems turned into errors.

Safe to send again are GET, PUT and DELETE by their nature, and a POST that carries an Idempotency-Key, which
every creating call here does. Anything else is sent once.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from hodei.client.errors import ApiError, ClientError, UnexpectedAnswer, Unreachable
from hodei.client.sse import ServerSentEvent, parse_events
from schemas.rest.problem import Problem

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0
STEADY: Final = 1.0
"""Seconds after which a stream that was opened counts as whole, though nothing was sent."""

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line of an event stream: a platform's own are below the 8 MiB that a job's fields may have."""

T = TypeVar("T")
Query = Mapping[str, str | int | float | Sequence[str] | None]


class Transport:
    """An HTTP session with one service; `name` is that of the service, for messages.

    `timeout` is seconds for one answer, `attempts` how often a safe request is sent in all, `patience` for how many
    seconds a stream may be broken before it is given up.
    """

    def __init__(
        self, base_url: str | URL, *, timeout: float, attempts: int, patience: float = 60.0, name: str = "service"
    ) -> None:
        self.base_url = URL(base_url)
        self._name = name
        self._timeout, self._attempts, self._patience = timeout, attempts, patience
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections; the transport can be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Query | None = None,
        creates: bool = False,
        accept: str = "application/json",
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> "Answer":
        """Send a request and return its successful answer.

        Raises ApiError for a problem, Unreachable when no service answered within the deadline.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if creates:
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        attempts = self._attempts if creates or method != "POST" else 1
        received = False
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._send(method, path, body, query, headers, timeout or self._timeout)
            except (aiohttp.ClientError, TimeoutError) as error:
                received = received or not isinstance(error, aiohttp.ClientConnectorError)
                if attempt == attempts:
                    words = _why(error) or "no answer in time"
                    raise Unreachable(f"{self.base_url}: {words}", perhaps_received=received) from error
                await asyncio.sleep(_delay(attempt))
                continue
            if answer.status < 400:
                return answer
            received = received or answer.status >= 500
            if answer.status in RETRIED_STATUSES and attempt < attempts:
                await asyncio.sleep(max(_delay(attempt), min(answer.retry_after, LONGEST_DELAY)))
                continue
            raise ApiError(answer.problem(), perhaps_received=received)
        raise AssertionError("unreachable: the loop returns or raises")

    async def stream(
        self, path: str, *, query: Query | None = None, last_id: str | None = None
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield a stream's events up to the one named `end`, resuming after the last one whenever it breaks: the
        connection ends, or the service answers that it is away (429, 502, 503, 504).

        Raises ApiError for a refusal, UnexpectedAnswer for what is not an event stream or has a line over LONGEST_LINE,
        and what went wrong last when the stream has been broken for `patience` seconds (ApiError or Unreachable).
        """
        clock = asyncio.get_running_loop().time
        whole_at, failures = clock(), 0
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            pause, broken, opened_at = 0.0, ClientError(), float("inf")
            try:
                async with self._listen(path, query, headers) as response:
                    if response.status >= 400:
                        answer = Answer(self, response.status, path, await response.read(), dict(response.headers))
                        pause, broken = min(answer.retry_after, LONGEST_DELAY), ApiError(answer.problem())
                        if response.status not in RETRIED_STATUSES:
                            raise broken
                    elif response.content_type != "text/event-stream":
                        raise self.unexpected(f"GET {path} was answered with {response.content_type}")
                    else:
                        opened_at = clock()
                        async for event in parse_events(_lines(response.content)):
                            whole_at, failures = clock(), 0
                            last_id = event.id or last_id
                            yield event
                            if event.event == "end":
                                return
                        broken = Unreachable(f"{self.base_url}: the stream ended too early")
            except LineTooLong as error:
                raise self.unexpected(f"GET {path} has a line of more than {LONGEST_LINE} bytes") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                broken = Unreachable(f"{self.base_url}: {_why(error) or 'the stream fell silent'}")
                broken.__cause__ = error
            if clock() - opened_at >= STEADY:  # a quiet stream is whole, too
                whole_at, failures = clock(), 0
            failures += 1
            if clock() - whole_at >= self._patience:
                raise broken
            await asyncio.sleep(max(_delay(failures), pause))

    def read(self, model: type[T], body: bytes | str) -> T:
        """Validate what the service sent; fields that this version does not know are passed over. Raises
        UnexpectedAnswer."""
        try:
            found: T = _adapter(model).validate_json(body, extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self.unexpected(": ".join(filter(None, [where, first["msg"]]))) from error
        return found

    def unexpected(self, how: str) -> UnexpectedAnswer:
        """The error for an answer that this service would not give."""
        return UnexpectedAnswer(f"{self.base_url} is not Hodei's {self._name}, or one of another version: {how}")

    async def _send(
        self, method: str, path: str, body: bytes | None, query: Query | None, headers: dict[str, str], timeout: float
    ) -> "Answer":
        async with self._open().request(
            method,
            self.base_url.join(URL(path, encoded=True)),
            data=body,
            params=_clean(query),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            return Answer(self, response.status, path, await response.read(), dict(response.headers))

    def _listen(
        self, path: str, query: Query | None, headers: dict[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._open().get(
            self.base_url.join(URL(path)),
            params=_clean(query),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=60),
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100))
        return self._session


class Answer:
    """A whole HTTP answer of a service."""

    def __init__(self, service: Transport, status: int, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.service = service
        self.status, self.path, self.body, self.headers = status, path, body, headers

    def read(self, model: type[T]) -> T:
        """What the body holds. Raises UnexpectedAnswer."""
        return self.service.read(model, self.body)

    @property
    def retry_after(self) -> float:
        """Seconds that the service asks to wait; 0 when it does not."""
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isdigit() else 0.0

    @property
    def next_page(self) -> str | None:
        """The path and query of the next page, from the Link header (RFC 8288)."""
        for link in self.headers.get("Link", "").split(","):
            target, _, parameters = link.partition(";")
            if 'rel="next"' in parameters:
                return target.strip().removeprefix("<").removesuffix(">")
        return None

    def problem(self) -> Problem:
        """The problem that a failed answer carries, or one made of its status."""
        return _problem(self.status, self.path, self.body)


_adapter: Final[Callable[[Any], TypeAdapter[Any]]] = cache(TypeAdapter)
"""The validator of a model: each is made once."""


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while line := await content.readline(max_line_length=LONGEST_LINE):
        yield line


def _problem(status: int, path: str, body: bytes) -> Problem:
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        text = body[:200].decode(errors="replace") or "no details"
        return Problem(title="Unexpected answer", status=status, detail=text, instance=path)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.strerror or error}: is the platform up?"
    return str(error)


def _clean(query: Query | None) -> list[tuple[str, str]]:
    """The parameters as they are sent: without those that are None, and once for each value of a sequence."""
    return [
        (name, str(one))
        for name, value in (query or {}).items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if one is not None
    ]


def _delay(attempt: int) -> float:
    return min(FIRST_DELAY * 2.0 ** (attempt - 1), LONGEST_DELAY)
