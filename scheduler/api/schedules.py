"""/api/v1/schedule and /api/v1/scheduled: schedules are made, shown and removed.

Not here: how they are changed, and what they did (`scheduler.api.changes`).
"""

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from scheduler.domain.schedule import NoDueTime, Stored, defined, first_slot, is_checked
from scheduler.store.listing import Listing
from scheduler.store.schedules import ScheduleStore
from schemas.events import EventData, ScheduleCreated, ScheduleDeleted, ScheduleFired
from schemas.ids import is_id
from schemas.rest.schedules import Schedule, ScheduleCreate, ScheduleQuery
from schemas.states import ScheduleStatus
from shared.access import actor
from shared.bus import Listening
from shared.clock import now
from shared.errors import FieldError, Invalid, NotFound
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.telemetry import inject
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page
from shared.web.verdicts import verdict


@dataclass(frozen=True, slots=True)
class ScheduleRoutes:
    """The handlers of the routes. `verdicts` hears the orchestrator's `schedules.confirmed` and `schedules.refused`."""

    listing: Listing
    store: ScheduleStore
    outbox: Outbox
    verdicts: Listening[EventData]

    async def create_schedule(self, request: web.Request, body: ScheduleCreate) -> web.StreamResponse:
        """Run `job_id` again, a `pipeline_id`, or a `command`: once, at `run_at` or now, or again and again, by `cron`
        or `every`. 404 when the job or pipeline does not exist, 409 when the job's pipeline is archived. Without a
        verdict in time, as while NATS is unavailable, the schedule is accepted and may fail when it is due."""
        new = _new(body)
        target = new.definition.target
        order = ScheduleFired(schedule_id=new.id, job_id=new.id, target=target, due_at=new.created_at)
        self.outbox.must_fit(order, "body", "env")
        with self.verdicts.about(new.id) as listener:
            async with idempotent(request, self.outbox) as tx:
                shown = await self.store.insert(tx, new)
                due = new.following and new.following.run_at
                tx.emit(ScheduleCreated(schedule_id=new.id, target=target, next_run_at=due, created_by=new.created_by))
                response = tx.answer(201, shown, {"Location": f"/api/v1/scheduled/{new.id}"})
            if is_checked(target) and self.verdicts.hearing:
                named = ("pipeline", body.pipeline_id or "") if body.job_id is None else ("job", body.job_id)
                undo = partial(self._take_back, new.id)
                await verdict(request, listener, outbox=self.outbox, undo=undo, of=named)
        return response

    async def list_schedules(self, request: web.Request, query: ScheduleQuery) -> web.StreamResponse:
        """Includes schedules that have fired. Filters are fields of a schedule; several narrow the list down."""
        return await answer_page(request, query, self.listing.schedules)

    async def get_schedule(self, _request: web.Request, id: str) -> web.StreamResponse:
        """When the schedule is due, or how it ended."""
        found = await self.listing.schedule(id)
        if found is None:
            raise NotFound("schedule", id)
        return json_response(found)

    async def delete_schedule(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The schedule does not fire any more, and its history is deleted. Jobs that it has created go on."""
        async with self.outbox.transaction() as tx:
            if not await self.store.delete(tx, id):
                raise NotFound("schedule", id)
            tx.emit(ScheduleDeleted(schedule_id=id, deleted_by=actor()))
        return web.Response(status=204)

    async def _take_back(self, id: str, tx: OutboxTransaction) -> None:
        if await self.store.delete(tx, id):
            tx.emit(ScheduleDeleted(schedule_id=id))


def api(routes: ScheduleRoutes) -> Api:
    """The routes."""
    api = Api(
        tag="schedules", kind="schedule", description="Schedules: jobs to run at a given time, once or again and again."
    )
    api.post("/api/v1/schedule", summary="Schedule a job", body=ScheduleCreate, answers={201: Schedule}, creates=True)(
        routes.create_schedule
    )
    api.get(
        "/api/v1/scheduled",
        summary="List schedules, newest first",
        query=ScheduleQuery,
        answers={200: list[Schedule]},
    )(routes.list_schedules)
    api.get("/api/v1/scheduled/{id}", summary="Show a schedule", answers={200: Schedule})(routes.get_schedule)
    api.delete("/api/v1/scheduled/{id}", summary="Remove a schedule", answers={204: None})(routes.delete_schedule)
    return api


def _new(body: ScheduleCreate) -> Stored:
    """A new schedule. Raises NotFound for a target that cannot exist, Invalid for one that would never fire."""
    for kind, id in (("job", body.job_id), ("pipeline", body.pipeline_id)):
        if id is not None and not is_id(id.lower()):
            raise NotFound(kind, id)
    id, created_at = new_id(), now()
    definition = defined(body, anchor=created_at)
    try:
        slot = first_slot(definition.timing, id, after=created_at)
    except NoDueTime as error:
        raise Invalid([FieldError(("body", error.field or "cron"), str(error), "no_due_time")]) from None
    return Stored(
        id=id,
        created_at=created_at,
        status=ScheduleStatus.PAUSED if body.paused else ScheduleStatus.SCHEDULED,
        definition=definition,
        following=None if body.paused else slot,
        last_due_at=None,
        traceparent=inject(),
        created_by=actor(),
    )
