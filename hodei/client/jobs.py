"""The client's calls for jobs, to the orchestrator."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Unpack

from pydantic_core import to_json

from hodei.client.calls import LONGEST_WAIT, Fields, body_of, many, one, pages, query_of, quoted
from hodei.client.errors import ClientError
from hodei.client.filters import (
    ConcurrencyFilters,
    ExecutionsOfJob,
    JobFilters,
    JobLogBeginning,
    JobLogPart,
    JobSelectionFilters,
)
from hodei.client.services import Services
from hodei.client.transport import Answer, Query
from schemas.rest.concurrency import ConcurrencyKey
from schemas.rest.job_filters import JobsChanged, JobsDeleted
from schemas.rest.jobs import (
    Job,
    JobChange,
    JobCreate,
    JobDetail,
    JobLogLine,
    JobLogs,
    JobState,
    RerunRequest,
    TimelineEvent,
)
from schemas.specs import Priority
from schemas.states import JOB

Progress = Callable[[JobsChanged], None]
"""Called with what a call that changes many jobs in several requests has done so far."""


class JobCalls(Services):
    """Submit, follow, change, cancel, rerun and delete jobs."""

    async def submit(self, job: JobCreate | Fields, *, idempotency_key: str | None = None) -> JobDetail:
        """Submit a job. It is stored once this returns."""
        answer = await self.orchestrator.request(
            "POST", "/api/v1/jobs", body=body_of(JobCreate, job), creates=True, idempotency_key=idempotency_key
        )
        return one(JobDetail, answer)

    async def submit_many(self, jobs: Sequence[JobCreate | Fields], *, idempotency_key: str | None = None) -> list[Job]:
        """Submit up to 1000 jobs, all or none. They are returned in the same order."""
        body = b"[" + b",".join(body_of(JobCreate, job) for job in jobs) + b"]"
        answer = await self.orchestrator.request(
            "POST", "/api/v1/jobs/batch", body=body, creates=True, idempotency_key=idempotency_key
        )
        return many(Job, answer)

    async def job(self, job_id: str) -> JobDetail:
        """One job with its tasks and their executions."""
        return one(JobDetail, await self.orchestrator.request("GET", f"/api/v1/jobs/{quoted(job_id)}"))

    def jobs(self, **filters: Unpack[JobFilters]) -> AsyncIterator[Job]:
        """All jobs that match, newest first, page by page."""
        return pages(self.orchestrator, Job, "/api/v1/jobs", filters)

    def concurrency_keys(self, **filters: Unpack[ConcurrencyFilters]) -> AsyncIterator[ConcurrencyKey]:
        """The concurrency keys that jobs hold or wait for, in their order, page by page."""
        return pages(self.orchestrator, ConcurrencyKey, "/api/v1/concurrency", filters)

    async def wait(self, job_id: str, *, timeout: float) -> JobState:
        """Wait until a job has ended. Raises TimeoutError after `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError(f"job {job_id} has not ended after {timeout:g} s")
            slice_ = min(left, LONGEST_WAIT)
            answer = await self.orchestrator.request(
                "GET", f"/api/v1/jobs/{quoted(job_id)}/status", query={"wait": slice_}, timeout=slice_ + 30
            )
            state = one(JobState, answer)
            if JOB.is_final(state.status):
                return state

    async def cancel(self, job_id: str) -> None:
        """Request the cancellation of a job; of one that is being stopped already, also the end of its clean-up. Raises
        ApiError (409) when it has ended."""
        await self.orchestrator.request("POST", f"/api/v1/jobs/{quoted(job_id)}/cancel")

    async def set_priority(self, job_id: str, priority: Priority) -> Job:
        """Change the priority of a job: of its tasks that wait, its later steps and its retries. Raises ApiError (409)
        when it has ended."""
        path = f"/api/v1/jobs/{quoted(job_id)}"
        return one(Job, await self.orchestrator.request("PATCH", path, body=body_of(JobChange, {"priority": priority})))

    async def rerun(self, job_id: str, *, start: str = "start", idempotency_key: str | None = None) -> JobDetail:
        """Repeat a job as a new one. With `start="failed"`, or a step's name, what succeeded before is kept. Raises
        ApiError: 403 for another token's job without the role operator, 409 while the job runs, when its pipeline is
        archived and with `failed` when nothing of it failed, 422 for an unknown step."""
        request = RerunRequest.model_validate({"from": start})
        path = f"/api/v1/jobs/{quoted(job_id)}/rerun"
        answer = await self.orchestrator.request(
            "POST", path, body=body_of(RerunRequest, request), creates=True, idempotency_key=idempotency_key
        )
        return one(JobDetail, answer)

    async def cancel_jobs(
        self,
        ids: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        **filters: Unpack[JobSelectionFilters],
    ) -> JobsChanged:
        """Request the cancellation of many jobs: of these, or of all that match. Jobs that are being stopped already
        are left, and clean up. `refused` of the result says which of these were left, and why. A ClientError has in
        `changed` what was done before it; `progress` is called with that after each request."""
        return await self._each("cancel", ids, filters, progress=progress)

    async def rerun_jobs(
        self,
        ids: Sequence[str] | None = None,
        *,
        start: str = "start",
        progress: Progress | None = None,
        **filters: Unpack[JobSelectionFilters],
    ) -> JobsChanged:
        """Repeat many jobs that have ended: these, or all that match. `ids` of the result are the new jobs. A
        ClientError has in `changed` what was done before it; `progress` is called with that after each request."""
        return await self._each("rerun", ids, filters, start, progress=progress)

    async def delete_selected_jobs(
        self,
        ids: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        **filters: Unpack[JobSelectionFilters],
    ) -> JobsChanged:
        """Delete many jobs that have ended, with their logs: these, or all that match. A ClientError has in `changed`
        what was done before it; `progress` is called with that after each request."""
        return await self._each("delete", ids, filters, progress=progress)

    async def count_selected_jobs(
        self, what: Literal["cancel", "rerun", "delete"], **filters: Unpack[JobSelectionFilters]
    ) -> int:
        """How many jobs `cancel_jobs`, `rerun_jobs` or `delete_selected_jobs` would change: 100,000 at the most."""
        return (await self.jobs_to_change(what, **filters)).matched

    async def jobs_to_change(
        self, what: Literal["cancel", "rerun", "delete"], **filters: Unpack[JobSelectionFilters]
    ) -> JobsChanged:
        """What `cancel_jobs`, `rerun_jobs` or `delete_selected_jobs` would change: `matched` is the number of jobs, at
        most 100,000, and `more` whether there may be more."""
        body = to_json({"filter": _selection(filters), "dry_run": True})
        answer = await self.orchestrator.request("POST", _of_many(what), body=body, repeatable=True)
        return one(JobsChanged, answer)

    async def _each(
        self,
        what: str,
        ids: Sequence[str] | None,
        filters: Mapping[str, object],
        start: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> JobsChanged:
        """Repeat a request until it has looked at all jobs. The result has the sums; so has the error, if one fails."""
        if ids is not None and filters:
            raise TypeError("jobs are selected by their ids or by filters, not by both")
        if filters and all(value is None for value in filters.values()):
            raise TypeError(f"all filters are None: {', '.join(filters)}; without any, all jobs are selected")
        size = 100 if what == "rerun" else 1000
        bodies: Iterator[dict[str, object]] = iter([{"filter": _selection(filters)}])
        if ids is not None:
            bodies = ({"ids": list(ids[first : first + size])} for first in range(0, len(ids), size))
        total = JobsChanged(matched=0, done=0, refused=[], more=True)
        for body in bodies:
            cursor: str | None = None
            while True:
                given = {"from": start, "cursor": cursor}
                sent = to_json({**body, **{name: value for name, value in given.items() if value is not None}})
                try:
                    page = one(JobsChanged, await self._of_many(what, sent))
                except ClientError as error:
                    error.changed = total
                    raise
                cursor = page.cursor
                total = JobsChanged(
                    matched=total.matched + page.matched,
                    done=total.done + page.done,
                    refused=[*total.refused, *page.refused],
                    more=True,
                    cursor=None if ids is not None else cursor,
                    ids=[*total.ids, *page.ids],
                )
                if progress is not None:
                    progress(total)
                if cursor is None:
                    break
        return total.model_copy(update={"more": False})

    async def _of_many(self, what: str, body: bytes) -> Answer:
        return await self.orchestrator.request(
            "POST",
            _of_many(what),
            body=body,
            creates=what == "rerun",
            repeatable=True,
            timeout=LONGEST_WAIT,
        )

    async def delete_job(self, job_id: str) -> None:
        """Delete a job and its logs. Raises ApiError (409) while it runs."""
        await self.orchestrator.request("DELETE", f"/api/v1/jobs/{quoted(job_id)}")

    async def delete_jobs(
        self,
        *,
        before: datetime,
        status: str | None = None,
        label: Sequence[str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Delete all jobs that ended before a moment, with their logs; only those with all of these labels, each as
        KEY=VALUE. Returns their number; `progress` is called with the number so far after each request."""
        query = _deletion(before, status, label)
        deleted = 0
        while True:
            answer = await self.orchestrator.request("DELETE", "/api/v1/jobs", query=query, timeout=LONGEST_WAIT)
            page = one(JobsDeleted, answer)
            deleted += page.deleted
            if progress is not None:
                progress(deleted)
            if not page.more:
                return deleted

    async def jobs_to_delete(
        self, *, before: datetime, status: str | None = None, label: Sequence[str] | None = None
    ) -> JobsDeleted:
        """What `delete_jobs` would delete: `deleted` is the number of jobs, at most 100,000, and `more` whether there
        may be more."""
        query = {**_deletion(before, status, label), "dry_run": "true"}
        return one(JobsDeleted, await self.orchestrator.request("DELETE", "/api/v1/jobs", query=query))

    async def events(self, job_id: str) -> list[TimelineEvent]:
        """A job's timeline so far."""
        return many(TimelineEvent, await self.orchestrator.request("GET", f"/api/v1/jobs/{quoted(job_id)}/events"))

    async def follow_events(self, job_id: str, *, after: str | None = None) -> AsyncIterator[TimelineEvent]:
        """A job's timeline from its start (or after an event's id), live until the job ends."""
        async for event in self.orchestrator.stream(f"/api/v1/jobs/{quoted(job_id)}/events", last_id=after):
            if event.event != "end":
                yield self.orchestrator.read(TimelineEvent, event.data)

    async def logs(self, job_id: str, **part: Unpack[JobLogPart]) -> JobLogs:
        """The output of all of a job's tasks, in order, or a part of it. It is held in memory: for a long output,
        use `log_lines`."""
        path = f"/api/v1/jobs/{quoted(job_id)}/logs"
        return one(JobLogs, await self.orchestrator.request("GET", path, query=query_of(part)))

    def log_lines(
        self, job_id: str, *, after: str | None = None, **executions: Unpack[ExecutionsOfJob]
    ) -> AsyncIterator[JobLogLine]:
        """A job's output so far, in the order of `logs`, from its start (or after a line's id): line by line, as it is
        received, so that an output of any length takes little memory."""
        return self._job_log_lines(job_id, {**query_of(executions), "follow": "false"}, after, live=False)

    def follow_logs(
        self, job_id: str, *, after: str | None = None, **beginning: Unpack[JobLogBeginning]
    ) -> AsyncIterator[JobLogLine]:
        """A job's output from its start (or after a line's id), live until the job ends. Steps that run at the same
        time are followed at the same time. `hodei.written` returns a line's bytes."""
        return self._job_log_lines(job_id, query_of(beginning), after, live=True)

    async def _job_log_lines(
        self, job_id: str, query: Query, after: str | None, *, live: bool
    ) -> AsyncIterator[JobLogLine]:
        path = f"/api/v1/jobs/{quoted(job_id)}/logs"
        async for event in self.orchestrator.stream(path, query=query, last_id=after, live=live):
            if event.event != "end":
                line = self.orchestrator.read(JobLogLine, event.data)
                yield line.model_copy(update={"id": event.id})


def _deletion(before: datetime, status: str | None, label: Sequence[str] | None) -> Query:
    return {"before": before.isoformat(), "status": status, "label": list(label or ()) or None}


def _of_many(what: str) -> str:
    return f"/api/v1/jobs/{what}"


def _selection(filters: Mapping[str, object]) -> dict[str, object]:
    """Filters as fields of a body. Statuses, labels and parameters are lists there."""
    given = {name: value for name, value in filters.items() if value is not None}
    if isinstance(given.get("status"), str):
        given["status"] = [given["status"]]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
