"""/api/v1/jobs: submitting, listing, showing, waiting for, cancelling, running again, deleting."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import structlog
from aiohttp import web
from pydantic import Field

from orchestrator.api.shown import shown, shown_in_detail
from orchestrator.domain.run import JobRun
from orchestrator.loops import Deadlines
from orchestrator.store.jobs import JobStore
from orchestrator.submission import Submission, begin_all
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.watch import Watch
from schemas.rest.jobs import (
    Job,
    JobCreate,
    JobDeletion,
    JobDetail,
    JobQuery,
    JobsDeleted,
    JobState,
    RerunRequest,
    WaitQuery,
)
from schemas.states import JOB, IllegalTransition, JobStatus
from shared.bus import Bus, BusError
from shared.clock import now
from shared.errors import BusUnavailable, Conflict, NotFound
from shared.outbox import Outbox
from shared.web import Api, is_stopping, json_response, polling
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page

LOOK_AGAIN: Final = 5.0
"""Seconds after which a waiting request looks without having been told of anything."""

DELETING_LOGS: Final = 10.0
"""Seconds that deleting a job's logs may take."""
LOGS_AT_ONCE: Final = 16
DELETED_AT_ONCE: Final = 100
"""Jobs that one transaction deletes."""

_log = structlog.get_logger(__name__)

Batch = Annotated[list[JobCreate], Field(min_length=1, max_length=1000)]


