"""Builds successful JSON responses, and replays of stored ones. Errors are built in `problems`, streams in `sse`."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from shared.errors import HodeiError

JSON: Final = "application/json; charset=utf-8"


def json_bytes(value: bytes | str | BaseModel | Sequence[BaseModel]) -> bytes:
    """JSON as bytes. Models are dumped by alias; text and bytes must be JSON already."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value, by_alias=True)
    return b"[" + b",".join(json_bytes(one) for one in value) + b"]"


def json_response(
    body: bytes | str | BaseModel | Sequence[BaseModel],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A JSON response from a model, a list of models, or ready JSON as text or bytes."""
    all_headers = {"Content-Type": JSON}
    if headers:
        all_headers.update(headers)
    return web.Response(body=json_bytes(body), status=status, headers=all_headers)


class Replay(HodeiError):
    """Not a failure: leaves the handler early with the stored response to an earlier, identical request."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__("this request was already answered")
        self.status = status
        self.headers = dict(headers)
        self.body = body

    def response(self) -> web.Response:
        """The stored response, with the header `Idempotency-Replayed`."""
        headers = {**self.headers, "Idempotency-Replayed": "true"}
        return web.Response(status=self.status, headers=headers, body=self.body)
