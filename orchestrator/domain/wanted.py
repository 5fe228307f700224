"""A wanted job: what a request, a pipeline, an earlier job or a schedule asks for, before it is written.

Pure: `orchestrator.submission` reads pipelines and earlier jobs, and checks the sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from orchestrator.domain.concurrency import Claim, Key, rendered_key
from orchestrator.domain.definition import TaskDefinition, TaskKey, again, job_name, of_command, of_steps
from orchestrator.domain.environment import merged
from orchestrator.domain.expressions import BadExpression
from orchestrator.domain.graph import Fault
from orchestrator.domain.parameters import InvalidParameters, resolved
from schemas.access import Actor
from schemas.concurrency import ConcurrencySpec, Overlap, WhenFull
from schemas.params import ParamSpec, Scalar
from schemas.sizes import parameter_variable
from schemas.specs import CLEANUP_TIMEOUT, CommandSpec, Priority
from schemas.states import Reason, TaskStatus
from schemas.steps import Decision, Step

_WHILE_A_FORMER_RUNS: Final[Mapping[Overlap, WhenFull]] = {
    "skip": "reject",
    "queue": "queue",
    "cancel_previous": "cancel_oldest",
}
"""What an `overlap` other than `allow` is as a limit of one job of the schedule."""


@dataclass(frozen=True, slots=True)
class RunnablePipeline:
    """The definition with which a job of a pipeline would run now. `id` and `version` are None if it is not stored."""

    id: str | None
    name: str
    version: int | None
    steps: list[Step]
    env: Mapping[str, str]
    timeout: float | None
    cleanup_timeout: float = CLEANUP_TIMEOUT
    declared: Mapping[str, ParamSpec] = field(default_factory=dict)
    """Its declarations of parameters."""
    key_template: str | None = None
    """The concurrency key of its jobs, as it was written."""
    concurrency: ConcurrencySpec | None = None


@dataclass(frozen=True, slots=True)
class FormerTask:
    """A task of an earlier job: its definition and its outcome."""

    definition: TaskDefinition
    status: TaskStatus
    reason: Reason | None
    detail: str | None
    exit_code: int | None
    outputs: Mapping[str, str] | None
    decision: Decision | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class FormerJob:
    """An earlier job that is to run again."""

    name: str
    over: bool
    pipeline_id: str | None
    pipeline_version: int | None
    archived: bool
    """Whether its pipeline is archived, so that the job may not run again."""
    priority: Priority
    env: Mapping[str, str]
    params: Mapping[str, Scalar]
    declared: Mapping[str, ParamSpec]
    labels: Mapping[str, str]
    timeout: float | None
    cleanup_timeout: float
    tasks: list[FormerTask]
    key_template: str | None = None
    concurrency: ConcurrencySpec | None = None
    created_by: str | None = None
    """The id of the token that submitted it; None if access was off."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job to create. `task_ids` and `execution_id` are given if another service has chosen them already."""

    id: str
    name: str
    definitions: Sequence[TaskDefinition]
    task_ids: Sequence[str] = ()
    execution_id: str | None = None
    priority: Priority = "normal"
    pipeline_id: str | None = None
    pipeline_version: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """The environment that all its tasks share, without the parameters."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    declared: Mapping[str, ParamSpec] = field(default_factory=dict)
    """The declarations of its parameters, for reruns with others."""
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    cleanup_timeout: float = CLEANUP_TIMEOUT
    run_at: datetime | None = None
    rerun_of: str | None = None
    schedule_id: str | None = None
    created_by: Actor | None = None
    kept: Mapping[TaskKey, FormerTask] = field(default_factory=dict)
    """The tasks of an earlier job that do not run again, with how they ended (`orchestrator.domain.rerun`)."""
    key_template: str | None = None
    """Its concurrency key, as it was written."""
    concurrency_key: str | None = None
    """The same with the values of its expressions."""
    concurrency: ConcurrencySpec | None = None
    """What its key means for it; None without a key."""
    overlap: Overlap | None = None
    """What happens to it while a former job of its schedule is not over; None means that both run."""
    only_of: str | None = None
    """The id of the token whose jobs alone it may end, if it may not end those of others."""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What it has to hold before it begins."""
        claims: list[Claim] = []
        if self.concurrency_key is not None:
            spec = self.concurrency or ConcurrencySpec()
            claims.append(Claim(Key("key", self.concurrency_key), spec.limit, spec.when_full, self.only_of))
        if self.schedule_id is not None and self.overlap is not None and self.overlap != "allow":
            claims.append(Claim(Key("schedule", self.schedule_id), 1, _WHILE_A_FORMER_RUNS[self.overlap], self.only_of))
        return tuple(claims)


