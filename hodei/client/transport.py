"""The client's HTTP: one session for each service, deadlines, retries of safe requests, problems raised as errors.

GET, PUT, PATCH and DELETE are safe to send again, and so is a POST with an Idempotency-Key, which every creating call
has, or one that is `repeatable`. Other requests are sent once, unless they were turned away (429): that had no effect.
"""

import asyncio
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from hodei.client.errors import ApiError, ClientError, UnexpectedAnswer, Unreachable
from hodei.client.sse import ServerSentEvent, parse_events
from schemas.rest.problem import Problem

UNAUTHORIZED: Final = 401
TURNED_AWAY: Final = 429
RETRIED_STATUSES: Final = frozenset({TURNED_AWAY, 502, 503, 504})
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0
NO_TOKEN: Final = "no token was sent: set HODEI_TOKEN, or log in with hodei login URL"
STEADY: Final = 1.0
"""Seconds after which an open stream counts as working although it sent nothing."""

LONGEST_LINE: Final = 16 * 1024 * 1024
"""The most bytes of one line of an event stream. The platform's own lines are below the 8 MiB that a job's fields may
have."""

T = TypeVar("T")
Query = Mapping[str, str | int | float | Sequence[str] | None]


class Transport:
    """An HTTP session with one service, below its address `base_url`; `name` is the service's name, for messages.

    `timeout` is the deadline of one response in seconds, `attempts` the most times that a safe request is sent. A
    request that was turned away is sent again after as long as the service asks for, while that ends within `timeout`;
    with one attempt, never. `patience` is the number of seconds for which a stream is resumed after it broke.
    `on_retry` is called with the error before a request is sent again. `token` is sent with each request; `token_from`
    is where it comes from, for messages. `tls` is what an https:// service is verified with, by default the system's
    certificates.
    """

    def __init__(
        self,
        base_url: str | URL,
        *,
        timeout: float,
        attempts: int,
        patience: float = 60.0,
        name: str = "service",
        on_retry: Callable[[ClientError], None] = lambda _: None,
        token: str | None = None,
        token_from: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.base_url = URL(base_url)
        self._root = self.base_url.with_path(self.base_url.raw_path.rstrip("/") + "/", encoded=True)
        self._name = name
        self._timeout, self._attempts, self._patience = timeout, attempts, patience
        self._on_retry = on_retry
        self._token, self._token_from, self._tls = token, token_from, tls
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
        repeatable: bool = False,
        accept: str = "application/json",
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> "Answer":
        """Send a request and return its successful response. A `repeatable` POST has no further effect when it is sent
        again.

        Raises ApiError for a problem, and Unreachable when no service answered within the deadline.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if creates:
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        attempts = self._attempts if creates or repeatable or method != "POST" else 1
        within = timeout or self._timeout
        clock = asyncio.get_running_loop().time
        give_up = clock() + within if self._attempts > 1 else float("-inf")
        received, failures, refusals = False, 0, 0
        while True:
            try:
                answer = await self._send(method, path, body, query, headers, within)
            except aiohttp.ClientConnectorCertificateError as error:
                raise self._untrusted(error) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                received = received or not isinstance(error, aiohttp.ClientConnectorError)
                failures += 1
                words = _why(error) or "no answer in time"
                failure: ClientError = Unreachable(f"{self.base_url}: {words}", perhaps_received=received)
                if failures == attempts:
                    raise failure from error
                pause = _delay(failures)
            else:
                if answer.status < 400:
                    return answer
                received = received or answer.status >= 500
                failure = self._refusal(answer, perhaps_received=received)
                if answer.status == TURNED_AWAY:
                    refusals += 1
                    pause = max(_delay(refusals), answer.retry_after)
                    if clock() + pause > give_up:
                        raise failure
                elif answer.status in RETRIED_STATUSES:
                    failures += 1
                    pause = max(_delay(failures), min(answer.retry_after, LONGEST_DELAY))
                    if failures == attempts:
                        raise failure
                else:
                    raise failure
            self._on_retry(failure)
            await asyncio.sleep(pause)

    async def answer(self, path: str, *, headers: Mapping[str, str] | None = None) -> "Answer":
        """The response to a GET, whatever its status; asked once. Raises Unreachable."""
        try:
            return await self._send("GET", path, None, None, dict(headers or {}), self._timeout)
        except aiohttp.ClientConnectorCertificateError as error:
            raise self._untrusted(error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{self.base_url}: {_why(error) or 'no answer in time'}") from error

    async def stream(
        self, path: str, *, query: Query | None = None, last_id: str | None = None, live: bool = True
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield the events of a stream up to the one named `end`. A stream that breaks is resumed after the last id
        that it sent: when the connection ends, or the service is temporarily away (429, 502, 503, 504).

        Raises ApiError for a refusal, and UnexpectedAnswer if the response is not an event stream or has a line over
        LONGEST_LINE. After `patience` seconds without a working stream, raises the last error (ApiError or
        Unreachable). A stream that is not `live` is given up like a request if it has no event after `attempts`.
        """
        clock = asyncio.get_running_loop().time
        whole_at, failures, begun = clock(), 0, live

        def remember(id: str) -> None:
            nonlocal last_id
            last_id = id

        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            pause, broken, opened_at = 0.0, ClientError(), float("inf")
            try:
                async with self._listen(path, query, headers) as response:
                    with _hang_up(response):
                        if response.status >= 400:
                            answer = Answer(self, response.status, path, await response.read(), dict(response.headers))
                            most = self._patience if answer.status == TURNED_AWAY else LONGEST_DELAY
                            pause, broken = min(answer.retry_after, most), self._refusal(answer)
                            if response.status not in RETRIED_STATUSES:
                                raise broken
                        elif response.content_type != "text/event-stream":
                            raise self.unexpected(f"GET {path} was answered with {response.content_type}")
                        else:
                            opened_at = clock()
                            async for event in parse_events(_lines(response.content), on_id=remember):
                                whole_at, failures, begun = clock(), 0, True
                                yield event
                                if event.event == "end":
                                    return
                            broken = Unreachable(f"{self.base_url}: the stream ended too early")
            except LineTooLong as error:
                raise self.unexpected(f"GET {path} has a line of more than {LONGEST_LINE} bytes") from error
            except aiohttp.ClientConnectorCertificateError as error:
                raise self._untrusted(error) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                broken = Unreachable(f"{self.base_url}: {_why(error) or 'the stream stopped sending'}")
                broken.__cause__ = error
            if clock() - opened_at >= STEADY:  # a quiet stream works, too
                whole_at, failures = clock(), 0
            failures += 1
            if clock() - whole_at >= self._patience or (failures >= self._attempts and not begun):
                raise broken
            self._on_retry(broken)
            await asyncio.sleep(max(_delay(failures), pause))

    def read(self, model: type[T], body: bytes | str) -> T:
        """Validate a response body; fields that this version does not know are ignored. Raises UnexpectedAnswer."""
        try:
            found: T = _adapter(model).validate_json(body, extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self.unexpected(": ".join(filter(None, [where, first["msg"]]))) from error
        return found

    def unexpected(self, how: str) -> UnexpectedAnswer:
        """The error for a response that this service would not give."""
        return UnexpectedAnswer(f"{self.base_url} is not Hodei's {self._name}, or has another version: {how}")

    def _refusal(self, answer: "Answer", *, perhaps_received: bool = False) -> ApiError:
        """The error for a failed response. With 401 it names the token, or where one could come from."""
        hint = ""
        if answer.status == UNAUTHORIZED:
            hint = f"the token came from {self._token_from}" if self._token else self._without_token()
        return ApiError(answer.problem(), perhaps_received=perhaps_received, hint=hint)

    def _without_token(self) -> str:
        return f"no token was sent: {self._token_from}" if self._token_from else NO_TOKEN

    def _untrusted(self, error: aiohttp.ClientConnectorCertificateError) -> Unreachable:
        reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return Unreachable(
            f"{self.base_url}: its certificate is not trusted: {reason}; name its CA with --ca or HODEI_CA"
        )

    async def _send(
        self, method: str, path: str, body: bytes | None, query: Query | None, headers: dict[str, str], timeout: float
    ) -> "Answer":
        async with self._open().request(
            method,
            self._at(path, encoded=True),
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
            self._at(path),
            params=_clean(query),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=60),
        )

    def _at(self, path: str, *, encoded: bool = False) -> URL:
        """The URL of a path of the service, below the path of its address."""
        return self._root.join(URL(path.removeprefix("/"), encoded=encoded))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            connector = aiohttp.TCPConnector(limit=100, ssl=self._tls or True)
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self._session


class Answer:
    """A complete HTTP response of a service."""

    def __init__(self, service: Transport, status: int, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.service = service
        self.status, self.path, self.body, self.headers = status, path, body, headers

    def read(self, model: type[T]) -> T:
        """The body as a model. Raises UnexpectedAnswer."""
        return self.service.read(model, self.body)

    @property
    def retry_after(self) -> float:
        """Seconds that the service asks the client to wait (Retry-After); 0 when it does not."""
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isdigit() else 0.0

    @property
    def next_page(self) -> str | None:
        """The path and query of the next page, from the Link header (RFC 8288). The path is that of this page: the one
        in the header may lack what a proxy puts in front of it, or may have it."""
        for target, parameters in _LINK.findall(self.headers.get("Link", "")):  # a target may have commas of its own
            if 'rel="next"' in parameters:
                return f"{self.path.partition('?')[0]}?{target.partition('?')[2]}"
        return None

    def problem(self) -> Problem:
        """The problem document of a failed response, or one made from its status."""
        return _problem(self.status, self.path, self.body)


@contextmanager
def _hang_up(response: aiohttp.ClientResponse) -> Iterator[None]:
    """End the connection of a response that is left before its end. Closing it politely is not enough: over TLS that
    waits up to 30 s for the server's farewell, and an event loop that ends meanwhile leaves the socket open.

    It is no asynchronous generator: an event loop that ends closes all of these at once, the inner ones first.
    """
    try:
        yield
    finally:
        connection = response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


_LINK: Final = re.compile(r"<([^>]*)>([^<]*)")

_adapter: Final[Callable[[Any], TypeAdapter[Any]]] = cache(TypeAdapter)
"""The validator of a model, cached."""


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
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"TLS failed ({error.strerror or error}); the address of a service without TLS begins with http://"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.strerror or error}: is the platform up?"
    return str(error)


def _clean(query: Query | None) -> list[tuple[str, str]]:
    """The query parameters to send: None is left out, and a sequence becomes one parameter for each value."""
    return [
        (name, str(one))
        for name, value in (query or {}).items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if one is not None
    ]


def _delay(attempt: int) -> float:
    return min(FIRST_DELAY * 2.0 ** (attempt - 1), LONGEST_DELAY)
