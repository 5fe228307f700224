"""Reads the body of a request: complete, decompressed, and within the limit.

Here: the deadline, the limit and the codings of bodies. aiohttp's own decompression is switched off (`protocol`): it
accepts truncated data as complete, and ignores data after the end. Not here: decoding the bytes (`decode`).
"""

import asyncio
import zlib
from typing import Final

from aiohttp import web

from shared.errors import Malformed

BODY_DEADLINE: Final = 60.0
"""Seconds within which a body must arrive after the request's headers."""
CODINGS: Final = ("gzip", "deflate")
"""The values of `Content-Encoding` that a body may have."""

_BODY: Final = web.RequestKey("body", bytes)
_PIECE: Final = 4096
"""Bytes that are decompressed in one call. zlib copies the bytes after the end of a gzip member, so one call for the
whole body would take time quadratic in the number of members."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


async def whole_body(request: web.Request) -> bytes:
    """Read the body. Later calls return the same bytes.

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
    if request.content.is_eof():  # the usual case: the body has arrived with the headers
        return await request.read()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def decompress(raw: bytes, coding: str, *, limit: int) -> bytes:
    """Decompress gzip (RFC 1952: one member or several) or deflate (RFC 1950, or RFC 1951 without the zlib header).

    Produces at most `limit` + 1 bytes. Raises Malformed, HTTPRequestEntityTooLarge.
    """
    window = _GZIP if coding == "gzip" else _ZLIB if _has_zlib_header(raw) else _RAW
    stream = zlib.decompressobj(window)
    body = bytearray()
    for start in range(0, len(raw), _PIECE):
        piece = raw[start : start + _PIECE]
        while piece:
            if stream.eof:
                if coding != "gzip":
                    raise Malformed("the body continues after the end of its deflate data")
                stream = zlib.decompressobj(window)
            try:
                body += stream.decompress(piece, limit + 1 - len(body))
            except zlib.error:
                raise Malformed(f"the body's compression is damaged: not all of it is {coding} data") from None
            if len(body) > limit:
                raise web.HTTPRequestEntityTooLarge(limit, len(body))
            piece = stream.unused_data
    if not stream.eof:
        raise Malformed(f"the body's compression is incomplete: its {coding} data ends too early")
    return bytes(body)


def _has_zlib_header(raw: bytes) -> bool:
    """Whether deflate data has the zlib header that RFC 9110, 8.4.1.2 requires; some clients omit it."""
    return len(raw) >= 2 and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0
