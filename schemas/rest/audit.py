"""The audit log over REST: who changed what, and who was refused."""

from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from schemas.access import Actor
from schemas.model import Id, Model, Timestamp
from schemas.rest.lists import PageQuery


class AuditOutcome(StrEnum):
    """What became of a call."""

    CHANGED = "changed"
    """It changed something."""
    FAILED = "failed"
    """It failed after its change was recorded: the change was taken back, or may be incomplete."""
    UNAUTHORIZED = "unauthorized"
    """It was refused (401): it had no valid token."""
    FORBIDDEN = "forbidden"
    """It was refused (403): the token's role did not include it, or a foreign page had made it."""


REFUSED: Final = frozenset({AuditOutcome.UNAUTHORIZED, AuditOutcome.FORBIDDEN})


class AuditEntry(Model):
    """One call that changed something, or equal calls that were refused."""

    id: Id = Field(description="The entry's id. Ids ascend with time, over all services.")
    service: str = Field(description="The service that was called: `orchestrator`, `scheduler` or `worker_manager`.")
    created_at: Timestamp = Field(description="When it was called; of refused calls, the first one.")
    outcome: AuditOutcome = Field(
        description="`changed`: the call changed something. `failed`: it failed afterwards, and its change was taken "
        "back or may be incomplete; the entry `changed` of the same `request_id` was before it. `unauthorized`: it was "
        "refused with 401, `forbidden`: with 403."
    )
    by: Actor | None = Field(description="The token; null if the call had no valid one.")
    address: str | None = Field(description="The client's IP address.")
    method: str = Field(description="The method of the request.")
    route: str = Field(description="The path's template, such as `/api/v1/jobs/{id}/cancel`.")
    entity_ids: list[str] = Field(
        description="The ids of what was changed: those in the path, and of all that was created or deleted."
    )
    request_id: str | None = Field(description="The request's id (`X-Request-ID`); of refused calls, the first one's.")
    count: int = Field(
        description="How many calls this is: calls of one address that are refused within seconds share an entry."
    )


def plain_address(text: str) -> str | None:
    """An IP address as the audit log has it: without an interface's name, and IPv4 as such. None for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _address(text: str) -> str:
    found = plain_address(text)
    if found is None:
        raise ValueError("should be an IP address")
    return found


METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
"""The methods of HTTP (RFC 9110 and RFC 5789)."""


def _method(text: str) -> str:
    found = text.upper()
    if found not in METHODS:
        raise ValueError(f"should be a method of HTTP: {', '.join(METHODS[:-1])} or {METHODS[-1]}")
    return found


class AuditQuery(PageQuery):
    """Filters of the audit log. With `Accept: application/x-ndjson`, `limit` and `cursor` do not apply."""

    by: str | None = Field(None, max_length=200, description="Only calls of this token: its id or its name.")
    entity_id: str | None = Field(None, max_length=200, description="Only calls that were about this entity.")
    outcome: AuditOutcome | None = Field(None, description="Only calls with this outcome.")
    address: Annotated[str, AfterValidator(_address)] | None = Field(
        None, max_length=100, description="Only calls from this IP address."
    )
    method: Annotated[str, AfterValidator(_method)] | None = Field(
        None, max_length=20, description="Only requests with this method, in capital or small letters."
    )
    route: str | None = Field(
        None, max_length=200, description="Only calls of this route, such as `/api/v1/jobs/{id}/cancel`."
    )
    request_id: str | None = Field(None, max_length=128, description="Only the request with this id.")
    created_after: Timestamp | None = Field(None, description="Only calls at this time or later.")
    created_before: Timestamp | None = Field(None, description="Only calls before this time.")
