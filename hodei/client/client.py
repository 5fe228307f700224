"""`Client`: one typed method for each operation of the platform."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar, Unpack
from urllib.parse import quote

from pydantic import BaseModel
from yarl import URL

from hodei.client.errors import BadAddress, WrongSetting
from hodei.client.filters import (
    DeadLetterFilters,
    ExecutionFilters,
    JobFilters,
    ManagedWorkerFilters,
    PageFilters,
    PipelineFilters,
    QueueFilters,
    RegisteredWorkerFilters,
    ScheduleFilters,
)
from hodei.client.transport import Answer, Query, Transport
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail
from schemas.rest.executions import ExecuteRequest, ExecutionLogs, LogLineView, ManagedExecution
from schemas.rest.health import Health
from schemas.rest.jobs import (
    Job,
    JobCreate,
    JobDetail,
    JobLogLine,
    JobLogs,
    JobsDeleted,
    JobState,
    RerunRequest,
    TimelineEvent,
)
from schemas.rest.pipelines import Pipeline, PipelineCreate
from schemas.rest.schedules import Explanation, QueuedTask, Schedule, ScheduleCreate
from schemas.rest.workers import ManagedWorker, ManagedWorkerState, RegisteredWorker, WorkerRegister, WorkerStart
from schemas.states import JOB
from schemas.variables import unknown_variables

M = TypeVar("M", bound=BaseModel)
Fields = Mapping[str, object]
"""The fields of a request by their names, as in JSON."""
LONGEST_WAIT = 60.0
LARGEST_PAGE = 1000


class Client:
    """An asynchronous client of the three services.

    Addresses default to HODEI_ORCHESTRATOR_URL, HODEI_SCHEDULER_URL, HODEI_WORKER_MANAGER_URL and then to 127.0.0.1 at
    the ports that `hodei up` takes there: ORCHESTRATOR_PORT and so on, or the standard ones. `timeout` is seconds for
    one answer. Raises BadAddress for an address that is not one, and, where an address is taken from the environment,
    WrongSetting for an unknown `HODEI_*` variable: a misspelt address would lead to another platform. Every method
    raises ApiError when the platform refuses, Unreachable when no service answers, and UnexpectedAnswer when another
    server does.

    What is sent is a model, such as JobCreate, or a dict of its fields; pydantic's ValidationError, a ValueError, names
    the fields that are wrong. Lists take the filters of their route (`filters.py`); `limit` is the most that they
    yield, `page_size` what they ask for at once.
    """

    def __init__(
        self,
        orchestrator: str | None = None,
        scheduler: str | None = None,
        worker_manager: str | None = None,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
    ) -> None:
        if not (orchestrator and scheduler and worker_manager) and (unknown := unknown_variables(os.environ)):
            raise WrongSetting("; ".join(unknown))

        def transport(given: str | None, service: str, port: int) -> Transport:
            url = given or os.environ.get(f"HODEI_{service}_URL")
            here = f"http://127.0.0.1:{os.environ.get(f'{service}_PORT') or port}"
            name = "" if given else f"HODEI_{service}_URL: " if url else f"{service}_PORT: "
            address = _address(url or here, name)
            return Transport(address, timeout=timeout, attempts=attempts, name=service.lower().replace("_", " "))

        self.orchestrator = transport(orchestrator, "ORCHESTRATOR", 8080)
        self.scheduler = transport(scheduler, "SCHEDULER", 8081)
        self.worker_manager = transport(worker_manager, "WORKER_MANAGER", 8082)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(service.close() for service in self._services().values()))

    async def health(self) -> dict[str, Health]:
        """The health of each service by its name. Raises ApiError (503) for an unhealthy one."""
        answers = await asyncio.gather(*(service.request("GET", "/health") for service in self._services().values()))
        return {name: _one(Health, answer) for name, answer in zip(self._services(), answers, strict=True)}

    # ---------------------------------------------------------------- pipelines

    async def create_pipeline(
        self, pipeline: PipelineCreate | Fields, *, idempotency_key: str | None = None
    ) -> Pipeline:
        """Make a pipeline."""
        answer = await self.orchestrator.request(
            "POST",
            "/api/v1/pipelines",
            body=_body(PipelineCreate, pipeline),
            creates=True,
            idempotency_key=idempotency_key,
        )
        return _one(Pipeline, answer)

    async def pipeline(self, pipeline_id: str) -> Pipeline:
        """One pipeline, in its newest version."""
        return _one(Pipeline, await self.orchestrator.request("GET", f"/api/v1/pipelines/{_id(pipeline_id)}"))

    async def pipeline_version(self, pipeline_id: str, version: int) -> Pipeline:
        """A pipeline as it was at one of its versions, also when it is archived."""
        path = f"/api/v1/pipelines/{_id(pipeline_id)}/versions/{version}"
        return _one(Pipeline, await self.orchestrator.request("GET", path))

    def pipeline_versions(self, pipeline_id: str, **filters: Unpack[PageFilters]) -> AsyncIterator[Pipeline]:
        """A pipeline at all of its versions, newest first."""
        return _pages(self.orchestrator, Pipeline, f"/api/v1/pipelines/{_id(pipeline_id)}/versions", filters)

    async def update_pipeline(self, pipeline_id: str, pipeline: PipelineCreate | Fields) -> Pipeline:
        """Give a pipeline its next version; running jobs keep theirs."""
        path = f"/api/v1/pipelines/{_id(pipeline_id)}"
        return _one(Pipeline, await self.orchestrator.request("PUT", path, body=_body(PipelineCreate, pipeline)))

    async def archive_pipeline(self, pipeline_id: str) -> None:
        """Take a pipeline out of use; its jobs stay readable and do not run again."""
        await self.orchestrator.request("DELETE", f"/api/v1/pipelines/{_id(pipeline_id)}")

    def pipelines(self, **filters: Unpack[PipelineFilters]) -> AsyncIterator[Pipeline]:
        """All pipelines, newest first, page by page."""
        return _pages(self.orchestrator, Pipeline, "/api/v1/pipelines", filters)

    # ---------------------------------------------------------------- jobs

    async def submit(self, job: JobCreate | Fields, *, idempotency_key: str | None = None) -> JobDetail:
        """Submit a job. It is kept once this returns."""
        answer = await self.orchestrator.request(
            "POST", "/api/v1/jobs", body=_body(JobCreate, job), creates=True, idempotency_key=idempotency_key
        )
        return _one(JobDetail, answer)

    async def submit_many(self, jobs: Sequence[JobCreate | Fields], *, idempotency_key: str | None = None) -> list[Job]:
        """Submit up to 1000 jobs, all or none; they come back in the order given."""
        body = b"[" + b",".join(_body(JobCreate, job) for job in jobs) + b"]"
        answer = await self.orchestrator.request(
            "POST", "/api/v1/jobs/batch", body=body, creates=True, idempotency_key=idempotency_key
        )
        return _many(Job, answer)

    async def job(self, job_id: str) -> JobDetail:
        """One job with its tasks and their executions."""
        return _one(JobDetail, await self.orchestrator.request("GET", f"/api/v1/jobs/{_id(job_id)}"))

    def jobs(self, **filters: Unpack[JobFilters]) -> AsyncIterator[Job]:
        """All jobs that match, newest first, page by page."""
        return _pages(self.orchestrator, Job, "/api/v1/jobs", filters)

    async def wait(self, job_id: str, *, timeout: float) -> JobState:
        """Wait until a job is over; raises TimeoutError after `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError(f"job {job_id} is not over after {timeout:g} s")
            slice_ = min(left, LONGEST_WAIT)
            answer = await self.orchestrator.request(
                "GET", f"/api/v1/jobs/{_id(job_id)}/status", query={"wait": slice_}, timeout=slice_ + 30
            )
            state = _one(JobState, answer)
            if JOB.is_final(state.status):
                return state

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop. Raises ApiError (409) when it is over."""
        await self.orchestrator.request("POST", f"/api/v1/jobs/{_id(job_id)}/cancel")

    async def rerun(self, job_id: str, *, from_failed: bool = False) -> JobDetail:
        """Run a job again, as a new one; `from_failed` keeps what succeeded. Raises ApiError (409) while it runs, and
        once its pipeline is archived."""
        request = RerunRequest.model_validate({"from": "failed" if from_failed else "start"})
        path = f"/api/v1/jobs/{_id(job_id)}/rerun"
        return _one(
            JobDetail, await self.orchestrator.request("POST", path, body=_body(RerunRequest, request), creates=True)
        )

    async def delete_job(self, job_id: str) -> None:
        """Forget a job and its logs. Raises ApiError (409) while it runs."""
        await self.orchestrator.request("DELETE", f"/api/v1/jobs/{_id(job_id)}")

    async def delete_jobs(self, *, finished_before: datetime, status: str | None = None) -> int:
        """Forget all jobs that were over before a moment, with their logs. Returns how many."""
        query = {"finished_before": finished_before.isoformat(), "status": status}
        deleted = 0
        while True:
            answer = await self.orchestrator.request("DELETE", "/api/v1/jobs", query=query, timeout=LONGEST_WAIT)
            page = _one(JobsDeleted, answer)
            deleted += page.deleted
            if not page.more:
                return deleted

    async def events(self, job_id: str) -> list[TimelineEvent]:
        """A job's timeline so far."""
        return _many(TimelineEvent, await self.orchestrator.request("GET", f"/api/v1/jobs/{_id(job_id)}/events"))

    async def follow_events(self, job_id: str, *, after: str | None = None) -> AsyncIterator[TimelineEvent]:
        """A job's timeline from its start (or after an event's id), live until the job is over."""
        async for event in self.orchestrator.stream(f"/api/v1/jobs/{_id(job_id)}/events", last_id=after):
            if event.event != "end":
                yield self.orchestrator.read(TimelineEvent, event.data)

    async def logs(self, job_id: str) -> JobLogs:
        """All output of a job's tasks, in order."""
        return _one(JobLogs, await self.orchestrator.request("GET", f"/api/v1/jobs/{_id(job_id)}/logs"))

    async def follow_logs(self, job_id: str, *, after: str | None = None) -> AsyncIterator[JobLogLine]:
        """A job's output from its start (or after a line's id), live until the job is over; steps that run side by side
        are followed side by side. `schemas.output.written` gives a line's bytes."""
        async for event in self.orchestrator.stream(f"/api/v1/jobs/{_id(job_id)}/logs", last_id=after):
            if event.event != "end":
                line = self.orchestrator.read(JobLogLine, event.data)
                yield line.model_copy(update={"id": event.id})

    # ---------------------------------------------------------------- scheduler

    async def schedule(self, schedule: ScheduleCreate | Fields) -> Schedule:
        """Have something run later, or now."""
        answer = await self.scheduler.request(
            "POST", "/api/v1/schedule", body=_body(ScheduleCreate, schedule), creates=True
        )
        return _one(Schedule, answer)

    async def scheduled(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return _one(Schedule, await self.scheduler.request("GET", f"/api/v1/scheduled/{_id(schedule_id)}"))

    def schedules(self, **filters: Unpack[ScheduleFilters]) -> AsyncIterator[Schedule]:
        """All schedules, newest first."""
        return _pages(self.scheduler, Schedule, "/api/v1/scheduled", filters)

    async def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule; jobs that it made stay."""
        await self.scheduler.request("DELETE", f"/api/v1/scheduled/{_id(schedule_id)}")

    async def register_worker(self, worker: WorkerRegister | Fields) -> RegisteredWorker:
        """Make a worker known that has no agent (it is listed, and never sent anything)."""
        answer = await self.scheduler.request(
            "POST", "/api/v1/workers", body=_body(WorkerRegister, worker), creates=True
        )
        return _one(RegisteredWorker, answer)

    def registered_workers(self, **filters: Unpack[RegisteredWorkerFilters]) -> AsyncIterator[RegisteredWorker]:
        """All workers that the scheduler knows, newest first."""
        return _pages(self.scheduler, RegisteredWorker, "/api/v1/workers", filters)

    async def registered_worker(self, worker_id: str) -> RegisteredWorker:
        """One worker as the scheduler sees it."""
        return _one(RegisteredWorker, await self.scheduler.request("GET", f"/api/v1/workers/{_id(worker_id)}"))

    async def drain_worker(self, worker_id: str) -> RegisteredWorker:
        """Place nothing new on a worker, until `resume_worker`."""
        return _one(RegisteredWorker, await self.scheduler.request("POST", f"/api/v1/workers/{_id(worker_id)}/drain"))

    async def resume_worker(self, worker_id: str) -> RegisteredWorker:
        """Lift a worker's drain. Raises ApiError (409) for one that drains in order to stop."""
        return _one(RegisteredWorker, await self.scheduler.request("POST", f"/api/v1/workers/{_id(worker_id)}/resume"))

    def queue(self, **filters: Unpack[QueueFilters]) -> AsyncIterator[QueuedTask]:
        """What waits, in the order in which it would run, page by page."""
        return _pages(self.scheduler, QueuedTask, "/api/v1/queue", filters)

    async def explain(self, task_id: str) -> Explanation:
        """Why a task waits."""
        return _one(Explanation, await self.scheduler.request("GET", f"/api/v1/tasks/{_id(task_id)}/explain"))

    # ---------------------------------------------------------------- worker manager

    async def start_worker(self, worker: WorkerStart | Fields) -> ManagedWorker:
        """Start a real worker process."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/workers", body=_body(WorkerStart, worker), creates=True
        )
        return _one(ManagedWorker, answer)

    def workers(self, **filters: Unpack[ManagedWorkerFilters]) -> AsyncIterator[ManagedWorker]:
        """All workers that the worker manager started, newest first."""
        return _pages(self.worker_manager, ManagedWorker, "/api/v1/workers", filters)

    async def worker(self, worker_id: str) -> ManagedWorker:
        """One worker as the worker manager sees it."""
        return _one(ManagedWorker, await self.worker_manager.request("GET", f"/api/v1/workers/{_id(worker_id)}"))

    async def stop_worker(self, worker_id: str, *, force: bool = False) -> ManagedWorkerState:
        """Drain a worker and stop it; with `force` at once, and its work is queued again."""
        answer = await self.worker_manager.request(
            "DELETE", f"/api/v1/workers/{_id(worker_id)}", query={"force": str(force).lower()}
        )
        return _one(ManagedWorkerState, answer)

    async def execute(self, request: ExecuteRequest | Fields) -> ManagedExecution:
        """Run a command as a single execution."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/execute", body=_body(ExecuteRequest, request), creates=True
        )
        return _one(ManagedExecution, answer)

    def executions(self, **filters: Unpack[ExecutionFilters]) -> AsyncIterator[ManagedExecution]:
        """All executions that match, newest first."""
        return _pages(self.worker_manager, ManagedExecution, "/api/v1/executions", filters)

    async def execution(self, execution_id: str) -> ManagedExecution:
        """One execution."""
        path = f"/api/v1/executions/{_id(execution_id)}"
        return _one(ManagedExecution, await self.worker_manager.request("GET", path))

    async def execution_logs(self, execution_id: str) -> ExecutionLogs:
        """One execution's output."""
        path = f"/api/v1/executions/{_id(execution_id)}/logs"
        return _one(ExecutionLogs, await self.worker_manager.request("GET", path))

    async def follow_execution_logs(self, execution_id: str, *, after: str | None = None) -> AsyncIterator[LogLineView]:
        """An execution's output from its start (or after a line's id), live until it is over."""
        path = f"/api/v1/executions/{_id(execution_id)}/logs"
        async for event in self.worker_manager.stream(path, last_id=after):
            if event.event != "end":
                line = self.worker_manager.read(LogLineView, event.data)
                yield line.model_copy(update={"id": event.id})

    # ---------------------------------------------------------------- dead letters, of each service

    def dead_letters(self, service: str, **filters: Unpack[DeadLetterFilters]) -> AsyncIterator[DeadLetter]:
        """The events that a service (`orchestrator`, `scheduler` or `worker-manager`) gave up, newest first. Raises
        ValueError for another name."""
        return _pages(self._service(service), DeadLetter, "/api/v1/dead-letters", filters)

    async def dead_letter(self, service: str, letter_id: str) -> DeadLetterDetail:
        """One dead letter with its event."""
        answer = await self._service(service).request("GET", f"/api/v1/dead-letters/{_id(letter_id)}")
        return _one(DeadLetterDetail, answer)

    async def resend_dead_letter(self, service: str, letter_id: str) -> DeadLetter:
        """Publish its event again, and take the letter out. Raises ApiError (409) when it was not kept whole."""
        answer = await self._service(service).request("POST", f"/api/v1/dead-letters/{_id(letter_id)}/resend")
        return _one(DeadLetter, answer)

    async def delete_dead_letter(self, service: str, letter_id: str) -> None:
        """Give its event up for good."""
        await self._service(service).request("DELETE", f"/api/v1/dead-letters/{_id(letter_id)}")

    def _service(self, name: str) -> Transport:
        services = self._services()
        found = services.get(name.replace("_", "-"))
        if found is None:
            raise ValueError(f"there is no service {name!r}: {', '.join(services)}")
        return found

    def _services(self) -> Mapping[str, Transport]:
        return {
            "orchestrator": self.orchestrator,
            "scheduler": self.scheduler,
            "worker-manager": self.worker_manager,
        }


def _address(text: str, name: str) -> URL:
    """A service's base URL. `name` says where the text comes from."""
    try:
        url = URL(text)
        fits = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        fits = False
    if not fits:
        shown = text.rpartition("@")[2]  # without a password
        raise BadAddress(f"{name}{shown} is not the address of a service; one looks like http://HOST:PORT")
    return url


async def _pages(service: Transport, model: type[M], path: str, filters: Mapping[str, object]) -> AsyncIterator[M]:
    """Everything that matches, at most `limit` of it; `page_size` is how many are asked for at once."""
    left, size = _whole(filters.get("limit")), _whole(filters.get("page_size"))
    query: Query | None = _query({name: value for name, value in filters.items() if name != "page_size"})
    if size is not None or (left is not None and left > LARGEST_PAGE):
        query = {**(query or {}), "limit": min(size or LARGEST_PAGE, left or LARGEST_PAGE)}
    next_path: str | None = path
    while next_path is not None:
        answer = await service.request("GET", next_path, query=query)
        for item in _many(model, answer):
            yield item
            if left is not None:
                left -= 1
                if left <= 0:
                    return
        next_path, query = answer.next_page, None


def _query(filters: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Filters as they are written in a URL. Raises TypeError for one of another type than a filter has."""
    return {name: _text(name, value) for name, value in filters.items() if value is not None}


def _text(name: str, value: object) -> str | list[str]:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case str() | int():
            return str(value)
        case list() | tuple():
            return [str(one) for one in value]
    raise TypeError(f"{name}: {value!r} is not a filter")


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))


def _body(kind: type[BaseModel], given: BaseModel | Fields) -> bytes:
    model = kind.model_validate(given) if isinstance(given, Mapping) else given
    if not isinstance(model, kind):
        raise TypeError(f"{kind.__name__} or a dict of its fields is needed, not {type(given).__name__}")
    return model.model_dump_json(exclude_unset=True, by_alias=True).encode()


def _id(text: str) -> str:
    return quote(text, safe="")


def _one(model: type[M], answer: Answer) -> M:
    return answer.read(model)


def _many(model: type[M], answer: Answer) -> list[M]:
    return answer.read(list[model])  # type: ignore[valid-type]  # run time
