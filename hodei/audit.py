"""`hodei audit`: who changed what, and who was refused, in all three services."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from hodei.asking import show_list
from hodei.client import Client
from hodei.client.filters import AuditFilters
from hodei.dead_letters import Owner
from hodei.options import AsJson, CreatedAfter, CreatedBefore, Limit, check
from hodei.tables import Cell, Columns, cut_cell, id_cell, moment_cell, print_columns
from schemas.rest.audit import AuditEntry, AuditOutcome, AuditQuery

COMMON: Final = "/api/v1"
"""The beginning of every route, which a narrow terminal does not show."""


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
        "WHEN": [moment_cell(one.created_at) for one in entries],
        "BY": [cut_cell("-" if one.by is None else one.by.name) for one in entries],
        "FROM": [one.address or "-" for one in entries],
        "OUTCOME": [one.outcome.value if one.count == 1 else f"{one.outcome.value} × {one.count}" for one in entries],
        "SERVICE": [one.service.replace("_", "-") for one in entries],
        "CALL": [_call(one) for one in entries],
        "ENTITY": [_first_of(one.entity_ids) for one in entries],
    }
    print_columns(columns, shorten="CALL", drop=("SERVICE", "FROM", "ENTITY", "WHEN"), comfortable=28)


def _call(entry: AuditEntry) -> Cell:
    return Cell(f"{entry.method} {entry.route}", f"{entry.method} {entry.route.removeprefix(COMMON)}")


def _first_of(ids: Sequence[str]) -> Cell:
    if not ids:
        return Cell("", "")
    first, more = id_cell(ids[0]), len(ids) - 1
    if not more:
        return first
    return Cell(f"{first.whole} and {more} more", f"{first.brief} +{more}")
