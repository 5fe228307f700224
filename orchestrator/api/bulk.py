"""/api/v1/jobs/cancel, /rerun and /delete: the same for many jobs, by their ids or by a filter.

Each request looks at a limited number of jobs; the `cursor` of its response goes on with the others, of `ids` as of a
filter. A job that cannot be changed is left as it is, and the response says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aiohttp import web

from orchestrator.api.deleted_logs import logs_deleted, logs_since
from orchestrator.domain.run import JobRun
from orchestrator.domain.wanted import Wanted
from orchestrator.reception import Reception
from orchestrator.retention import Scheduled
from orchestrator.room import JobRoom
from orchestrator.store.jobs import JobStore, Selected
from orchestrator.submission import Submission
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.unreadable import ERRORS, WHY, Unreadable, note
from schemas.access import Role
from schemas.ids import is_id
from schemas.rest.job_filters import JobFilter, JobRerunSelection, JobsChanged, JobSelection, RefusedJob
from schemas.states import JOB, JobStatus
from shared.access import actor, lacking, refuse
from shared.bus import Bus
from shared.clock import now
from shared.errors import Conflict, Invalid, NotFound
from shared.outbox import Outbox
from shared.postgres import Transaction
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import decode_cursor, encode_cursor

COUNTED: Final = 100_000
"""The most jobs that a trial counts."""
AT_ONCE: Final = 100
"""The most jobs of one transaction."""
LONGEST: Final = 20.0
"""Seconds after which a request begins no further transaction."""
TASKS: Final = 10_000
"""The most tasks of all jobs that one request makes."""


ENDED: Final = "it has already ended: {}"
RUNNING: Final = "it is {}: cancel it first, or wait"
SCHEDULED: Final = "a schedule will run it again"
DELETED: Final = "it was deleted"
STOPPING: Final = "it is being stopped already: cancel it alone to end its clean-up"

_Refused = Callable[[Sequence[Selected]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class _About:
    """The jobs of a filter that an action is about."""

    statuses: Collection[JobStatus]
    unstopped: bool = False
    """Whether those are left out that are being stopped already."""


OPEN: Final = _About(frozenset(JobStatus) - JOB.final, unstopped=True)
OVER: Final = _About(JOB.final)


@dataclass
class _Chosen:
    """The jobs of a request, and what became of them."""

    jobs: list[Selected]
    refused: list[RefusedJob]
    matched: int
    whole: bool
    """Whether there are no more jobs than these."""
    done: list[str] = field(default_factory=list)
    last: str | None = None
    """The last job that was looked at."""

    def __post_init__(self) -> None:
        self._all = [one.id for one in self.jobs]

    def refuse(self, job_id: str, detail: str) -> None:
        self.refused.append(RefusedJob(id=job_id, detail=detail))

    def refuse_all(self, why: Mapping[str, str]) -> None:
        """Refuse these jobs, each for its reason."""
        for job_id, detail in why.items():
            self.refuse(job_id, detail)

    def parts(self) -> Iterator[list[Selected]]:
        """The jobs in parts, as long as there is time."""
        clock = asyncio.get_running_loop().time
        until = clock() + LONGEST
        for first in range(0, len(self.jobs), AT_ONCE):
            if first and clock() >= until:
                self.whole = False
                return
            part = self.jobs[first : first + AT_ONCE]
            yield part
            self.last = part[-1].id
        self.finish()

    def finish(self) -> None:
        """All jobs were looked at."""
        self.last = self._all[-1] if self._all else None

    def answer(self, ids: Sequence[str] = ()) -> JobsChanged:
        cursor = None if self.whole or self.last is None else encode_cursor(self.last)
        left = set() if self.last is None else set(self._all[self._all.index(self.last) + 1 :])
        return JobsChanged(
            matched=self.matched - len(left),
            done=len(self.done),
            refused=[one for one in self.refused if one.id not in left],
            more=cursor is not None,
            cursor=cursor,
            ids=list(ids),
        )


@dataclass(frozen=True, slots=True)
class BulkRoutes:
    """The handlers."""

    jobs: JobStore
    work: UnitOfWork
    submission: Submission
    room: JobRoom
    reception: Reception
    outbox: Outbox
    bus: Bus
    scheduled: Scheduled

    async def cancel_jobs(self, _request: web.Request, body: JobSelection) -> web.StreamResponse:
        """Those jobs of a `filter` that have not ended and are not being stopped, and of `ids` all. They are cancelled
        as `POST /api/v1/jobs/{id}/cancel` does, but a job that is being stopped already is left as it is, so that its
        clean-up goes on: the request can be repeated. A submitter cancels only jobs that it submitted: a `filter`
        matches no others, and of `ids`, `refused` has the others."""
        if body.dry_run:
            return json_response(await self._trial(body, OPEN, _not_cancelled))
        chosen, moment, by = await self._choose(body, OPEN), now(), actor()
        own = _only_own(chosen)
        unreadable = Unreadable(self.outbox, self.work)
        left: dict[str, str] = {}

        def cancel(run: JobRun) -> None:
            if (why := _why_not_cancelled(run.job.status, stopping=run.job.stopping is not None)) is None:
                run.cancel(moment, by=by)
            else:
                left[run.job.id] = why

        async def cancel_part(job_ids: list[str]) -> list[str]:
            return list(await self.work.change(job_ids, cancel, moment))

        for part in own.parts():
            found = set(await unreadable.leave_out([one.id for one in part], cancel_part))
            for one in part:
                if one.id in left:
                    own.refuse(one.id, left[one.id])
                elif one.id in found:
                    own.done.append(one.id)
                else:
                    own.refuse(one.id, WHY if one.id in unreadable else DELETED)
        return json_response(own.answer())

    async def rerun_jobs(self, request: web.Request, body: JobRerunSelection) -> web.StreamResponse:
        """Those jobs of a `filter` that have ended, and of `ids` all. The new jobs are created in one transaction. A
        submitter runs only jobs again that it submitted: a `filter` matches no others. `refused` has those of `ids`
        that another token submitted, and the jobs that cannot run again, as after their pipeline was archived, while
        others hold a concurrency key for which they may not wait, or with `failed` when nothing of them failed."""
        if body.dry_run:
            return json_response(await self._trial(body, OVER, partial(self._not_again, body.from_)))
        chosen = _only_own(await self._choose(body, OVER))
        async with self.room.submission(large=True) as entry, idempotent(request, self.outbox) as tx:
            wanted = await self._wanted(tx, chosen, body.from_)
            if wanted:
                entry.admit(len(wanted))
            begun = await self.reception.begin_possible(tx, list(wanted.values()))
            for old, job in wanted.items():
                if job.id in begun.refused:
                    chosen.refuse(old, begun.refused[job.id])
                else:
                    chosen.done.append(old)
            if begun.jobs:
                self.work.create(tx, begun.jobs)
                tx.changes(*chosen.done)
            ids = [new.run.job.id for new in begun.jobs]
            response = tx.answer(200, chosen.answer(ids).model_dump_json().encode())
        return response

    async def delete_jobs_selected(self, _request: web.Request, body: JobSelection) -> web.StreamResponse:
        """Those jobs of a `filter` that have ended, and of `ids` all, with their logs. Jobs that a schedule will run
        again stay; `refused` has them. If NATS does not delete the logs, or the scheduler does not answer, the response
        is 503, and the same request can delete the rest."""
        if body.dry_run:
            return json_response(await self._trial(body, OVER, self._not_deleted))
        chosen = await self._choose(body, OVER)
        since = await logs_since(self.bus)
        for part in chosen.parts():
            refused = await self._not_deleted(part)
            ids = [one.id for one in part if one.id not in refused]
            async with logs_deleted(self.outbox, self.bus, ids, await self.jobs.logs_of(ids, since)):
                deleted = await self.work.delete(ids, by=actor()) if ids else []
            chosen.done += deleted
            chosen.refuse_all(refused | dict.fromkeys((one for one in ids if one not in deleted), DELETED))
        return json_response(chosen.answer())

    async def _wanted(self, tx: Transaction, chosen: _Chosen, start: str) -> dict[str, Wanted]:
        """The new jobs, by the ids of those that they run again: at least one, and as many as have TASKS tasks. Of the
        others, `chosen` learns that they are refused, or left for another request."""
        wanted: dict[str, Wanted] = {}
        tasks = 0
        for one in chosen.jobs:
            try:
                job = await self.submission.of_rerun(tx, one.id, start=start, by=actor())
            except (NotFound, Conflict, Invalid) as error:
                chosen.refuse(one.id, str(error))
            except ERRORS as error:
                note(one.id, error)
                chosen.refuse(one.id, WHY)
            else:
                tasks += len(job.definitions)
                if wanted and tasks > TASKS:
                    chosen.whole = False
                    return wanted
                wanted[one.id] = job
            chosen.last = one.id
        chosen.finish()
        return wanted

    async def _trial(self, body: JobSelection, about: _About, refused: _Refused) -> JobsChanged:
        """What a request would do. `refused` returns which of some jobs would be left, and why."""
        if body.ids is None:
            return await self._count(body, about)
        chosen = _only_own(await self._choose(body, about))
        left = await refused(chosen.jobs)
        chosen.refuse_all(left)
        return JobsChanged(matched=len(chosen.jobs) - len(left), done=0, refused=chosen.refused, more=False)

    async def _not_again(self, start: str, jobs: Sequence[Selected]) -> dict[str, str]:
        """Which of these jobs cannot run again, and why, as far as it is known before their concurrency keys are
        locked. Of very large ones, some are not looked at."""
        chosen = _Chosen(list(jobs), [], len(jobs), whole=True)
        async with self.room.submission(large=True), self.outbox.transaction() as tx:
            await self._wanted(tx, chosen, start)
        return {one.id: one.detail for one in chosen.refused}

    async def _not_deleted(self, jobs: Sequence[Selected]) -> dict[str, str]:
        """Which of these jobs are not deleted, and why. Raises Unavailable when the scheduler does not answer."""
        over = [one.id for one in jobs if JOB.is_final(one.status)]
        running = {one.id: RUNNING.format(one.status.value) for one in jobs if not JOB.is_final(one.status)}
        return running | dict.fromkeys(await self.scheduled(over) if over else (), SCHEDULED)

    async def _choose(self, body: JobSelection, about: _About) -> _Chosen:
        """The jobs that a request is about; those of a filter that the action is about, and that the caller may
        change."""
        if body.ids is not None:
            ids, before = list(dict.fromkeys(one.lower() for one in body.ids)), _before(body)
            jobs = await self.jobs.selected_by_id([one for one in ids if is_id(one)])
            if before is not None:  # the request before has named those that do not exist
                rest = [one for one in jobs if one.id < before]
                return _Chosen(rest, [], len(rest), whole=True)
            unknown = set(ids) - {one.id for one in jobs}
            refused = [RefusedJob(id=one, detail="it does not exist") for one in ids if one in unknown]
            return _Chosen(jobs, refused, len(ids), whole=True)
        narrowed = _own(_narrowed(body.filter, about.statuses))
        if narrowed is None:
            return _Chosen([], [], 0, whole=True)
        jobs = await self.jobs.selected(narrowed, _before(body), body.limit + 1, unstopped=about.unstopped)
        kept = jobs[: body.limit]
        return _Chosen(kept, [], len(kept), whole=len(jobs) <= body.limit)

    async def _count(self, body: JobSelection, about: _About) -> JobsChanged:
        """How many jobs `_choose` would find of a filter."""
        narrowed, found = _own(_narrowed(body.filter, about.statuses)), 0
        if narrowed is not None:
            found = await self.jobs.count_selected(narrowed, _before(body), COUNTED, unstopped=about.unstopped)
        return JobsChanged(matched=found, done=0, refused=[], more=found == COUNTED)


def _narrowed(given: JobFilter | None, statuses: Collection[JobStatus]) -> JobFilter | None:
    """The filter for jobs with one of these statuses; None if it allows none of them."""
    assert given is not None  # without ids there is one
    allowed = [one for one in given.status or JobStatus if one in statuses]
    return given.model_copy(update={"status": allowed}) if allowed else None


def _own(given: JobFilter | None) -> JobFilter | None:
    """The filter for jobs that the caller may change; None if it allows none of them."""
    principal = lacking(Role.OPERATOR)
    if given is None or principal is None:
        return given
    if given.created_by not in (None, principal.id, principal.name):
        return None
    return given.model_copy(update={"created_by": principal.id})


async def _not_cancelled(jobs: Sequence[Selected]) -> dict[str, str]:
    """Which of these jobs are not cancelled, and why."""
    left = {one.id: _why_not_cancelled(one.status, stopping=one.stopping) for one in jobs}
    return {job_id: why for job_id, why in left.items() if why is not None}


def _why_not_cancelled(status: JobStatus, *, stopping: bool) -> str | None:
    """Why a job is left as it is; None if it is cancelled."""
    if JOB.is_final(status):
        return ENDED.format(status.value)
    return STOPPING if stopping else None


def _before(body: JobSelection) -> str | None:
    return None if body.cursor is None else decode_cursor(body.cursor, place="body")[0]


def _only_own(chosen: _Chosen) -> _Chosen:
    """Without the jobs that the caller may not change."""
    principal = lacking(Role.OPERATOR)
    if principal is None:
        return chosen
    others = [one.id for one in chosen.jobs if one.created_by != principal.id]
    chosen.refuse_all(dict.fromkeys(others, f"it was created by another token: that needs the role {Role.OPERATOR}"))
    refuse(*others)
    chosen.jobs = [one for one in chosen.jobs if one.created_by == principal.id]
    return chosen


def api(routes: BulkRoutes) -> Api:
    """The routes."""
    api = Api(tag="jobs", description="Jobs: runs of a pipeline or of a single command.")
    answers: dict[int, object | None] = {200: JobsChanged}
    api.post(
        "/api/v1/jobs/cancel", summary="Cancel many jobs", body=JobSelection, answers=answers, role=Role.SUBMITTER
    )(routes.cancel_jobs)
    api.post(
        "/api/v1/jobs/rerun",
        summary="Run many jobs again",
        body=JobRerunSelection,
        answers=answers,
        creates=True,
        role=Role.SUBMITTER,
    )(routes.rerun_jobs)
    api.post("/api/v1/jobs/delete", summary="Delete many jobs", body=JobSelection, answers=answers)(
        routes.delete_jobs_selected
    )
    return api
