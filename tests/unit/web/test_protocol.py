"""What is refused before any handler sees it is answered with a problem document, too."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from shared.telemetry import Metrics
from shared.web import WebServer

MakeApp = Callable[..., web.Application]
THINGS = "/api/v1/things"
BODY = b'{"name": "a"}'


def request(method: str = "GET", target: str = "/health", body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def posted(body: bytes = BODY, **headers: str) -> bytes:
    return request("POST", THINGS, body, **headers)


async def ask(app: web.Application, raw: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send bytes; the status, the headers and the problem that come back."""
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
    finally:
        await server.stop()
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return int(first.split()[1]), headers, json.loads(body)


UNREADABLE = {
    "a path and query over 8 KB": (414, request(target="/health?" + "x" * 9000)),
    "a path of two megabytes": (414, request(target="/" + "x" * 2_000_000)),
    "a header field over 16 KB": (431, request(X_Large="x" * 20_000)),
    "two hundred header fields": (431, request(**{f"X_{number}": "1" for number in range(200)})),
    "an encoding that needs a library": (415, posted(Content_Encoding="br")),
    "another one": (415, posted(Content_Encoding="zstd")),
    "an encoding that does not exist": (415, posted(Content_Encoding="foo")),
    "two encodings": (415, posted(Content_Encoding="gzip, gzip")),
    "a body that is not gzip": (400, posted(Content_Encoding="gzip")),
    "a body that is not deflate": (400, posted(Content_Encoding="deflate")),
    "an expectation": (417, posted(Expect="something")),
    "an expectation of no route": (417, request(target="/nowhere", Expect="something")),
    "UTF-8 in the path": (400, request(target="/é")),
    "UTF-8 in the query": (400, request(target=f"{THINGS}?name=é")),
    "NUL in the path": (400, request(target="/a\0b")),
    "NUL in the query": (400, request(target=f"{THINGS}?name=\0")),
    "an encoded NUL in the query": (422, request(target=f"{THINGS}?name=%00")),
    "an encoded NUL in the path": (404, request(target=f"{THINGS}/%00")),
    "OPTIONS": (405, request("OPTIONS", THINGS)),
    "OPTIONS of everything": (404, request("OPTIONS", "*")),
    "TRACE": (405, request("TRACE", THINGS)),
    "CONNECT": (404, request("CONNECT", "localhost:80")),
    "a known method": (405, request("PROPFIND", THINGS)),
    "an unknown method": (400, request("FOO", THINGS)),
    "a method in small letters": (400, request("get", THINGS)),
    "no target": (400, request(target="")),
    "a target without a slash": (400, request(target="health")),
    "no colon in a header": (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
    "a version that does not exist": (400, b"GET / HTTP/9000\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
    "a length that is not a number": (400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"),
    "a length and chunks": (400, posted(Transfer_Encoding="chunked")),
    "a chunk without a size": (
        400,
        b"POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_is_a_problem_all_the_same(make_app: MakeApp, what: str) -> None:
    expected, raw = UNREADABLE[what]
    status, headers, problem = await ask(make_app(), raw)
    assert (status, problem["status"]) == (expected, expected)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["server"] == "hodei"
    assert problem["detail"]
    if status == 405:
        assert headers["allow"] == "GET, HEAD, POST"
    if status == 415:
        assert headers["accept-encoding"] == "gzip, deflate"


async def test_what_is_refused_is_counted(make_app: MakeApp, metrics: Metrics) -> None:
    await ask(make_app(), request(target="/" + "x" * 9000))
    count = metrics.value("hodei_http_requests_total", method="OTHER", route="unmatched", status="414")
    assert count == 1
