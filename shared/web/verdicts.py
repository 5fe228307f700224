"""Creating what another service has to agree to: create it, ask by its event, wait for the verdict, undo a refusal.

The event that tells of the creation is the question: the other service answers with an event of its own, whenever it
can. The request waits for that, but not for long: without a verdict what was created stays, and is refused later.
"""

from collections.abc import Awaitable, Callable
from typing import Final, assert_never

import structlog
from aiohttp import web

from schemas.events import EventData, ExecutionRefused, ScheduleRefused
from schemas.refusals import RefusalReason
from shared.bus import Listener
from shared.errors import Conflict, FieldError, HodeiError, Invalid, NotFound, Overloaded, Unavailable
from shared.outbox import Outbox, OutboxTransaction
from shared.web.idempotency import release
from shared.web.load import waiting

VERDICT_DEADLINE: Final = 2.0
"""Seconds to wait for a verdict."""

_log = structlog.get_logger(__name__)

Undo = Callable[[OutboxTransaction], Awaitable[None]]


async def verdict(
    request: web.Request,
    listener: Listener[EventData],
    *,
    outbox: Outbox,
    undo: Undo,
    of: tuple[str, str],
    within: float = VERDICT_DEADLINE,
) -> EventData | None:
    """Wait for the verdict on what the request has created. Returns None when there is none in time.

    `listener` was made before the creation was committed. `of` is what the verdict is about, as the kind and the id
    that the request's body names in `<kind>_id`. A refusal is answered as if the request had never been sent: `undo`
    takes back what was created, and in the same transaction the Idempotency-Key is unused again.

    When too many requests wait already, or the service stops, there is no verdict either: what was created stays.

    Raises NotFound, Conflict or Invalid for a refusal.
    """
    try:
        with waiting(request):
            heard = await listener.next(within)
    except (Overloaded, Unavailable) as error:
        _log.info("verdict.not_awaited", error=str(error))
        return None
    if isinstance(heard, ExecutionRefused | ScheduleRefused):
        async with outbox.transaction() as tx:
            await undo(tx)
            await release(tx, request)
        raise _problem(heard, *of)
    return heard


def _problem(refused: ExecutionRefused | ScheduleRefused, kind: str, id: str) -> HodeiError:
    match refused.reason:
        case RefusalReason.NOT_FOUND:
            return NotFound(kind, id)
        case RefusalReason.CONFLICT:
            return Conflict(refused.detail)
        case RefusalReason.INVALID:
            return Invalid([FieldError(("body", f"{kind}_id"), refused.detail, "refused")])
        case _ as other:
            assert_never(other)
