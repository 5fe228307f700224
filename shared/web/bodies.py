"""The body of a request as the bytes that its sender meant: complete, decompressed, and within the limit.

Here: the deadline, the limit and the codings of bodies. aiohttp's own decompression is switched off (`protocol`): it
takes a stream that breaks off for a whole one, and ignores what follows its end. Not here: what the bytes say
(`decode`).
"""

import asyncio
import zlib
from typing import Final

from aiohttp import web

from shared.errors import Malformed

BODY_DEADLINE: Final = 60.0
"""Seconds for a body to come after the head of its request."""
CODINGS: Final = ("gzip", "deflate")
"""In which a body may be sent."""

_BODY: Final = web.RequestKey("body", bytes)
_PIECE: Final = 4096
"""Bytes that are decompressed at once. What follows the end of a gzip member is copied, so that one call for all would
take a time that is quadratic in the number of members."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


async def whole_body(request: web.Request) -> bytes:
    """Read it once; later calls return the same bytes.

    Raises Malformed, HTTPRequestEntityTooLarge, HTTPRequestTimeout, HTTPUnsupportedMediaType.
    """
    known: bytes | None = request.get(_BODY)
    if known is not None:
        return known
    coding = ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()  # RFC 9110, 5.3
    if coding not in ("", "identity", *CODINGS):
        raise web.HTTPUnsupportedMediaType
    body = await _as_sent(request)
    if body and coding in CODINGS:
        body = decompress(body, coding, limit=request.client_max_size)
    request[_BODY] = body
    return body


async def _as_sent(request: web.Request) -> bytes:
    length = request.content_length
    if length is not None and length > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, length)
    if request.content.is_eof():  # mostly it has come with the head
        return await request.read()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def decompress(raw: bytes, coding: str, *, limit: int) -> bytes:
    """Decompress gzip (RFC 1952: one member or several) or deflate (RFC 1950, or RFC 1951 without its frame).

    Never makes more than `limit` bytes and one. Raises Malformed, HTTPRequestEntityTooLarge.
    """
    window = _GZIP if coding == "gzip" else _ZLIB if _has_zlib_header(raw) else _RAW
    stream = zlib.decompressobj(window)
    body = bytearray()
    for start in range(0, len(raw), _PIECE):
        piece = raw[start : start + _PIECE]
        while piece:
            if stream.eof:
                if coding != "gzip":
                    raise Malformed("the body goes on after the end of its deflate data")
                stream = zlib.decompressobj(window)
            try:
                body += stream.decompress(piece, limit + 1 - len(body))
            except zlib.error:
                raise Malformed(f"the body's compression is damaged: not all of it is {coding} data") from None
            if len(body) > limit:
                raise web.HTTPRequestEntityTooLarge(limit, len(body))
            piece = stream.unused_data
    if not stream.eof:
        raise Malformed(f"the body's compression is incomplete: its {coding} data breaks off")
    return bytes(body)


def _has_zlib_header(raw: bytes) -> bool:
    """Some clients call the bare data `deflate`, without the frame that the name asks for (RFC 9110, 8.4.1.2)."""
    return len(raw) >= 2 and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0
