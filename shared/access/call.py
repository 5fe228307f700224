"""The request that the current code answers: who asks, from where, for what.

The web application sets it around each handler while access is on. Consumers and loops have none. A task that a handler
starts inherits it.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from schemas.access import Actor, Role
from shared.access.principal import Principal


@dataclass(slots=True)
class Call:
    """One request. `principal` is None where no valid token came with it; `address` is the client's, `route` the
    path's template. It is not frozen, because one is made for each request, and a frozen one takes three times as
    long to make."""

    principal: Principal | None
    address: str
    request_id: str
    method: str
    route: str
    path: str
    recorded: set[str] = field(default_factory=set, compare=False, repr=False)
    """The ids that rows of the audit log name for this request so far."""
    refused: list[str] = field(default_factory=list, compare=False, repr=False)
    """The ids for which the principal's role does not allow what the request asks for."""


CALL: Final[ContextVar[Call | None]] = ContextVar("hodei_call", default=None)


def calling() -> Call | None:
    """The current request; None with access off, and outside of requests."""
    return CALL.get()


def actor() -> Actor | None:
    """Who the current request acts for, as entities and events record it; None with access off, and outside of
    requests."""
    call = CALL.get()
    return None if call is None or call.principal is None else call.principal.actor


def refuse(*entities: str) -> None:
    """Note, for the audit log, that the current request is refused what it asks for these entities. The request itself
    need not be refused: it may be carried out for others."""
    call = CALL.get()
    if call is not None:
        call.refused.extend(entities)


def lacking(role: Role) -> Principal | None:
    """Who the current request acts for, if that has less than this role; None with access off, and outside of
    requests."""
    call = CALL.get()
    principal = None if call is None else call.principal
    return None if principal is None or principal.role.covers(role) else principal
