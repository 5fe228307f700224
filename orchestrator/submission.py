"""Making jobs: of requests, pipelines, earlier jobs, schedules. From what is wanted to what is written.

A job is written with its tasks, its timeline and its events in the caller's transaction; ready tasks are queued in
the same one.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson

from orchestrator.domain.definition import TaskDefinition, again, job_name, of_command, of_steps
from orchestrator.domain.environment import merged
from orchestrator.domain.run import MOST_AVOIDED, Entry, JobRun, JobState, Queued, TaskState
from orchestrator.domain.sizes import Scale
from orchestrator.store.jobs import FormerJob, JobStore, NewJob
from orchestrator.store.memory import RunMemory
from orchestrator.store.pipelines import PipelineStore, RunnablePipeline
from orchestrator.store.runs import Command, said
from orchestrator.traces import Traces
from schemas.cloudevents import travelling_bytes
from schemas.events import JobCreated, JobTarget
from schemas.model import rfc3339
from schemas.rest.jobs import JobCreate, JobDetail, Task
from schemas.rest.pipelines import PipelineCreate
from schemas.sizes import parameter_variable
from schemas.specs import CommandSpec, Priority
from schemas.states import TaskStatus
from shared import masking
from shared.clock import now
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.ids import new_id
from shared.outbox import OutboxTransaction
from shared.postgres import Transaction
from shared.telemetry import inject, tracestate

_LATE_ATTEMPT: Final = 999
"""The number of an attempt that is as long as any."""


@dataclass(slots=True)
class Wanted:
    """A job to make. `task_ids` and `execution_id` are given where somebody named them already."""

    name: str
    definitions: Sequence[TaskDefinition]
    id: str = field(default_factory=new_id)
    task_ids: Sequence[str] = ()
    execution_id: str | None = None
    priority: Priority = "normal"
    pipeline_id: str | None = None
    pipeline_version: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """What all its tasks have in common, but for the parameters."""
    params: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    run_at: datetime | None = None
    rerun_of: str | None = None
    schedule_id: str | None = None
    kept: Mapping[str, TaskState] = field(default_factory=dict)
    """By name: what succeeded in an earlier job and is not run again."""


class Submission:
    """The one place where jobs come from."""

    def __init__(
        self,
        jobs: JobStore,
        pipelines: PipelineStore,
        traces: Traces,
        memory: RunMemory,
        *,
        largest_event: Callable[[], int],
    ) -> None:
        """`largest_event` gives how many bytes the bus takes for one event."""
        self._largest_event = largest_event
        self._jobs = jobs
        self._pipelines = pipelines
        self._traces = traces
        self._memory = memory

    async def of_requests(self, tx: Transaction, requests: Sequence[JobCreate], *, batch: bool = False) -> list[Wanted]:
        """What requests ask for, in their order. Raises NotFound for an unknown pipeline, and Invalid for what is too
        large or not yet supported; of a `batch`, the error names the job's index."""
        if unsupported := [
            FieldError(
                ("body", *([index] if batch else []), "concurrency_key"),
                "not yet supported: jobs do not wait for each other",
                "not_supported",
            )
            for index, request in enumerate(requests)
            if request.concurrency_key is not None
        ]:
            raise Invalid(unsupported)
        ids = {request.pipeline_id for request in requests if request.pipeline_id is not None}
        pipelines = await self._pipelines.runnable(tx, ids) if ids else {}
        wanted = []
        for index, request in enumerate(requests):
            if request.pipeline_id is None:
                job = _of_command(request.command_spec(), request.name)
            elif (pipeline := pipelines.get(request.pipeline_id)) is not None:
                job = _of_pipeline(pipeline, request.name, env=request.env, params=request.params)
            else:
                raise NotFound("pipeline", request.pipeline_id + (f" (job {index} of the batch)" if batch else ""))
            job.priority, job.labels, job.run_at = request.priority, request.labels, request.run_at
            wanted.append(job)
        self._check_sizes(wanted, batch=batch)
        return wanted

    async def of_target(self, tx: Transaction, target: JobTarget, *, single: bool = False) -> Wanted:
        """The job that a schedule or a direct execution names. Raises NotFound, Conflict for a job of an archived
        pipeline, Invalid for one that is too large or, for `single`, has several steps."""
        if target.command is not None:
            job = _of_command(target.command, target.name, env=target.env)
        elif target.pipeline_id is not None:
            pipelines = await self._pipelines.runnable(tx, [target.pipeline_id])
            if target.pipeline_id not in pipelines:
                raise NotFound("pipeline", target.pipeline_id)
            job = _of_pipeline(pipelines[target.pipeline_id], target.name, env=target.env, params=target.params)
        else:
            former = await self._former(tx, target.job_id or "")
            job = _of_former(former, rerun_of=target.job_id or "", env=target.env, params=target.params)
            job.name = target.name or job.name
        if single and len(job.definitions) > 1:
            says = f"has {len(job.definitions)} steps, and an execution is of one: run the job again instead"
            raise Invalid([FieldError(("body", "job_id"), says, "several_steps")])
        job.priority = target.priority
        job.labels = target.labels or job.labels
        self._check_sizes([job])
        return job

    async def of_rerun(self, tx: Transaction, job_id: str, *, from_failed: bool) -> Wanted:
        """A job once more. Raises NotFound, or Conflict while it runs and once its pipeline is archived."""
        former = await self._former(tx, job_id)
        if not former.over:
            raise Conflict(f"job {job_id} is not over yet: cancel it first, or wait")
        job = _of_former(former, rerun_of=job_id)
        if from_failed:
            job.kept = {
                task.definition.name: TaskState(
                    id=new_id(),
                    name=task.definition.name,
                    depends_on=task.definition.depends_on,
                    allow_failure=task.definition.allow_failure,
                    status=task.status,
                    exit_code=task.exit_code,
                    queued_at=task.queued_at,
                    started_at=task.started_at,
                    finished_at=task.finished_at,
                )
                for task in former.tasks
                if task.status is TaskStatus.SUCCEEDED
            }
        self._check_sizes([job])
        return job

    def check_pipeline(self, pipeline: PipelineCreate) -> None:
        """Whether a job of a pipeline could be made, as far as sizes go. Raises Invalid."""
        runnable = RunnablePipeline("", pipeline.name, 1, pipeline.steps, pipeline.env, pipeline.timeout)
        self._check_sizes([_of_pipeline(runnable, None, env={}, params={})])

    def write(self, tx: OutboxTransaction, wanted: Sequence[Wanted]) -> list[JobRun]:
        """Write jobs, with their events, when the transaction ends. Their ids are new, so nobody else has written them.

        The trace that this is called in is theirs for good.
        """
        new = _begin_all(wanted)
        self._jobs.insert(tx, new)
        return self._say(tx, new)

    async def write_missing(self, tx: OutboxTransaction, wanted: Sequence[Wanted]) -> list[JobRun]:
        """As `write`, for jobs whose ids others chose: those that were there already change nothing, and their runs
        are not returned."""
        new = _begin_all(wanted)
        fresh = await self._jobs.insert_missing(tx, new)
        return self._say(tx, [job for job in new if job.run.job.id in fresh])

    def _check_sizes(self, wanted: Sequence[Wanted], *, batch: bool = False) -> None:
        """Raises Invalid for the first job that is too large to be run."""
        scale = Scale(payload=self._largest_event())
        for index, job in enumerate(wanted):
            shared = merged(job.env, params=job.params)
            fault = scale.fault(shared, job.definitions, partial(_order_bytes, job, shared))
            if fault is not None:
                raise Invalid([FieldError(("body", *([index] if batch else []), "env"), fault, "too_large")])

    async def _former(self, tx: Transaction, job_id: str) -> FormerJob:
        former = await self._jobs.former(tx, job_id)
        if former is None:
            raise NotFound("job", job_id)
        if former.archived:
            raise _archived(job_id)
        return former

    def _say(self, tx: OutboxTransaction, new: Sequence[NewJob]) -> list[JobRun]:
        for job in new:
            shared = merged(job.env, params=job.params)
            commands = {
                task_id: _command_of(definition, shared, job.run.job.name, job.priority)
                for task_id, definition in job.definitions.items()
            }
            self._traces.say(tx, job.run.job, said(job.run, job.run.journal, commands))
            self._traces.follow(tx, job.run, job.run.job.created_at)
        runs = [job.run for job in new]
        tx.on_commit(partial(self._memory.keep, runs))
        return runs


