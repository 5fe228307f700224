"""Encodes calls and decodes their responses: paths, bodies, filters, pages."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from hodei.client.transport import Answer, Query, Transport

M = TypeVar("M", bound=BaseModel)
Fields = Mapping[str, object]
"""The fields of a request by name, as in JSON."""
LONGEST_WAIT = 60.0
"""The longest time in seconds for which a service holds one request."""
LARGEST_PAGE = 1000
"""The most items that a service sends in one page."""


async def pages(service: Transport, model: type[M], path: str, filters: Mapping[str, object]) -> AsyncIterator[M]:
    """All items that match, at most `limit` of them; `page_size` is the number requested at once."""
    left, size = _whole(filters.get("limit")), _whole(filters.get("page_size"))
    query: Query | None = query_of({name: value for name, value in filters.items() if name != "page_size"})
    if size is not None or (left is not None and left > LARGEST_PAGE):
        query = {**(query or {}), "limit": min(size or LARGEST_PAGE, left or LARGEST_PAGE)}
    next_path: str | None = path
    while next_path is not None:
        answer = await service.request("GET", next_path, query=query)
        for item in many(model, answer):
            yield item
            if left is not None:
                left -= 1
                if left <= 0:
                    return
        next_path, query = answer.next_page, None


def query_of(filters: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Filters as URL parameters. Raises TypeError for a value that a filter cannot have."""
    return {name: _text(name, value) for name, value in filters.items() if value is not None}


def _text(name: str, value: object) -> str | list[str]:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case str() | int():
            return str(value)
        case list() | tuple():
            return [str(one) for one in value]
    raise TypeError(f"{name}: {value!r} is not a filter")


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))


def body_of(kind: type[BaseModel], given: BaseModel | Fields) -> bytes:
    model = kind.model_validate(given) if isinstance(given, Mapping) else given
    if not isinstance(model, kind):
        raise TypeError(f"{kind.__name__} or a dict of its fields is needed, not {type(given).__name__}")
    return model.model_dump_json(exclude_unset=True, by_alias=True).encode()


def quoted(text: str) -> str:
    return quote(text, safe="")


def one(model: type[M], answer: Answer) -> M:
    return answer.read(model)


def many(model: type[M], answer: Answer) -> list[M]:
    return answer.read(list[model])  # type: ignore[valid-type]  # run time
