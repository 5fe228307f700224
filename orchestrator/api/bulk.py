"""/api/v1/jobs/cancel, /rerun and /delete: the same for many jobs, by their ids or by a filter.

Each request looks at a limited number of jobs; the `cursor` of its response goes on with the others, of `ids` as of a
filter. A job that cannot be changed is left as it is, and the response says why.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
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
from schemas.access import Role
from schemas.ids import is_id
from schemas.rest.job_filters import JobFilter, JobRerunSelection, JobsChanged, JobSelection, RefusedJob
from schemas.states import JOB, IllegalTransition, JobStatus
from shared.access import actor, lacking
from shared.bus import Bus
from shared.clock import now
from shared.errors import Conflict, Invalid, NotFound
from shared.outbox import Outbox
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

OPEN: Final = frozenset(JobStatus) - JOB.final


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
        """Those jobs of a `filter` that have not ended, and of `ids` all. They are cancelled as
        `POST /api/v1/jobs/{id}/cancel` does. A submitter cancels only jobs that it submitted; `refused` has the
        others."""
        if body.dry_run:
            return json_response(await self._count(body, OPEN))
        chosen, moment, by = await self._choose(body, OPEN), now(), actor()
        own = _only_own(chosen)
        for part in own.parts():
            ended: dict[str, JobStatus] = {}

            def cancel(run: JobRun, ended: dict[str, JobStatus] = ended) -> None:
                try:
                    run.cancel(moment, by=by)
                except IllegalTransition:
                    ended[run.job.id] = run.job.status

            found = await self.work.change([one.id for one in part], cancel, moment)
            for one in part:
                if one.id in ended:
                    own.refuse(one.id, f"it has already ended: {ended[one.id].value}")
                elif one.id in found:
                    own.done.append(one.id)
                else:
                    own.refuse(one.id, "it was deleted")
        return json_response(own.answer())

    async def rerun_jobs(self, request: web.Request, body: JobRerunSelection) -> web.StreamResponse:
        """Those jobs of a `filter` that have ended, and of `ids` all. The new jobs are created together, or none is.
        A submitter runs only jobs again that it submitted; `refused` has the others, and those that cannot run again,
        as after their pipeline was archived."""
        if body.dry_run:
            return json_response(await self._count(body, JOB.final))
        chosen = _only_own(await self._choose(body, JOB.final))
        wanted: list[Wanted] = []
        async with self.room.submission(large=True) as entry, idempotent(request, self.outbox) as tx:
            for one in chosen.jobs:
                try:
                    job = await self.submission.of_rerun(tx, one.id, start=body.from_, by=actor())
                except (NotFound, Conflict, Invalid) as error:
                    chosen.refuse(one.id, str(error))
                else:
                    if wanted and sum(len(each.definitions) for each in (*wanted, job)) > TASKS:
                        chosen.whole = False
                        break
                    wanted.append(job)
                    chosen.done.append(one.id)
                chosen.last = one.id
            else:
                chosen.finish()
            if wanted:
                entry.admit(len(wanted))
                new = await self.reception.begin(tx, wanted, batch=True)
                self.work.create(tx, new)
                tx.changes(*chosen.done)
            response = tx.answer(200, chosen.answer([job.id for job in wanted]).model_dump_json().encode())
        return response

    async def delete_jobs_selected(self, _request: web.Request, body: JobSelection) -> web.StreamResponse:
        """Those jobs of a `filter` that have ended, and of `ids` all, with their logs. Jobs that a schedule will run
        again stay; `refused` has them. If NATS does not delete the logs, or the scheduler does not answer, the response
        is 503, and the same request can delete the rest."""
        if body.dry_run:
            return json_response(await self._count(body, JOB.final))
        chosen = await self._choose(body, JOB.final)
        since = await logs_since(self.bus)
        for part in chosen.parts():
            over = [one.id for one in part if JOB.is_final(one.status)]
            for one in part:
                if not JOB.is_final(one.status):
                    chosen.refuse(one.id, f"it is {one.status.value}: cancel it first, or wait")
            needed = set(await self.scheduled(over)) if over else set()
            for one_id in needed:
                chosen.refuse(one_id, "a schedule will run it again")
            unneeded = [one for one in over if one not in needed]
            async with logs_deleted(self.outbox, self.bus, unneeded, await self.jobs.logs_of(unneeded, since)):
                chosen.done += await self.work.delete(unneeded, by=actor()) if unneeded else []
        return json_response(chosen.answer())

    async def _choose(self, body: JobSelection, statuses: Collection[JobStatus]) -> _Chosen:
        """The jobs that a request is about; those of a filter that have one of these statuses."""
        if body.ids is not None:
            ids, before = list(dict.fromkeys(one.lower() for one in body.ids)), _before(body)
            jobs = await self.jobs.selected_by_id([one for one in ids if is_id(one)])
            if before is not None:  # the request before has named those that do not exist
                rest = [one for one in jobs if one.id < before]
                return _Chosen(rest, [], len(rest), whole=True)
            unknown = set(ids) - {one.id for one in jobs}
            refused = [RefusedJob(id=one, detail="it does not exist") for one in ids if one in unknown]
            return _Chosen(jobs, refused, len(ids), whole=True)
        narrowed = _narrowed(body.filter, statuses)
        if narrowed is None:
            return _Chosen([], [], 0, whole=True)
        jobs = await self.jobs.selected(narrowed, _before(body), body.limit + 1)
        kept = jobs[: body.limit]
        return _Chosen(kept, [], len(kept), whole=len(jobs) <= body.limit)

    async def _count(self, body: JobSelection, statuses: Collection[JobStatus]) -> JobsChanged:
        if body.ids is not None:
            chosen = _only_own(await self._choose(body, statuses))
            return JobsChanged(matched=len(chosen.jobs), done=0, refused=chosen.refused, more=False)
        narrowed = _own(_narrowed(body.filter, statuses))
        found = 0 if narrowed is None else await self.jobs.count_selected(narrowed, _before(body), COUNTED)
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


def _before(body: JobSelection) -> str | None:
    return None if body.cursor is None else decode_cursor(body.cursor, place="body")[0]


def _only_own(chosen: _Chosen) -> _Chosen:
    """Without the jobs that the caller may not change."""
    principal = lacking(Role.OPERATOR)
    if principal is None:
        return chosen
    for one in chosen.jobs:
        if one.created_by != principal.id:
            chosen.refuse(one.id, f"it was created by another token: that needs the role {Role.OPERATOR}")
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