def wanted_of_command(
    id: str,
    command: CommandSpec,
    name: str | None,
    *,
    env: Mapping[str, str] | None = None,
    priority: Priority = "normal",
    labels: Mapping[str, str] | None = None,
    run_at: datetime | None = None,
    created_by: Actor | None = None,
) -> Wanted:
    """A job of a single command."""
    return Wanted(
        id,
        name or job_name(command),
        [of_command(command, name=name, env=env)],
        priority=priority,
        labels=labels or {},
        run_at=run_at,
        created_by=created_by,
    )


def wanted_of_pipeline(
    id: str,
    pipeline: RunnablePipeline,
    name: str | None,
    *,
    env: Mapping[str, str],
    params: Mapping[str, Scalar],
    priority: Priority = "normal",
    labels: Mapping[str, str] | None = None,
    run_at: datetime | None = None,
    created_by: Actor | None = None,
) -> Wanted:
    """A job of a pipeline in its current version. Raises InvalidParameters."""
    params = resolved(pipeline.declared, params)
    return Wanted(
        id,
        name or pipeline.name,
        of_steps(pipeline.steps, over=merged(env, params=params)),
        pipeline_id=pipeline.id,
        pipeline_version=pipeline.version,
        env=merged(pipeline.env, env),
        params=params,
        declared=pipeline.declared,
        timeout=pipeline.timeout,
        cleanup_timeout=pipeline.cleanup_timeout,
        priority=priority,
        labels=labels or {},
        run_at=run_at,
        created_by=created_by,
        key_template=pipeline.key_template,
        concurrency=pipeline.concurrency,
    )


def wanted_of_former(
    id: str,
    former: FormerJob,
    *,
    rerun_of: str,
    env: Mapping[str, str] | None = None,
    params: Mapping[str, Scalar] | None = None,
    kept: Mapping[TaskKey, FormerTask] | None = None,
) -> Wanted:
    """An earlier job again, with an additional environment and parameters, and without running the tasks in `kept`.
    Raises InvalidParameters."""
    env, params = env or {}, params or {}
    changed = merged(env, params=params)
    same = {name: value for name, value in former.params.items() if parameter_variable(name) not in changed}
    params = resolved(former.declared, {**same, **params})
    over = merged(env, params=params)
    return Wanted(
        id,
        former.name,
        again([task.definition for task in former.tasks], over=over),
        priority=former.priority,
        pipeline_id=former.pipeline_id,
        pipeline_version=former.pipeline_version,
        env=merged(former.env, env),
        params=params,
        declared=former.declared,
        labels=former.labels,
        timeout=former.timeout,
        cleanup_timeout=former.cleanup_timeout,
        rerun_of=rerun_of,
        kept=kept or {},
        key_template=former.key_template,
        concurrency=former.concurrency,
    )


def keyed(job: Wanted, template: str | None = None, concurrency: ConcurrencySpec | None = None) -> Wanted:
    """The job with its concurrency key: the one given, or else its pipeline's or former job's. Raises
    InvalidParameters for a key without a value, and for `concurrency` without a key."""
    template, concurrency = template or job.key_template, concurrency or job.concurrency
    if template is None:
        if concurrency is not None:
            what = "needs a concurrency_key, which says what jobs it is about; the pipeline has none"
            raise InvalidParameters([Fault(("concurrency",), what, "missing_key")])
        return job
    try:
        key = rendered_key(template, job.params)
    except BadExpression as error:
        raise InvalidParameters([Fault(("concurrency_key",), str(error), "bad_key")]) from None
    concurrency = concurrency or ConcurrencySpec()
    return replace(job, key_template=template, concurrency_key=key, concurrency=concurrency)
