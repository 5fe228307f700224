"""/api/v1/jobs: submit, list, show, wait for, change, cancel, rerun and delete jobs."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from aiohttp import web
from pydantic import Field

from orchestrator.api.deleted_logs import logs_deleted, logs_since
from orchestrator.api.masked import visible_job
from orchestrator.api.own import check_creator, check_own
from orchestrator.api.shown import shown, shown_in_detail
from orchestrator.aside import Aside
from orchestrator.domain.run import JobRun
from orchestrator.reception import Reception
from orchestrator.retention import Scheduled
from orchestrator.room import JobRoom
from orchestrator.store.jobs import JobStore
from orchestrator.submission import LONG, Submission
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.watch import Watch
from schemas.access import Role
from schemas.ids import LOWEST, is_id
from schemas.rest.job_filters import JobDeletion, JobQuery, JobsDeleted
from schemas.rest.jobs import (
    Job,
    JobChange,
    JobCreate,
    JobDetail,
    JobState,
    RerunRequest,
    WaitQuery,
)
from schemas.states import JOB, IllegalTransition, JobStatus
from shared.access import actor
from shared.bus import Bus
from shared.clock import now
from shared.errors import Conflict, NotFound
from shared.outbox import Outbox
from shared.web import Api, is_stopping, json_response, polling
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page

LOOK_AGAIN: Final = 5.0
"""Seconds after which a waiting request reads the status again although it heard of no change."""

LARGE: Final = 16_384
"""Bytes of a body that may take long to check."""

DELETING_JOBS: Final = 20.0
"""Seconds after which one request deletes no further jobs."""
COUNTED: Final = 100_000
"""The most jobs that a trial of a deletion counts."""
DELETED_AT_ONCE: Final = 100
"""The most jobs that one transaction deletes."""

_log = structlog.get_logger(__name__)

Batch = Annotated[list[JobCreate], Field(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """The handlers of the job routes, and the objects that they use."""

    jobs: JobStore
    work: UnitOfWork
    submission: Submission
    room: JobRoom
    reception: Reception
    outbox: Outbox
    watch: Watch
    bus: Bus
    scheduled: Scheduled
    aside: Aside

    async def create_job(self, request: web.Request, body: JobCreate) -> web.StreamResponse:
        """The job runs a pipeline or one inline command. An unknown `pipeline_id` is 404."""
        large = (request.content_length or 0) > LARGE
        async with self.room.submission(large=large) as entry, idempotent(request, self.outbox, claim="last") as tx:
            entry.admit()
            [wanted] = await self.submission.of_requests(tx, [body], by=actor())
            [new] = await self.reception.begin(tx, [wanted])
            self.work.create(tx, [new])
            response = tx.answer(201, shown_in_detail(new), {"Location": f"/api/v1/jobs/{wanted.id}"})
        return response

    async def create_jobs(self, request: web.Request, body: list[JobCreate]) -> web.StreamResponse:
        """All jobs are created, or none. The response has them in the order sent."""
        large = len(body) > LONG or (request.content_length or 0) > LARGE
        async with self.room.submission(large=large) as entry, idempotent(request, self.outbox, claim="last") as tx:
            entry.admit(len(body))
            wanted = await self.submission.of_requests(tx, body, by=actor(), batch=True)
            new = await self.reception.begin(tx, wanted, batch=True)
            self.work.create(tx, new)
            response = tx.answer(201, b"[" + b",".join(map(shown, new)) + b"]")
        return response

    async def list_jobs(self, request: web.Request, query: JobQuery) -> web.StreamResponse:
        """Filters are fields of a job; a job must match all of them."""
        return await answer_page(request, query, self.jobs.find)

    async def get_job(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The response has its tasks, and each task's executions. Values of variables and parameters that look like
        secrets are `***`; for callers with a role below `operator`, also those of matrices and of the defaults of
        inputs."""
        body = await self.jobs.get(id)
        if body is None:
            raise NotFound("job", id)
        return json_response(await visible_job(body, self.aside))

    async def get_job_status(self, request: web.Request, id: str, query: WaitQuery) -> web.StreamResponse:
        """With `wait`, responds when the job has ended or after that many seconds; earlier when the service stops."""
        with self.watch.end_of(id) as listener:
            give_up = asyncio.get_running_loop().time() + query.wait
            if query.wait and self.bus.connected and self.work.under_way(id):  # the tables do not have its end yet
                async with polling(request):
                    await listener.changed(min(query.wait, LOOK_AGAIN))
            while listener.ended is None:
                status = await self._status(id)
                left = give_up - asyncio.get_running_loop().time()
                if JOB.is_final(status) or left <= 0 or is_stopping(request):
                    return json_response(JobState(id=id, status=status))
                async with polling(request):
                    await listener.changed(min(left, LOOK_AGAIN))
            return json_response(JobState(id=id, status=listener.ended))

    async def cancel_job(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Waiting steps are cancelled at once; running ones are ordered to stop. Steps with `when: always` then clean
        up, for at most `cleanup_timeout`; a second request ends them as well. A submitter cancels only jobs that it
        submitted. 409 when the job has ended."""
        moment, by = now(), actor()

        def cancel(run: JobRun) -> None:
            check_own(run.job)
            try:
                run.cancel(moment, by=by)
            except IllegalTransition:
                raise Conflict(f"job {id} has already ended: {run.job.status.value}") from None

        runs = await self.work.change([id], cancel, moment)
        if id not in runs:
            raise NotFound("job", id)
        return json_response(JobState(id=id, status=runs[id].job.status), status=202)

    async def change_job(self, _request: web.Request, id: str, body: JobChange) -> web.StreamResponse:
        """A new `priority` applies to the job's tasks that wait, from the next second on, and to its later steps and
        retries. What runs goes on. A submitter changes only jobs that it submitted. 409 when the job has ended."""
        moment, by = now(), actor()

        def change(run: JobRun) -> None:
            check_own(run.job)
            try:
                run.prioritize(body.priority, moment, by=by)
            except IllegalTransition:
                raise Conflict(f"job {id} has already ended: {run.job.status.value}") from None

        await self.work.change([id], change, moment)
        return json_response(await self.jobs.get_alone(id))

    async def rerun_job(self, request: web.Request, id: str, body: RerunRequest) -> web.StreamResponse:
        """Creates a new job with the same definition. With `{"from": "failed"}` or a step's name, it keeps what
        succeeded before. A submitter runs only jobs again that it submitted, as a new job has the secrets of the old
        one. 409 while the job runs, when its pipeline is archived, and with `failed` when nothing of it failed."""
        for job in await self.jobs.selected_by_id([id] if is_id(id) else []):
            check_creator(job.created_by)
        async with self.room.submission() as entry, idempotent(request, self.outbox) as tx:
            entry.admit()
            wanted = await self.submission.of_rerun(tx, id, start=body.from_, by=actor())
            [new] = await self.reception.begin(tx, [wanted])
            self.work.create(tx, [new])
            response = tx.answer(201, shown_in_detail(new), {"Location": f"/api/v1/jobs/{wanted.id}"})
        return response

    async def delete_job(self, _request: web.Request, id: str) -> web.StreamResponse:
        """409 while the job runs. Its logs are deleted first: if NATS does not delete them, the response is 503, and
        the request can be repeated."""
        status = await self._status(id)
        if not JOB.is_final(status):  # a final status stays final
            raise Conflict(f"job {id} is {status.value}: cancel it first, or wait")
        executions = [execution["id"] for execution in await self.jobs.executions(id)]
        async with logs_deleted(self.outbox, self.bus, [id], executions):
            if not await self.work.delete([id], by=actor()):
                raise NotFound("job", id)
        return web.Response(status=204)

    async def delete_jobs(self, _request: web.Request, query: JobDeletion) -> web.StreamResponse:
        """Deletes the oldest jobs first, with their logs, selected by the time of their end, their status and their
        labels. Jobs that a schedule will run again stay: `kept` is their number. It ends after `limit` jobs or 20 s:
        `more` tells whether to repeat it. If NATS does not delete the logs, or the scheduler does not answer, the
        response is 503, and the same request can delete the rest."""
        statuses = [query.status] if query.status else sorted(JOB.final)
        moment, labels = query.ended_before, query.labels()
        if query.dry_run:
            found = 0
            for status in statuses:
                found += await self.jobs.count_over_before(status, moment, labels, COUNTED - found)
            return json_response(JobsDeleted(deleted=found, more=found == COUNTED, dry_run=True))
        clock = asyncio.get_running_loop().time
        until = clock() + DELETING_JOBS
        since = await logs_since(self.bus)
        deleted = kept = 0
        for status in statuses:
            after = LOWEST
            while deleted < query.limit and clock() < until:
                at_once = min(DELETED_AT_ONCE, query.limit - deleted)
                page = await self.jobs.over_before(status, moment, labels, after=after, logs_since=since, limit=at_once)
                if not page:
                    break
                after = max(page)
                for needed in await self.scheduled(page):
                    kept += page.pop(needed, None) is not None
                executions = [execution for each in page.values() for execution in each]
                async with logs_deleted(self.outbox, self.bus, page, executions):
                    deleted += len(await self.work.delete(page, by=actor())) if page else 0
        return json_response(JobsDeleted(deleted=deleted, more=deleted == query.limit or clock() >= until, kept=kept))

    async def _status(self, id: str) -> JobStatus:
        """The job's status from the tables. If it is final, note the end, in case its event was missed."""
        try:
            status = await self.jobs.status(id)
        except NotFound:
            self.work.over(id)
            raise
        if JOB.is_final(status):
            self.work.over(id)
        return status


def api(routes: JobRoutes) -> Api:
    """The routes."""
    api = Api(tag="jobs", description="Jobs: runs of a pipeline or of a single command.")
    api.post(
        "/api/v1/jobs",
        summary="Submit a job",
        body=JobCreate,
        answers={201: JobDetail},
        creates=True,
        role=Role.SUBMITTER,
    )(routes.create_job)
    api.post(
        "/api/v1/jobs/batch",
        summary="Submit up to 1000 jobs",
        body=Batch,
        answers={201: list[Job]},
        creates=True,
        role=Role.SUBMITTER,
    )(routes.create_jobs)
    api.get("/api/v1/jobs", summary="List jobs, newest first", query=JobQuery, answers={200: list[Job]})(
        routes.list_jobs
    )
    api.get("/api/v1/jobs/{id}", summary="Show a job", answers={200: JobDetail})(routes.get_job)
    api.get(
        "/api/v1/jobs/{id}/status",
        summary="Show a job's status, or wait for its end",
        query=WaitQuery,
        answers={200: JobState},
    )(routes.get_job_status)
    api.post("/api/v1/jobs/{id}/cancel", summary="Cancel a job", answers={202: JobState}, role=Role.SUBMITTER)(
        routes.cancel_job
    )
    api.patch(
        "/api/v1/jobs/{id}",
        summary="Change a job's priority",
        body=JobChange,
        answers={200: Job},
        role=Role.SUBMITTER,
    )(routes.change_job)
    api.post(
        "/api/v1/jobs/{id}/rerun",
        summary="Run a job again",
        body=RerunRequest,
        answers={201: JobDetail},
        creates=True,
        role=Role.SUBMITTER,
    )(routes.rerun_job)
    api.delete("/api/v1/jobs/{id}", summary="Delete a job and its logs", answers={204: None})(routes.delete_job)
    api.delete(
        "/api/v1/jobs",
        summary="Delete many jobs that have ended",
        query=JobDeletion,
        answers={200: JobsDeleted},
    )(routes.delete_jobs)
    return api
