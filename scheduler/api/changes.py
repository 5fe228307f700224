"""/api/v1/scheduled/{id}/…: a schedule is changed, paused, resumed, triggered; what it did, and when it fires next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from scheduler.domain.schedule import CHECKED, BadChange, NoDueTime, Stored, changed, is_checked, revised, target_of
from scheduler.ordering import Ordering
from scheduler.store.firings import FiringStore, NewFiring, Ordered
from scheduler.store.schedules import ScheduleStore
from schemas.events import (
    ScheduleFired,
    SchedulePaused,
    ScheduleResumed,
    ScheduleUpdated,
)
from schemas.ids import is_id
from schemas.questions import TARGET, TargetQuestion
from schemas.rest.lists import PageQuery
from schemas.rest.schedules import Firing, NextQuery, NextTime, Schedule, ScheduleCreate, SchedulePatch
from schemas.states import FiringKind, FiringOutcome, ScheduleStatus
from shared.access import actor
from shared.bus import Bus, ask
from shared.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.web import Api, invalid, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page
from shared.web.verdicts import problem_of

_TICK: Final = timedelta(microseconds=1)
TRIGGER_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class ChangeRoutes:
    """The handlers of the routes. `bus` asks the orchestrator whether a changed target exists."""

    store: ScheduleStore
    firings: FiringStore
    outbox: Outbox
    bus: Bus
    ordering: Ordering
    clock: Callable[[], datetime]

    async def change_schedule(self, _request: web.Request, id: str, body: SchedulePatch) -> web.StreamResponse:
        """Changes the fields that are given. If its times change, the schedule is next due after now. Its history and
        its jobs stay as they are. A schedule that is `failed` fires again after a change of what it runs or of its
        times; one that is `completed`, after a change of its times. 404 and 409 as for a new schedule."""
        wanted = self._wanted(await self._read(id), body)
        unheard = False
        if body.model_fields_set & CHECKED and is_checked(target_of(wanted)):
            unheard = not await self._target_exists(wanted)
        async with self.outbox.transaction() as tx:
            return json_response(await self._change(tx, id, body, unheard=unheard))

    async def pause_schedule(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The schedule does not fire until it is resumed. Due times until then are skipped, and so are firings with
        which it has yet to catch up. Without effect on a schedule that is paused. 409 for one that is completed."""
        return await self._set_paused(id, paused=True)

    async def resume_schedule(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The schedule fires again, at its next due time; one with a `run_at` that has passed, at once. A schedule that
        is `failed` comes back as well. Without effect on one that is scheduled. 409 for one that is completed, and for
        one without a due time left."""
        return await self._set_paused(id, paused=False)

    async def trigger_schedule(self, request: web.Request, id: str) -> web.StreamResponse:
        """Fires the schedule now, whatever its status; its due times stay as they are. Its `overlap` and
        `concurrency_key` apply to the job as to every other of its jobs. The answer is the firing; its job is created
        within moments."""
        async with idempotent(request, self.outbox) as tx:
            stored = await self._lock(tx, id)
            moment = self.clock()
            firing = await self._insert_trigger(tx, stored, moment)
            order = Ordered(
                firing.id,
                id,
                firing.kind,
                firing.due_at,
                stored.definition.target,
                stored.traceparent,
                stored.created_by,
                firing.triggered_by,
            )
            await self.ordering.order(tx, [order], moment)
            return tx.answer(202, firing)

    async def next_times(self, _request: web.Request, id: str, query: NextQuery) -> web.StreamResponse:
        """When the schedule fires next, the first time first, in UTC and in its time zone. For a paused schedule, when
        it would fire if it were resumed now. Empty for one that is completed or failed. 409 for one whose times an
        upgrade made invalid."""
        stored = await self._read(id)
        try:
            times = _upcoming(stored, query.count, self.clock())
        except NoDueTime as error:
            raise Conflict(f"schedule {id}: {error}") from error
        zone = ZoneInfo(stored.definition.timing.timezone or "UTC")
        return json_response([NextTime(utc=at, local=at.astimezone(zone).isoformat()) for at in times])

    async def schedule_history(self, request: web.Request, id: str, query: PageQuery) -> web.StreamResponse:
        """The last 100 due times of the schedule and their results, the last ones first: jobs and how they ended,
        due times that were skipped or missed and why, and requests to fire."""
        await self._read(id)
        return await answer_page(
            request, query, lambda asked, before: self.firings.history(id, before, asked.limit), key="time"
        )

    async def _read(self, id: str) -> Stored:
        stored = await self.store.read(id)
        if stored is None:
            raise NotFound("schedule", id)
        return stored

    async def _lock(self, tx: OutboxTransaction, id: str) -> Stored:
        stored = await self.store.lock(tx, id)
        if stored is None:
            raise NotFound("schedule", id)
        return stored

    async def _set_paused(self, id: str, *, paused: bool) -> web.Response:
        async with self.outbox.transaction() as tx:
            stored = await self._lock(tx, id)
            if stored.status is ScheduleStatus.COMPLETED:
                raise Conflict(f"schedule {id} is completed: give it a new time, or trigger it")
            done = ScheduleStatus.PAUSED if paused else ScheduleStatus.SCHEDULED
            if stored.status is done:
                return json_response(await self.store.shown(tx, id))
            return json_response(await self._change(tx, id, SchedulePatch(paused=paused), unheard=False, told=False))

    async def _change(
        self, tx: OutboxTransaction, id: str, patch: SchedulePatch, *, unheard: bool, told: bool = True
    ) -> str:
        """Change a schedule, and emit the events of it; `told`, as an update. Returns it as JSON."""
        stored = await self._lock(tx, id)
        with _refused(id):
            new = revised(stored, patch, self.clock())
        target = new.definition.target
        order = ScheduleFired(schedule_id=id, job_id=id, target=target, due_at=stored.created_at)
        self.outbox.must_fit(order, "body", "env")
        due = new.following and new.following.run_at
        if told:
            fields = sorted(patch.model_fields_set)
            tx.emit(ScheduleUpdated(schedule_id=id, changed=fields, next_run_at=due, updated_by=actor()))
        if new.status is not stored.status:
            if new.status is ScheduleStatus.PAUSED:
                await self.firings.drop_waiting(tx, [id], "paused")
                tx.emit(SchedulePaused(schedule_id=id, paused_by=actor()))
            elif new.status is ScheduleStatus.SCHEDULED:
                tx.emit(ScheduleResumed(schedule_id=id, next_run_at=due, resumed_by=actor()))
        return await self.store.change(tx, new, unheard=unheard)

    def _wanted(self, stored: Stored, patch: SchedulePatch) -> ScheduleCreate:
        """The request that the changed schedule would be. Raises NotFound and Invalid."""
        for kind, id in (("job", patch.job_id), ("pipeline", patch.pipeline_id)):
            if id is not None and not is_id(id.lower()):
                raise NotFound(kind, id)
        with _refused(stored.id):
            return changed(stored, patch)

    async def _target_exists(self, wanted: ScheduleCreate) -> bool:
        """Ask the orchestrator whether a schedule can run what it should. Returns whether there was an answer. Raises
        NotFound, Conflict or Invalid if it cannot."""
        target = target_of(wanted)
        try:
            answer = await ask(self.bus, TARGET, TargetQuestion(target=target))
        except Unavailable:
            return False  # as for a new schedule, the event is published until the orchestrator answers
        if answer.reason is not None:
            kind, named = ("pipeline", target.pipeline_id) if target.job_id is None else ("job", target.job_id)
            raise problem_of(answer.reason, answer.detail, answer.errors, kind=kind, id=named or "")
        return True

    async def _insert_trigger(self, tx: OutboxTransaction, stored: Stored, moment: datetime) -> Firing:
        due_at, by = moment, actor()
        for _ in range(TRIGGER_TRIES):
            if stored.following is not None and due_at == stored.following.due_at:
                due_at += _TICK  # that time belongs to the firing that is due then
            new = NewFiring(
                new_id(), stored.id, FiringKind.TRIGGER, FiringOutcome.FIRED, due_at, moment, triggered_by=by
            )
            if await self.firings.insert(tx, [new]):
                return Firing(
                    id=new.id,
                    schedule_id=new.schedule_id,
                    kind=new.kind,
                    outcome=new.outcome,
                    reason=None,
                    detail=None,
                    due_at=due_at,
                    first_due_at=None,
                    count=1,
                    more=False,
                    fired_at=moment,
                    job_id=new.id,
                    finished_at=None,
                    triggered_by=by,
                )
            due_at += _TICK
        raise Conflict(f"schedule {stored.id} has fired at this very moment")


def api(routes: ChangeRoutes) -> Api:
    """The routes."""
    api = Api(tag="schedules", kind="schedule")
    at = "/api/v1/scheduled/{id}"
    api.patch(at, summary="Change a schedule", body=SchedulePatch, answers={200: Schedule}, problems=(409,))(
        routes.change_schedule
    )
    api.post(f"{at}/pause", summary="Pause a schedule", answers={200: Schedule}, problems=(409,))(routes.pause_schedule)
    api.post(f"{at}/resume", summary="Resume a schedule", answers={200: Schedule}, problems=(409,))(
        routes.resume_schedule
    )
    api.post(f"{at}/trigger", summary="Fire a schedule now", answers={202: Firing}, creates=True)(
        routes.trigger_schedule
    )
    api.get(
        f"{at}/next",
        summary="When a schedule fires next",
        query=NextQuery,
        answers={200: list[NextTime]},
        problems=(409,),
    )(routes.next_times)
    api.get(f"{at}/history", summary="What a schedule did", query=PageQuery, answers={200: list[Firing]})(
        routes.schedule_history
    )
    return api


@contextmanager
def _refused(id: str) -> Iterator[None]:
    """Raises Invalid, or Conflict, for a change that the block refuses."""
    try:
        yield
    except BadChange as error:
        raise invalid(error.cause, ScheduleCreate) from None
    except NoDueTime as error:
        if error.field is None:
            raise Conflict(f"schedule {id}: {error}: give it a new time, or trigger it") from None
        raise Invalid([FieldError(("body", error.field), str(error), "no_due_time")]) from None


def _upcoming(stored: Stored, count: int, moment: datetime) -> list[datetime]:
    """When the schedule fires next."""
    if stored.status in (ScheduleStatus.COMPLETED, ScheduleStatus.FAILED):
        return []
    timing, following = stored.definition.timing, stored.following
    if not timing.recurs:
        return [max(timing.once_at, moment) if following is None else following.run_at]
    times = timing.times(stored.id)
    after = moment if following is None else following.due_at - _TICK
    return [times.fires_at(due).astimezone(UTC) for due in times.upcoming(count, after)]
