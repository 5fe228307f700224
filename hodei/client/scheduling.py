"""The client's calls to the scheduler: schedules, registered workers, the queue."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import Fields, body_of, many, one, pages, quoted
from hodei.client.filters import PageFilters, QueueFilters, RegisteredWorkerFilters, ScheduleFilters
from hodei.client.services import Services
from schemas.rest.schedules import Explanation, Firing, NextTime, QueuedTask, Schedule, ScheduleCreate, SchedulePatch
from schemas.rest.workers import RegisteredWorker, WorkerRegister


class SchedulingCalls(Services):
    """Schedules, workers as the scheduler sees them, and the queue."""

    async def schedule(self, schedule: ScheduleCreate | Fields) -> Schedule:
        """Create a schedule: a job to run now, once at `run_at`, or again and again by `cron` or `every`."""
        answer = await self.scheduler.request(
            "POST", "/api/v1/schedule", body=body_of(ScheduleCreate, schedule), creates=True
        )
        return one(Schedule, answer)

    async def scheduled(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return one(Schedule, await self.scheduler.request("GET", f"/api/v1/scheduled/{quoted(schedule_id)}"))

    def schedules(self, **filters: Unpack[ScheduleFilters]) -> AsyncIterator[Schedule]:
        """All schedules, newest first."""
        return pages(self.scheduler, Schedule, "/api/v1/scheduled", filters)

    async def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule. The jobs that it created stay."""
        await self.scheduler.request("DELETE", f"/api/v1/scheduled/{quoted(schedule_id)}")

    async def update_schedule(self, schedule_id: str, changes: SchedulePatch | Fields) -> Schedule:
        """Change the fields that are given; None means a field's default."""
        path, body = f"/api/v1/scheduled/{quoted(schedule_id)}", body_of(SchedulePatch, changes)
        return one(Schedule, await self.scheduler.request("PATCH", path, body=body))

    async def pause_schedule(self, schedule_id: str) -> Schedule:
        """Pause a schedule: it fires only when it is triggered, until `resume_schedule`."""
        return one(Schedule, await self.scheduler.request("POST", f"/api/v1/scheduled/{quoted(schedule_id)}/pause"))

    async def resume_schedule(self, schedule_id: str) -> Schedule:
        """Let a schedule that is paused or failed fire again."""
        return one(Schedule, await self.scheduler.request("POST", f"/api/v1/scheduled/{quoted(schedule_id)}/resume"))

    async def trigger_schedule(self, schedule_id: str) -> Firing:
        """Fire a schedule now. The answer has the id of the job that it creates."""
        path = f"/api/v1/scheduled/{quoted(schedule_id)}/trigger"
        return one(Firing, await self.scheduler.request("POST", path, creates=True))

    async def next_times(self, schedule_id: str, count: int = 10) -> list[NextTime]:
        """When a schedule fires next: at most `count` times, from 1 to 100."""
        path = f"/api/v1/scheduled/{quoted(schedule_id)}/next"
        return many(NextTime, await self.scheduler.request("GET", path, query={"count": str(count)}))

    def schedule_history(self, schedule_id: str, **filters: Unpack[PageFilters]) -> AsyncIterator[Firing]:
        """The last 100 firings of a schedule and their results, newest first."""
        return pages(self.scheduler, Firing, f"/api/v1/scheduled/{quoted(schedule_id)}/history", filters)

    async def register_worker(self, worker: WorkerRegister | Fields) -> RegisteredWorker:
        """Register a worker that has no agent. It is listed, but gets no orders."""
        answer = await self.scheduler.request(
            "POST", "/api/v1/workers", body=body_of(WorkerRegister, worker), creates=True
        )
        return one(RegisteredWorker, answer)

    def registered_workers(self, **filters: Unpack[RegisteredWorkerFilters]) -> AsyncIterator[RegisteredWorker]:
        """All workers that the scheduler knows, newest first."""
        return pages(self.scheduler, RegisteredWorker, "/api/v1/workers", filters)

    async def registered_worker(self, worker_id: str) -> RegisteredWorker:
        """One worker as the scheduler sees it."""
        return one(RegisteredWorker, await self.scheduler.request("GET", f"/api/v1/workers/{quoted(worker_id)}"))

    async def drain_worker(self, worker_id: str) -> RegisteredWorker:
        """Drain a worker: it gets no new work until `resume_worker`."""
        return one(RegisteredWorker, await self.scheduler.request("POST", f"/api/v1/workers/{quoted(worker_id)}/drain"))

    async def resume_worker(self, worker_id: str) -> RegisteredWorker:
        """End a worker's drain. Raises ApiError (409) for one that drains in order to stop."""
        return one(
            RegisteredWorker, await self.scheduler.request("POST", f"/api/v1/workers/{quoted(worker_id)}/resume")
        )

    def queue(self, **filters: Unpack[QueueFilters]) -> AsyncIterator[QueuedTask]:
        """The tasks that wait, in the order in which they would run, page by page."""
        return pages(self.scheduler, QueuedTask, "/api/v1/queue", filters)

    async def explain(self, task_id: str) -> Explanation:
        """Why a task waits."""
        return one(Explanation, await self.scheduler.request("GET", f"/api/v1/tasks/{quoted(task_id)}/explain"))
