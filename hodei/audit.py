"""`hodei audit`: who changed what, and who was refused, in all three services."""

from collections.abc import Sequence
from typing import Annotated

import typer

from hodei.asking import show_list
from hodei.client import Client
from hodei.client.filters import AuditFilters
from hodei.dead_letters import Owner
from hodei.options import AsJson, CreatedAfter, CreatedBefore, Limit, check
from hodei.views import Columns, moment_text, print_columns
from schemas.rest.audit import AuditEntry, AuditOutcome, AuditQuery


def audit(
    by: Annotated[str | None, typer.Option(metavar="TOKEN", help="Only calls of this token: its id or name.")] = None,
    entity: Annotated[
        str | None, typer.Option(metavar="ID", help="Only calls about this job, schedule, worker or whatever else.")
    ] = None,
    outcome: Annotated[AuditOutcome | None, typer.Option(help="Only calls with this outcome.")] = None,
    address: Annotated[str | None, typer.Option(metavar="IP", help="Only calls from this address.")] = None,
    method: Annotated[str | None, typer.Option(help="Only requests with this method, such as DELETE.")] = None,
    route: Annotated[
        str | None, typer.Option(help="Only calls of this route, such as '/api/v1/jobs/{id}/cancel'.")
    ] = None,
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="Only the request with this id.")] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    service: Annotated[Owner | None, typer.Option(help="Only the log of this service; by default all three.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List who changed what, and who was refused, newest first (docs/audit.md)."""
    filters: AuditFilters = {
        "by": by,
        "entity_id": entity,
        "outcome": outcome,
        "address": address,
        "method": method,
        "route": route,
        "request_id": request_id,
        "created_after": created_after,
        "created_before": created_before,
        "limit": limit,
    }
    check(AuditQuery, filters)

    async def find(client: Client) -> list[AuditEntry]:
        return [one async for one in client.audit(service, **filters)]

    show_list(find, print_audit, as_json=as_json)


def print_audit(entries: Sequence[AuditEntry]) -> None:
    """Print entries, a line each, with the first of the ids that they name."""
    columns: Columns = {
        "WHEN": [moment_text(one.created_at) for one in entries],
        "BY": ["-" if one.by is None else one.by.name for one in entries],
        "FROM": [one.address or "-" for one in entries],
        "OUTCOME": [one.outcome.value if one.count == 1 else f"{one.outcome.value} × {one.count}" for one in entries],
        "SERVICE": [one.service.replace("_", "-") for one in entries],
        "CALL": [f"{one.method} {one.route}" for one in entries],
        "ENTITY": [_first_of(one.entity_ids) for one in entries],
    }
    print_columns(columns, shorten="CALL", drop=("SERVICE", "FROM", "WHEN"))


def _first_of(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"{ids[0]}{more}" if ids else ""
