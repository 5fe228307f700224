"""Submission: reads and checks the jobs that requests, schedules and direct executions ask for, and creates them.

`orchestrator.domain.wanted` defines a wanted job; `orchestrator.unit_of_work` writes it.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import zip_longest
from typing import Final

from orchestrator.aside import Aside
from orchestrator.domain.checking import check
from orchestrator.domain.concurrency import AT_ONCE, Start
from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.environment import merged
from orchestrator.domain.graph import InvalidGraph
from orchestrator.domain.making import NewJob, begin, order_bytes
from orchestrator.domain.parameters import InvalidParameters
from orchestrator.domain.plan import plan_of
from orchestrator.domain.rerun import NothingFailed, UnknownStep, kept
from orchestrator.domain.sizes import Scale
from orchestrator.domain.wanted import (
    FormerJob,
    RunnablePipeline,
    Wanted,
    keyed,
    wanted_of_command,
    wanted_of_former,
    wanted_of_pipeline,
)
from orchestrator.store.jobs import JobStore
from orchestrator.store.pipelines import PipelineStore
from schemas.access import Actor
from schemas.events import JobTarget
from schemas.params import Scalar
from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import PipelineCreate, PipelinePlan
from schemas.specs import StepSpec
from shared.clock import now
from shared.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from shared.ids import new_id
from shared.postgres import Transaction
from shared.telemetry import inject, tracestate

MAX_TASKS: Final = 10_000
"""The most tasks of all jobs that one request creates. Making them takes about a second."""


LONG: Final = 100
"""Tasks that take about 10 ms to check or to make: more are checked and made aside."""
CONDITION: Final = 4
"""How many tasks a condition is as long to check as."""
MATRIX: Final = 50
"""The same for a matrix, before it is expanded."""


class Submission:
    """The only source of jobs."""

    def __init__(
        self, jobs: JobStore, pipelines: PipelineStore, aside: Aside, *, largest_event: Callable[[], int]
    ) -> None:
        """`largest_event` returns the most bytes that the bus takes for one event."""
        self._aside = aside
        self._jobs = jobs
        self._pipelines = pipelines
        self._largest_event = largest_event

    async def of_requests(
        self, tx: Transaction, requests: Sequence[JobCreate], *, by: Actor | None = None, batch: bool = False
    ) -> list[Wanted]:
        """The jobs that the requests of one caller ask for, in their order. Raises NotFound for an unknown pipeline,
        and Invalid for a job that is too large, or whose steps, parameters or concurrency key are not valid; for a
        `batch`, the error names the job's index."""
        ids = {request.pipeline_id for request in requests if request.pipeline_id is not None}
        pipelines = await self._pipelines.runnable(tx, ids) if ids else {}
        long = sum(_weight(request, pipelines) for request in requests) > LONG
        return await self._aside.run(partial(self._wanted, requests, pipelines, by=by, batch=batch), long=long)

    def _wanted(
        self, requests: Sequence[JobCreate], pipelines: dict[str, RunnablePipeline], *, by: Actor | None, batch: bool
    ) -> list[Wanted]:
        wanted: list[Wanted] = []
        tasks = 0
        for index, request in enumerate(requests):
            at = ("body", index) if batch else ("body",)
            if request.command is not None:
                job = wanted_of_command(
                    new_id(),
                    request.command_spec(),
                    request.name,
                    priority=request.priority,
                    labels=request.labels,
                    run_at=request.run_at,
                    created_by=by,
                )
            else:
                if request.pipeline is not None:
                    with _refused((*at, "pipeline")):
                        check(request.pipeline.steps, request.pipeline.params, request.pipeline.concurrency_key)
                    pipeline = _unstored(request.pipeline)
                elif request.pipeline_id in pipelines:
                    pipeline = pipelines[request.pipeline_id]
                else:
                    which = f" (job {index} of the batch)" if batch else ""
                    raise NotFound("pipeline", f"{request.pipeline_id}{which}")
                with _refused(at):
                    job = wanted_of_pipeline(
                        new_id(),
                        pipeline,
                        request.name,
                        env=request.env,
                        params=request.params,
                        priority=request.priority,
                        labels=request.labels,
                        run_at=request.run_at,
                        created_by=by,
                    )
            with _refused(at):
                job = keyed(job, request.concurrency_key, request.concurrency)
            tasks += len(job.definitions)
            if tasks > MAX_TASKS:
                says = f"the jobs up to here have {tasks:,} tasks; one request makes at most {MAX_TASKS:,}"
                raise Invalid([FieldError(at, f"{says}: send fewer jobs at a time", "too_large")])
            wanted.append(job)
        self._check_sizes(wanted, batch=batch)
        return wanted

    async def of_target(
        self, tx: Transaction, target: JobTarget, *, job_id: str | None = None, single: bool = False
    ) -> Wanted:
        """The job that a schedule or a direct execution asks for, under `job_id` if another service chose that. Raises
        NotFound, Forbidden for a job of another token than the target's `only_of`, Conflict for a job of an archived
        pipeline, and Invalid for one that is too large, whose parameters are not valid or, with `single`, that has
        several steps. Direct executions are `single`, and have no concurrency
        key: a worker waits for them."""
        id = job_id or new_id()
        if target.command is not None:
            job = wanted_of_command(id, target.command, target.name, env=target.env)
        elif target.pipeline_id is not None:
            pipelines = await self._pipelines.runnable(tx, [target.pipeline_id])
            if target.pipeline_id not in pipelines:
                raise NotFound("pipeline", target.pipeline_id)
            pipeline = pipelines[target.pipeline_id]
            with _refused(("body",)):
                job = wanted_of_pipeline(id, pipeline, target.name, env=target.env, params=target.params)
        else:
            former = await self._former(tx, target.job_id or "")
            if target.only_of is not None and former.created_by != target.only_of:
                raise Forbidden(f"job {target.job_id} was created by another token")
            with _refused(("body",)):
                job = wanted_of_former(id, former, rerun_of=target.job_id or "", env=target.env, params=target.params)
            job = replace(job, name=target.name or job.name)
        if single and len(job.definitions) > 1:
            says = f"has {len(job.definitions)} steps, and an execution is of one: run the job again instead"
            raise Invalid([FieldError(("body", "job_id"), says, "several_steps")])
        job = replace(job, priority=target.priority, labels=target.labels or job.labels, overlap=target.overlap)
        if not single:
            with _refused(("body",)):
                job = keyed(job, target.concurrency_key, target.concurrency)
        self._check_sizes([job])
        return job

    async def of_rerun(self, tx: Transaction, job_id: str, *, start: str, by: Actor | None = None) -> Wanted:
        """A job again, beginning with the step `start`, or with all that did not succeed (`failed`), or as a whole
        (`start`). Raises NotFound, Conflict while it runs, when its pipeline is archived or when nothing of it failed
        that could run, and Invalid for an unknown step."""
        former = await self._former(tx, job_id)
        if not former.over:
            raise Conflict(f"job {job_id} is not over yet: cancel it first, or wait")
        try:
            keeps = kept(former.tasks, start)
        except UnknownStep as error:
            raise Invalid([FieldError(("body", "from"), str(error), "unknown_step")]) from None
        except NothingFailed:
            again = "run it again from the start, or from a step"
            raise Conflict(f"nothing of job {job_id} failed: {again}") from None
        with _refused(("body",)):
            job = keyed(wanted_of_former(new_id(), former, rerun_of=job_id, kept=keeps))
        self._check_sizes([job])
        return replace(job, created_by=by)

    def check_pipeline(self, pipeline: PipelineCreate) -> None:
        """Check the sizes of a pipeline: whether a job of it could be created. Raises Invalid."""
        optional = {name: spec.model_copy(update={"required": False}) for name, spec in pipeline.params.items()}
        self._planned(replace(_unstored(pipeline), declared=optional), {})

    def plan(self, pipeline: PipelineCreate, params: Mapping[str, Scalar]) -> PipelinePlan:
        """The tasks of a job of a pipeline that is not stored, whose graph has been checked. Raises Invalid if the job
        is too large, or its parameters are not valid."""
        wanted = self._planned(_unstored(pipeline), params)
        with _refused(("body",)):
            return plan_of(keyed(wanted))

    def _planned(self, pipeline: RunnablePipeline, params: Mapping[str, Scalar]) -> Wanted:
        with _refused(("body",)):
            wanted = wanted_of_pipeline(new_id(), pipeline, None, env={}, params=params)
        self._check_sizes([wanted])
        return wanted

    def _check_sizes(self, wanted: Sequence[Wanted], *, batch: bool = False) -> None:
        """Raises Invalid for the first job that is too large to run."""
        scale = Scale(payload=self._largest_event())
        for index, job in enumerate(wanted):
            env = merged(job.env, params=job.params)
            fault = scale.fault(env, job.definitions, partial(_order_bytes, job, env))
            if fault is not None:
                raise Invalid([FieldError(("body", *([index] if batch else []), "env"), fault, "too_large")])

    async def _former(self, tx: Transaction, job_id: str) -> FormerJob:
        former = await self._jobs.former(tx, job_id)
        if former is None:
            raise NotFound("job", job_id)
        if former.archived:
            raise Conflict(f"the pipeline of job {job_id} is archived: its jobs do not run again")
        return former


