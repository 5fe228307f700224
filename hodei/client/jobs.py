"""The client's calls for jobs, to the orchestrator."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Unpack

from hodei.client.calls import LONGEST_WAIT, Fields, body_of, many, one, pages, quoted
from hodei.client.filters import ConcurrencyFilters, JobFilters
from hodei.client.services import Services
from hodei.client.transport import Query
from schemas.rest.concurrency import ConcurrencyKey
from schemas.rest.jobs import (
    Job,
    JobChange,
    JobCreate,
    JobDetail,
    JobLogLine,
    JobLogs,
    JobsDeleted,
    JobState,
    RerunRequest,
    TimelineEvent,
)
from schemas.specs import Priority
from schemas.states import JOB


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
        """Request the cancellation of a job. Raises ApiError (409) when it has ended."""
        await self.orchestrator.request("POST", f"/api/v1/jobs/{quoted(job_id)}/cancel")

    async def set_priority(self, job_id: str, priority: Priority) -> Job:
        """Change the priority of a job: of its tasks that wait, its later steps and its retries. Raises ApiError (409)
        when it has ended."""
        path = f"/api/v1/jobs/{quoted(job_id)}"
        return one(Job, await self.orchestrator.request("PATCH", path, body=body_of(JobChange, {"priority": priority})))

    async def rerun(self, job_id: str, *, start: str = "start", idempotency_key: str | None = None) -> JobDetail:
        """Repeat a job as a new one. With `start="failed"`, or a step's name, what succeeded before is kept. Raises
        ApiError: 409 while the job runs and when its pipeline is archived, 422 for an unknown step."""
        request = RerunRequest.model_validate({"from": start})
        path = f"/api/v1/jobs/{quoted(job_id)}/rerun"
        answer = await self.orchestrator.request(
            "POST", path, body=body_of(RerunRequest, request), creates=True, idempotency_key=idempotency_key
        )
        return one(JobDetail, answer)

    async def delete_job(self, job_id: str) -> None:
        """Delete a job and its logs. Raises ApiError (409) while it runs."""
        await self.orchestrator.request("DELETE", f"/api/v1/jobs/{quoted(job_id)}")

    async def delete_jobs(
        self, *, before: datetime, status: str | None = None, label: Sequence[str] | None = None
    ) -> int:
        """Delete all jobs that ended before a moment, with their logs; only those with all of these labels, each as
        KEY=VALUE. Returns their number."""
        query = _deletion(before, status, label)
        deleted = 0
        while True:
            answer = await self.orchestrator.request("DELETE", "/api/v1/jobs", query=query, timeout=LONGEST_WAIT)
            page = one(JobsDeleted, answer)
            deleted += page.deleted
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

    async def logs(self, job_id: str) -> JobLogs:
        """The output of all of a job's tasks, in order."""
        return one(JobLogs, await self.orchestrator.request("GET", f"/api/v1/jobs/{quoted(job_id)}/logs"))

    async def follow_logs(self, job_id: str, *, after: str | None = None) -> AsyncIterator[JobLogLine]:
        """A job's output from its start (or after a line's id), live until the job ends. Steps that run at the same
        time are followed at the same time. `hodei.written` returns a line's bytes."""
        async for event in self.orchestrator.stream(f"/api/v1/jobs/{quoted(job_id)}/logs", last_id=after):
            if event.event != "end":
                line = self.orchestrator.read(JobLogLine, event.data)
                yield line.model_copy(update={"id": event.id})


def _deletion(before: datetime, status: str | None, label: Sequence[str] | None) -> Query:
    return {"before": before.isoformat(), "status": status, "label": list(label or ()) or None}
