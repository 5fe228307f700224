"""/api/v1/schedule and /api/v1/scheduled: one-off schedules."""

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from scheduler.store.listing import Listing
from scheduler.store.schedules import ScheduleStore
from schemas.events import EventData, JobTarget, ScheduleCreated, ScheduleDeleted, ScheduleFired
from schemas.ids import is_id
from schemas.rest.schedules import Schedule, ScheduleCreate, ScheduleQuery
from shared.bus import Listening
from shared.clock import now
from shared.errors import NotFound, NotSupported
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
        """Run `job_id` again, a `pipeline_id`, or a `command`, at `run_at` or now. 404 when the job or pipeline does
        not exist, 409 when the job's pipeline is archived. Without a verdict in time, as while NATS is unavailable, the
        schedule is accepted and may fail when it is due."""
        if body.cron is not None:
            raise NotSupported("cron", "schedules that fire more than once")
        if body.timezone is not None:
            raise NotSupported("timezone", "it belongs to cron")
        id, created_at, target = new_id(), now(), _target(body)
        due = body.run_at or created_at
        self.outbox.must_fit(ScheduleFired(schedule_id=id, job_id=id, target=target, due_at=due), "body", "env")
        with self.verdicts.about(id) as listener:
            async with idempotent(request, self.outbox) as tx:
                shown = await self.store.insert(
                    tx,
                    id=id,
                    name=body.name,
                    target=target,
                    job_id=_uuid("job", body.job_id),
                    pipeline_id=_uuid("pipeline", body.pipeline_id),
                    run_at=body.run_at,
                    due_at=due,
                    created_at=created_at,
                    traceparent=inject(),
                )
                tx.emit(ScheduleCreated(schedule_id=id, target=target, next_run_at=due))
                response = tx.answer(201, shown, {"Location": f"/api/v1/scheduled/{id}"})
            if target.command is None and self.verdicts.hearing:
                named = ("pipeline", body.pipeline_id or "") if body.job_id is None else ("job", body.job_id)
                await verdict(request, listener, outbox=self.outbox, undo=partial(self._take_back, id), of=named)
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
        """The schedule does not fire any more. If it has fired already, its job goes on."""
        async with self.outbox.transaction() as tx:
            if not await self.store.delete(tx, id):
                raise NotFound("schedule", id)
            tx.emit(ScheduleDeleted(schedule_id=id))
        return web.Response(status=204)

    async def _take_back(self, id: str, tx: OutboxTransaction) -> None:
        if await self.store.delete(tx, id):
            tx.emit(ScheduleDeleted(schedule_id=id))


def api(routes: ScheduleRoutes) -> Api:
    """The routes."""
    api = Api(tag="schedules", kind="schedule", description="Schedules: jobs to run at a given time.")
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


def _target(body: ScheduleCreate) -> JobTarget:
    command = body.command_spec() if body.command is not None else None
    return JobTarget(
        job_id=body.job_id,
        pipeline_id=body.pipeline_id,
        command=command,
        name=body.name,
        priority=body.priority,
        params=body.params,
        env={} if command is not None else body.env,
        labels=body.labels,
    )


def _uuid(kind: str, id: str | None) -> str | None:
    """The id in canonical form. Raises NotFound for text that is not an id."""
    if id is not None and not is_id(id.lower()):
        raise NotFound(kind, id)
    return None if id is None else id.lower()
