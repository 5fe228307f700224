"""/api/v1/queue: the waiting tasks, in the order in which they would run."""

from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from scheduler.store.listing import Listing, QueuePlace
from schemas.model import rfc3339
from schemas.rest.schedules import QueuedTask, QueueQuery
from shared.clock import now
from shared.web import Api
from shared.web.paging import decode_cursor, encode_cursor, page


@dataclass(frozen=True, slots=True)
class QueueRoutes:
    """The handler of the route, over the tables."""

    listing: Listing

    async def list_queue(self, request: web.Request, query: QueueQuery) -> web.StreamResponse:
        """Ordered by priority, then by the time at which tasks became ready; tasks that are not yet due come last.
        `position` counts within the filter."""
        after = _place(query.cursor) if query.cursor else None
        rows, last = await self.listing.queue(query, now(), after)
        return page(request, rows, None if last is None else _cursor(last))


def api(routes: QueueRoutes) -> Api:
    """The route."""
    api = Api(tag="queue", description="The queue: tasks that wait for a worker, and why.")
    api.get(
        "/api/v1/queue",
        summary="List the tasks that wait for a worker",
        query=QueueQuery,
        answers={200: list[QueuedTask]},
    )(routes.list_queue)
    return api


def _cursor(place: QueuePlace) -> str:
    return encode_cursor(
        rfc3339(place.as_of),
        int(place.delayed),
        place.priority,
        rfc3339(place.ready_at),
        place.task_id,
        place.position,
    )


def _place(cursor: str) -> QueuePlace:
    as_of, delayed, priority, ready_at, task_id, position = decode_cursor(
        cursor, "time", "int", "int", "time", "id", "int"
    )
    return QueuePlace(
        as_of=datetime.fromisoformat(as_of).astimezone(UTC),
        delayed=int(delayed) != 0,
        priority=max(0, min(3, int(priority))),
        ready_at=datetime.fromisoformat(ready_at).astimezone(UTC),
        task_id=task_id,
        position=int(position),
    )