def _archived(job_id: str) -> Conflict:
    return Conflict(f"the pipeline of job {job_id} is archived: its jobs do not run again")


def shown(run: JobRun, wanted: Wanted) -> bytes:
    """A job that was just written, as it is answered: a `schemas.rest.jobs.Job` as JSON, a thousand at a time."""
    return orjson.dumps(_job_fields(run, wanted), default=rfc3339, option=orjson.OPT_PASSTHROUGH_DATETIME)


def shown_in_detail(run: JobRun, wanted: Wanted) -> JobDetail:
    """A job that was just written, with its tasks."""
    tasks = [
        Task.model_construct(
            id=task.id,
            name=task.name,
            status=task.status,
            reason=task.reason,
            detail=task.detail,
            attempt=task.attempt,
            depends_on=list(task.depends_on),
            allow_failure=task.allow_failure,
            command=definition.run.command,
            type=definition.run.type,
            env=masking.shown(definition.run.env),
            working_dir=definition.run.working_dir,
            timeout=definition.run.timeout,
            queue_timeout=definition.queue_timeout,
            retry=definition.retry,
            retry_on_lost=definition.retry_on_lost,
            max_crashes=definition.max_crashes,
            requires=dict(definition.requires or {}),
            resources=definition.resources,
            exit_code=task.exit_code,
            queued_at=task.queued_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            executions=[],
        )
        for task, definition in zip(run.tasks.values(), wanted.definitions, strict=True)
    ]
    return JobDetail.model_construct(
        **_job_fields(run, wanted), env=masking.shown(wanted.env), timeout=wanted.timeout, tasks=tasks
    )


