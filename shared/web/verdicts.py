"""Creating an entity that another service must accept: create it, wait for the other service's verdict, undo a refusal.

The creation's event is the question, and the other service answers with an event of its own. The request waits for that
event for a short time. Without a verdict in time the entity stays, and may be refused later.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, assert_never

import structlog
from aiohttp import web

from schemas.access import Role
from schemas.events import EventData, ExecutionRefused, ScheduleRefused
from schemas.refusals import FiringRefusal, RefusalReason, RefusedField
from shared.access import lacking, refuse
from shared.bus import Listener
from shared.errors import (
    Conflict,
    FieldError,
    Forbidden,
    HodeiError,
    Invalid,
    NotFound,
    NotYours,
    Overloaded,
    Unavailable,
)
from shared.outbox import Outbox, OutboxTransaction
from shared.web.idempotency import release
from shared.web.load import waiting

VERDICT_DEADLINE: Final = 2.0
"""Seconds to wait for a verdict."""

LATER: Final = 5.0
"""Seconds after which a request may be repeated that the other service turned away."""

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
    """Wait for the verdict on the entity that the request has created. Returns None when there is none in time, when
    too many requests wait already, or when the service stops; the entity stays then.

    `listener` must be made before the creation is committed. `of` is the kind and id of the entity that the verdict is
    about, which the request's body names in `<kind>_id`. A refusal leaves no trace of the request: `undo` deletes the
    created entity, and the same transaction releases the Idempotency-Key.

    Raises NotFound, NotYours, Conflict, Invalid or Overloaded for a refusal.
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
            tx.fails()
        if heard.reason is RefusalReason.FORBIDDEN:
            refuse(of[1])
        raise problem_of(heard.reason, heard.detail, heard.errors, kind=of[0], id=of[1])
    return heard


def problem_of(
    reason: FiringRefusal, detail: str, errors: Sequence[RefusedField] | None, *, kind: str, id: str
) -> HodeiError:
    """The error of a refusal that is about an entity which the request's body names in `<kind>_id`."""
    match reason:
        case RefusalReason.NOT_FOUND:
            return NotFound(kind, id)
        case RefusalReason.FORBIDDEN:
            limited = lacking(Role.OPERATOR)
            return Forbidden(detail) if limited is None else NotYours(f"this {kind}", limited.role, Role.OPERATOR)
        case RefusalReason.CONFLICT | RefusalReason.OVERLAP:
            return Conflict(detail)
        case RefusalReason.OVERLOADED:
            return Overloaded(LATER, kind="jobs", why=detail)
        case RefusalReason.INVALID:
            found = [FieldError(tuple(one.loc), one.msg, one.type) for one in errors or ()]
            return Invalid(found or [FieldError(("body", f"{kind}_id"), detail, "refused")])
        case _ as other:
            assert_never(other)
