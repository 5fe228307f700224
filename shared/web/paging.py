"""Lists in pages: opaque cursors, the bare array and its `Link` header (RFC 8288).

A cursor holds the sort key of the last row of a page (keyset paging), so that rows added meanwhile do not shift or
repeat others. It is opaque to clients, and validated like any other input.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeVar

import orjson
from aiohttp import web

from schemas.ids import is_id
from schemas.rest.lists import PageQuery
from shared.errors import FieldError, Invalid
from shared.postgres import Page
from shared.web.responses import json_response

CursorPart = Literal["id", "time", "int", "text"]
Q = TypeVar("Q", bound=PageQuery)

_MAX_CURSOR: Final = 512


def encode_cursor(*parts: str | int) -> str:
    """The sort key of a page's last row as URL-safe text; usually just its id."""
    return base64.urlsafe_b64encode(orjson.dumps([str(part) for part in parts])).rstrip(b"=").decode()


def decode_cursor(cursor: str, *kinds: CursorPart, place: str = "query") -> tuple[str, ...]:
    """The parts that `encode_cursor` was given, as text, each checked to be of its kind (default: one id).

    Raises Invalid (422) for text that does not have this form; `place` is the part of the request that has it.
    """
    kinds = kinds or ("id",)
    try:
        if len(cursor) > _MAX_CURSOR:
            raise ValueError
        parts = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or len(parts) != len(kinds):
            raise ValueError
        for part, kind in zip(parts, kinds, strict=True):
            if not isinstance(part, str) or not _CHECKS[kind](part):
                raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid([FieldError((place, "cursor"), "is not a valid cursor of this list", "cursor")]) from None
    return tuple(parts)


async def answer_page(
    request: web.Request, query: Q, find: Callable[[Q, str | None], Awaitable[Page]], *, key: CursorPart = "id"
) -> web.Response:
    """One page of a list that is ordered by one column. `find` returns the rows after a key, or the first ones."""
    found = await find(query, decode_cursor(query.cursor, key)[0] if query.cursor else None)
    return page(request, found.rows, None if found.last is None else encode_cursor(found.last))


def page(request: web.Request, rows_json: Sequence[str], next_cursor: str | None) -> web.Response:
    """One page of a list: a bare JSON array of rows that are JSON already, with `Link: <…>; rel="next"`.

    The link is relative to the URL of this request, and keeps all other parameters. `next_cursor` is None on the last
    page.
    """
    headers = None
    if next_cursor is not None:
        following = request.rel_url.update_query(cursor=next_cursor)
        headers = {"Link": f'<{following}>; rel="next"'}
    return json_response(f"[{','.join(rows_json)}]", headers=headers)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_int(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


def _is_text(text: str) -> bool:
    return "\x00" not in text


_CHECKS: Final[Mapping[CursorPart, Callable[[str], bool]]] = {
    "id": is_id,
    "time": _is_time,
    "int": _is_int,
    "text": _is_text,
}