def api(
    jobs: JobStore,
    work: UnitOfWork,
    submission: Submission,
    outbox: Outbox,
    watch: Watch,
    deadlines: Deadlines,
    bus: Bus,
) -> Api:
    """The routes."""
    api = Api(tag="jobs", description="Jobs: runs of a pipeline or of a single command.")

    @api.post("/api/v1/jobs", summary="Submit a job", body=JobCreate, answers={201: JobDetail}, creates=True)
    async def create_job(request: web.Request, body: JobCreate) -> web.StreamResponse:
        """Of a pipeline, or of one inline command. An unknown `pipeline_id` is 404."""
        async with idempotent(request, outbox, claim="last") as tx:
            [wanted] = await submission.of_requests(tx, [body])
            [new] = begin_all([wanted])
            work.create(tx, [new])
            response = tx.answer(201, shown_in_detail(new), {"Location": f"/api/v1/jobs/{wanted.id}"})
        if wanted.timeout is not None:
            deadlines.wake()
        return response

    @api.post(
        "/api/v1/jobs/batch", summary="Submit up to 1000 jobs", body=Batch, answers={201: list[Job]}, creates=True
    )
    async def create_jobs(request: web.Request, body: list[JobCreate]) -> web.StreamResponse:
        """All or none; the answer is in the order sent."""
        async with idempotent(request, outbox, claim="last") as tx:
            wanted = await submission.of_requests(tx, body, batch=True)
            new = begin_all(wanted)
            work.create(tx, new)
            response = tx.answer(201, b"[" + b",".join(map(shown, new)) + b"]")
        if any(job.timeout is not None for job in wanted):
            deadlines.wake()
        return response

    @api.get("/api/v1/jobs", summary="List jobs, newest first", query=JobQuery, answers={200: list[Job]})
    async def list_jobs(request: web.Request, query: JobQuery) -> web.StreamResponse:
        """Filters are fields of a job; several narrow the list down."""
        return await answer_page(request, query, jobs.find)

    @api.get("/api/v1/jobs/{id}", summary="Show a job", answers={200: JobDetail})
    async def get_job(_request: web.Request, id: str) -> web.StreamResponse:
        """With its tasks, and each task with its executions."""
        body = await jobs.get(id)
        if body is None:
            raise NotFound("job", id)
        return json_response(body)

    @api.get(
        "/api/v1/jobs/{id}/status", summary="Show or await a job's status", query=WaitQuery, answers={200: JobState}
    )
    async def get_job_status(request: web.Request, id: str, query: WaitQuery) -> web.StreamResponse:
        """With `wait`, answers as soon as the job is over, or after so many seconds; earlier when the service stops."""
        with watch.end_of(id) as listener:
            give_up = asyncio.get_running_loop().time() + query.wait
            if query.wait and bus.connected and work.under_way(id):  # so far, the tables say no more
                async with polling(request):
                    await listener.changed(min(query.wait, LOOK_AGAIN))
            while listener.ended is None:
                status = await _status(id)
                left = give_up - asyncio.get_running_loop().time()
                if JOB.is_final(status) or left <= 0 or is_stopping(request):
                    return json_response(JobState(id=id, status=status))
                async with polling(request):
                    await listener.changed(min(left, LOOK_AGAIN))
            return json_response(JobState(id=id, status=listener.ended))

    @api.post("/api/v1/jobs/{id}/cancel", summary="Ask a job to stop", answers={202: JobState})
    async def cancel_job(_request: web.Request, id: str) -> web.StreamResponse:
        """What waits is cancelled at once, what runs is told to stop. 409 when the job is over."""
        moment = now()

        def cancel(run: JobRun) -> None:
            try:
                run.cancel(moment)
            except IllegalTransition:
                raise Conflict(f"job {id} is over: {run.job.status.value}") from None

        runs = await work.change([id], cancel, moment)
        if id not in runs:
            raise NotFound("job", id)
        return json_response(JobState(id=id, status=runs[id].job.status), status=202)

    @api.post(
        "/api/v1/jobs/{id}/rerun",
        summary="Run a job again",
        body=RerunRequest,
        answers={201: JobDetail},
        creates=True,
    )
    async def rerun_job(request: web.Request, id: str, body: RerunRequest) -> web.StreamResponse:
        """A new job of the same definition; `{"from": "failed"}` keeps what succeeded. 409 while the job runs, and
        once its pipeline is archived."""
        async with idempotent(request, outbox) as tx:
            wanted = await submission.of_rerun(tx, id, from_failed=body.from_ == "failed")
            [new] = begin_all([wanted])
            work.create(tx, [new])
            response = tx.answer(201, shown_in_detail(new), {"Location": f"/api/v1/jobs/{wanted.id}"})
        deadlines.wake()
        return response

    @api.delete("/api/v1/jobs/{id}", summary="Delete a job and its logs", answers={204: None})
    async def delete_job(_request: web.Request, id: str) -> web.StreamResponse:
        """409 while it runs. Its logs go first: where NATS does not delete them, the answer is 503, and the job is
        there to be deleted once more."""
        status = await _status(id)
        if not JOB.is_final(status):  # and once it is final, it stays so
            raise Conflict(f"job {id} is {status.value}: cancel it first, or wait")
        await _delete_logs(bus, [execution["id"] for execution in await jobs.executions(id)])
        if not await work.delete([id]):
            raise NotFound("job", id)
        return web.Response(status=204)

    @api.delete(
        "/api/v1/jobs",
        summary="Delete many jobs that are over",
        query=JobDeletion,
        answers={200: JobsDeleted},
    )
    async def delete_jobs(_request: web.Request, query: JobDeletion) -> web.StreamResponse:
        """With their logs, the oldest first, by the time of their end and their status. Where NATS does not delete the
        logs, the answer is 503, and what is left can be deleted with the same request."""
        deleted = 0
        for status in [query.status] if query.status else sorted(JOB.final):
            while deleted < query.limit:
                found = await jobs.over_before(
                    status, query.finished_before, min(DELETED_AT_ONCE, query.limit - deleted)
                )
                if not found:
                    break
                await _delete_logs(bus, [execution for executions in found.values() for execution in executions])
                await work.delete(found)
                deleted += len(found)
        return json_response(JobsDeleted(deleted=deleted, more=deleted == query.limit))

    async def _status(id: str) -> JobStatus:
        """As the tables have it; from then on an end of which no word came is known."""
        try:
            status = await jobs.status(id)
        except NotFound:
            work.over(id)
            raise
        if JOB.is_final(status):
            work.over(id)
        return status

    return api


async def _delete_logs(bus: Bus, executions: Sequence[str]) -> None:
    """Delete what a job's executions wrote, some at a time. Raises BusUnavailable; TimeoutError when it takes long."""
    try:
        async with asyncio.timeout(DELETING_LOGS):
            for first in range(0, len(executions), LOGS_AT_ONCE):
                await asyncio.gather(*(bus.delete_log(one) for one in executions[first : first + LOGS_AT_ONCE]))
    except BusError as error:
        raise BusUnavailable(str(error)) from error