def _weight(request: JobCreate, pipelines: Mapping[str, RunnablePipeline]) -> int:
    """How long a job takes to check, in tasks."""
    pipeline = request.pipeline or pipelines.get(request.pipeline_id or "")
    if pipeline is None:
        return 1
    return sum(
        1
        + (CONDITION if step.condition is not None else 0)
        + (MATRIX if isinstance(step, StepSpec) and step.matrix is not None else 0)
        for step in pipeline.steps
    )


def _unstored(pipeline: PipelineCreate) -> RunnablePipeline:
    return RunnablePipeline(
        None,
        pipeline.name,
        None,
        pipeline.steps,
        pipeline.env,
        pipeline.timeout,
        pipeline.cleanup_timeout,
        pipeline.params,
        key_template=pipeline.concurrency_key,
        concurrency=pipeline.concurrency,
    )


@contextmanager
def _refused(at: tuple[str | int, ...]) -> Iterator[None]:
    """Raises Invalid for what the block finds wrong; `at` is the place of the pipeline or of the job in the body."""
    try:
        yield
    except (InvalidGraph, InvalidParameters) as error:
        raise Invalid([FieldError((*at, *fault.loc), fault.msg, fault.type) for fault in error.faults]) from None


def _order_bytes(job: Wanted, env: Mapping[str, str], definition: TaskDefinition) -> int:
    return order_bytes(job, env, definition, id=new_id(), moment=now(), tracestate=tracestate())


def begin_all(
    wanted: Sequence[Wanted], starts: Iterable[Start] = (), *, moment: datetime | None = None
) -> list[NewJob]:
    """Create jobs, all with the same time. They belong to the current trace for good. `starts` has how each of them
    begins; without it, all begin at once."""
    moment, traceparent = moment or now(), inject()
    state = tracestate() if traceparent is not None else None
    return [
        begin(
            job,
            job.task_ids or [new_id() for _ in job.definitions],
            moment,
            draw=random.random,
            start=start or AT_ONCE,
            traceparent=traceparent,
            tracestate=state,
        )
        for job, start in zip_longest(wanted, starts)
    ]
