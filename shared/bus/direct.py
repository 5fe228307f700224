"""Gets stored messages of a stream directly, without a consumer (NATS ADR-31, "Batched Get").

A user that may do this can read the stream, and change nothing.
"""

import asyncio
from collections.abc import Mapping

import orjson
from nats.aio.msg import Msg

from shared.bus.admission import not_permitted
from shared.bus.connection import DESCRIPTION, STATUS, Connection
from shared.errors import BusUnavailable

_ENDS = frozenset({"204", "404"})
"""The statuses after the last message: the end of the batch, and no message at all."""


async def get_batch(
    connection: Connection, stream: str, wanted: Mapping[str, object], *, deadline: float = 5.0
) -> list[Msg]:
    """The messages of `stream` that the fields of the request ask for, in order; none at the end of the stream.

    Raises BusUnavailable, and NotPermitted when this user may not read the stream.
    """
    subject, inbox = f"$JS.API.DIRECT.GET.{stream}", connection.new_inbox()
    found: list[Msg] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        if STATUS not in headers:
            found.append(message)
        elif ended.done():
            return
        elif headers[STATUS] in _ENDS:
            ended.set_result(None)
        else:
            ended.set_exception(BusUnavailable(f"{subject}: {headers[STATUS]} {headers.get(DESCRIPTION, '')}"))

    def refuse(refused: str) -> None:
        if refused == subject.lower() and not ended.done():
            ended.set_exception(not_permitted(subject))

    forget = connection.refusals.listen(refuse)
    subscription = await connection.subscribe(inbox, take)
    try:
        await connection.publish(subject, orjson.dumps(wanted), reply=inbox)
        async with asyncio.timeout(deadline):
            await ended
    except TimeoutError:
        raise BusUnavailable(f"{subject}: no answer within {deadline:g} s") from None
    finally:
        forget()
        await connection.release(subscription)
    return found
