"""Responses that hold a secret: it is shown once, and never stored with an `Idempotency-Key`."""

import orjson
from aiohttp import web

from shared.web import json_response
from shared.web.idempotency import IdempotentTransaction


def answer_once(tx: IdempotentTransaction, body: str, collection: str, **secret: str) -> web.Response:
    """The 201 for a new entity, given as JSON, with its secret field. What a replay of the request gets has null
    there."""
    shown = orjson.loads(body)
    headers = {"Location": f"{collection}/{shown['id']}"}
    tx.answer(201, orjson.dumps({**shown, **dict.fromkeys(secret)}), headers)
    return json_response(
        orjson.dumps({**shown, **secret}), status=201, headers={**headers, "Cache-Control": "no-store"}
    )