def _job_fields(run: JobRun, wanted: Wanted) -> dict[str, Any]:
    job = run.job
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "reason": job.reason,
        "detail": job.detail,
        "pipeline_id": job.pipeline_id,
        "pipeline_version": wanted.pipeline_version,
        "priority": wanted.priority,
        "params": masking.shown(wanted.params),
        "labels": dict(wanted.labels),
        "run_at": wanted.run_at,
        "rerun_of": wanted.rerun_of,
        "schedule_id": wanted.schedule_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _of_command(command: CommandSpec, name: str | None, *, env: Mapping[str, str] | None = None) -> Wanted:
    return Wanted(name or job_name(command), [of_command(command, name=name, env=env)])


def _of_pipeline(
    pipeline: RunnablePipeline, name: str | None, *, env: Mapping[str, str], params: Mapping[str, str]
) -> Wanted:
    return Wanted(
        name or pipeline.name,
        of_steps(pipeline.steps, over=merged(env, params=params)),
        pipeline_id=pipeline.id,
        pipeline_version=pipeline.version,
        env=merged(pipeline.env, env),
        params=params,
        timeout=pipeline.timeout,
    )


def _of_former(
    former: FormerJob,
    *,
    rerun_of: str,
    env: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> Wanted:
    env, params = env or {}, params or {}
    over = merged(env, params=params)
    kept = {name: value for name, value in former.params.items() if parameter_variable(name) not in over}
    return Wanted(
        former.name,
        again([task.definition for task in former.tasks], over=over),
        priority=former.priority,
        pipeline_id=former.pipeline_id,
        pipeline_version=former.pipeline_version,
        env=merged(former.env, env),
        params={**kept, **params},
        labels=former.labels,
        timeout=former.timeout,
        rerun_of=rerun_of,
    )


def _begin_all(wanted: Sequence[Wanted]) -> list[NewJob]:
    moment, traceparent = now(), inject()
    new = [_begin(job, moment) for job in wanted]
    if traceparent is not None:
        for job in new:
            job.run.job.traceparent, job.run.job.tracestate = traceparent, tracestate()
    return new


def _begin(wanted: Wanted, moment: datetime) -> NewJob:
    """The run of a new job, with everything queued that can be."""
    ids = wanted.task_ids or [new_id() for _ in wanted.definitions]
    definitions = dict(zip(ids, wanted.definitions, strict=True))
    tasks = {id: _task(id, definition, wanted) for id, definition in definitions.items()}
    state = JobState(
        id=wanted.id,
        name=wanted.name,
        created_at=moment,
        priority=wanted.priority,
        pipeline_id=wanted.pipeline_id,
    )
    run = JobRun(state, tasks, random.random)
    created = JobCreated(
        job_id=wanted.id,
        name=wanted.name,
        pipeline_id=wanted.pipeline_id,
        pipeline_version=wanted.pipeline_version,
        priority=wanted.priority,
        labels=dict(wanted.labels),
        rerun_of=wanted.rerun_of,
        schedule_id=wanted.schedule_id,
    )
    run.journal.append(Entry(created, moment))
    run.begin(moment, run_at=wanted.run_at)
    start = max(moment, wanted.run_at) if wanted.run_at else moment
    return NewJob(
        run,
        definitions,
        priority=wanted.priority,
        pipeline_version=wanted.pipeline_version,
        env=wanted.env,
        params=wanted.params,
        labels=wanted.labels,
        timeout=wanted.timeout,
        run_at=wanted.run_at,
        deadline=start + timedelta(seconds=wanted.timeout) if wanted.timeout else None,
        rerun_of=wanted.rerun_of,
        schedule_id=wanted.schedule_id,
    )


def _task(id: str, definition: TaskDefinition, wanted: Wanted) -> TaskState:
    kept = wanted.kept.get(definition.name)
    if kept is not None:
        kept.id = id
        return kept
    return TaskState(
        id=id,
        name=definition.name,
        depends_on=definition.depends_on,
        allow_failure=definition.allow_failure,
        retry=definition.retry,
        retry_on_lost=definition.retry_on_lost,
        max_crashes=definition.max_crashes,
        requires=definition.requires,
        resources=definition.resources,
        execution_id=wanted.execution_id,
    )


def _order_bytes(wanted: Wanted, shared: Mapping[str, str], definition: TaskDefinition) -> int:
    """How many bytes a task's order takes on the bus."""
    moment, id = now(), new_id()
    command = _command_of(definition, shared, wanted.name, wanted.priority)
    queued = Queued(id, _LATE_ATTEMPT, moment, wanted.run_at or moment, (id,) * MOST_AVOIDED, id)
    return travelling_bytes(command.queued(wanted.id, queued, tracestate=tracestate()))


def _command_of(definition: TaskDefinition, shared: Mapping[str, str], job_name: str, priority: Priority) -> Command:
    return Command(
        name=definition.name,
        job_name=job_name,
        priority=priority,
        run=definition.run,
        shared=shared,
        requires=definition.requires or {},
        resources=definition.resources,
        queue_timeout=definition.queue_timeout,
    )
