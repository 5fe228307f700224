"""Compressed bodies: read whole or refused, and never inflated beyond the limit."""

import gzip
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from shared.errors import Malformed
from shared.web import WebServer
from shared.web.bodies import decompress

LIMIT = 2000
BODY = b'{"name": "a"}'
NOISE = random.Random(7).randbytes(9000)


def bare(body: bytes) -> bytes:
    """Deflate data without the frame of zlib."""
    return zlib.compress(body, wbits=-zlib.MAX_WBITS)


WHOLE = {
    "gzip": ("gzip", gzip.compress(BODY)),
    "gzip in capital letters": ("GZIP", gzip.compress(BODY)),
    "gzip of several members": ("gzip", gzip.compress(BODY[:5]) + gzip.compress(b"") + gzip.compress(BODY[5:])),
    "deflate": ("deflate", zlib.compress(BODY)),
    "deflate without its frame": ("deflate", bare(BODY)),
    "no compression": ("identity", BODY),
}

_WRONG_SUM = bytearray(gzip.compress(BODY))
_WRONG_SUM[-8] ^= 1

BROKEN = {
    "gzip without its trailer": ("gzip", gzip.compress(BODY)[:-8], "incomplete"),
    "gzip without its last byte": ("gzip", gzip.compress(BODY)[:-1], "incomplete"),
    "the head of gzip alone": ("gzip", gzip.compress(BODY)[:10], "incomplete"),
    "one byte": ("gzip", b"\x1f", "incomplete"),
    "gzip, the second member broken off": ("gzip", gzip.compress(BODY) + gzip.compress(BODY)[:-3], "incomplete"),
    "gzip with a wrong checksum": ("gzip", bytes(_WRONG_SUM), "damaged"),
    "gzip with something behind": ("gzip", gzip.compress(BODY) + b"more", "damaged"),
    "gzip with zeros behind": ("gzip", gzip.compress(BODY) + bytes(4), "damaged"),
    "not gzip": ("gzip", BODY, "damaged"),
    "deflate without its checksum": ("deflate", zlib.compress(BODY)[:-4], "incomplete"),
    "deflate with a wrong checksum": ("deflate", zlib.compress(BODY)[:-1] + b"\0", "damaged"),
    "deflate with something behind": ("deflate", zlib.compress(BODY) + b"more", "continues"),
    "bare deflate with something behind": ("deflate", bare(BODY) + b"more", "continues"),
    "bare deflate broken off": ("deflate", bare(BODY)[:-2], "incomplete"),
    "not deflate": ("deflate", BODY, "damaged"),
}


async def post(app: web.Application, body: bytes, *codings: str) -> tuple[int, dict[str, Any]]:
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    try:
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{server.port}/api/v1/things"
            async with session.post(url, data=body, headers=[("Content-Encoding", one) for one in codings]) as response:
                return response.status, await response.json(content_type=None)
    finally:
        await server.stop()


@pytest.mark.parametrize("what", WHOLE)
async def test_a_compressed_body_is_read(make_app: Callable[..., web.Application], what: str) -> None:
    coding, body = WHOLE[what]
    status, thing = await post(make_app(), body, coding)
    assert (status, thing.get("name")) == (201, "a")


@pytest.mark.parametrize("what", BROKEN)
async def test_a_body_whose_compression_is_broken_is_400(make_app: Callable[..., web.Application], what: str) -> None:
    coding, body, words = BROKEN[what]
    status, problem = await post(make_app(), body, coding)
    assert (status, problem["type"]) == (400, "urn:hodei:problem:malformed")
    assert words in problem["detail"]
    assert coding in problem["detail"]


@pytest.mark.parametrize("codings", [("gzip", "gzip"), ("gzip", "br"), ("identity", "gzip")])
async def test_no_header_of_several_is_ignored(
    make_app: Callable[..., web.Application], codings: tuple[str, str]
) -> None:
    status, _ = await post(make_app(), gzip.compress(BODY) if codings[0] == "gzip" else BODY, *codings)
    assert status == 415


async def test_no_bytes_are_no_body_whatever_their_coding(make_app: Callable[..., web.Application]) -> None:
    status, problem = await post(make_app(), b"", "gzip")
    assert (status, problem["detail"]) == (400, "the body is empty; JSON was expected")


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, bare])
async def test_what_is_larger_than_the_limit_once_decompressed_is_413(
    make_app: Callable[..., web.Application], compress: Callable[[bytes], bytes]
) -> None:
    coding = "gzip" if compress is gzip.compress else "deflate"
    frame = len(b'{"name": ""}')
    app = make_app()
    status, _ = await post(app, compress(b'{"name": "%b"}' % (b"a" * (LIMIT - frame))), coding)
    assert status == 201
    status, problem = await post(make_app(), compress(b'{"name": "%b"}' % (b"a" * (LIMIT - frame + 1))), coding)
    assert (status, problem["detail"]) == (413, f"the body is larger than the limit of {LIMIT} bytes")


def test_a_bomb_is_never_inflated_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(web.HTTPRequestEntityTooLarge):
            decompress(bomb, "gzip", limit=100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_megabyte_of_empty_members_takes_no_quadratic_time() -> None:
    members = gzip.compress(b"") * 52_000
    began = time.process_time()
    assert decompress(members, "gzip", limit=1 << 20) == b""
    assert time.process_time() - began < 5


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_prefix_of_a_long_body_is_refused(coding: str) -> None:
    whole = gzip.compress(NOISE) if coding == "gzip" else zlib.compress(NOISE)
    assert decompress(whole, coding, limit=len(NOISE)) == NOISE
    for end in [*range(1, len(whole), 97), *range(len(whole) - 10, len(whole))]:
        with pytest.raises(Malformed, match="incomplete"):
            decompress(whole[:end], coding, limit=len(NOISE))
