"""Responses for jobs that were just created, made without reading them again. Secrets are masked."""

from dataclasses import fields
from typing import Any, Final

import orjson

from orchestrator.api.masked import limited, masked_approval
from orchestrator.domain.definition import StepRules, TaskDefinition
from orchestrator.domain.making import NewJob
from orchestrator.domain.state import JobState, TaskState
from schemas.access import Actor
from schemas.model import rfc3339
from schemas.rest.jobs import JobDetail, Task
from schemas.states import JOB
from schemas.steps import Approval, Decision
from shared import masking

_Fields = dict[str, Any]
"""Fields of a model by name. Any: each has its own type, and `model_construct` takes them as they are."""

_RULES: Final = tuple(field.name for field in fields(StepRules))


def shown(new: NewJob) -> bytes:
    """The response for a new job in a batch: a `schemas.rest.jobs.Job` as JSON."""
    return orjson.dumps(_job_fields(new), default=rfc3339, option=orjson.OPT_PASSTHROUGH_DATETIME)


def shown_in_detail(new: NewJob) -> JobDetail:
    """The response for a new job, with its tasks."""
    tasks = [
        _task(task, definition)
        for task, definition in zip(new.run.tasks.values(), new.definitions.values(), strict=True)
    ]
    return JobDetail.model_construct(
        **(_job_fields(new) | {"concurrency": new.wanted.concurrency, "created_by": new.run.job.created_by}),
        env=masking.shown(new.wanted.env),
        timeout=new.wanted.timeout,
        cleanup_timeout=new.wanted.cleanup_timeout,
        tasks=tasks,
    )


def shown_decision(task: TaskState) -> Decision | None:
    """The decision about an approval, if there is one."""
    decision = task.decision
    if decision is None or not decision.inputs:
        return decision
    return decision.model_copy(update={"inputs": masking.shown_params(decision.inputs)})


def _task(task: TaskState, definition: TaskDefinition) -> Task:
    run, approval = definition.run, task.rules.approval
    return Task.model_construct(
        id=task.id,
        **_rules(task.rules),
        status=task.status,
        reason=task.reason,
        detail=task.detail,
        attempt=task.attempt,
        command=None if run is None else run.command,
        type="approval" if run is None else run.type,
        env={} if run is None else masking.shown(run.env),
        working_dir=None if run is None else run.working_dir,
        timeout=run.timeout if run is not None else approval.timeout if approval is not None else None,
        decision=shown_decision(task),
        exit_code=task.exit_code,
        outputs=masking.shown(task.outputs or {}),
        queued_at=task.queued_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        executions=[],
    )


def _rules(rules: StepRules) -> _Fields:
    """A step's rules as fields of a task, under the same names. For a limited caller they are masked."""
    found = {name: getattr(rules, name) for name in _RULES} | {"depends_on": list(rules.depends_on)}
    if (rules.matrix or rules.approval) and limited():
        found["matrix"] = None if rules.matrix is None else masking.shown_params(rules.matrix)
        found["approval"] = None if rules.approval is None else _masked_approval(rules.approval)
    return found


def _masked_approval(approval: Approval) -> Approval:
    return Approval.model_validate(masked_approval(approval.model_dump()))


def _job_fields(new: NewJob) -> _Fields:
    job, wanted = new.run.job, new.wanted
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "reason": job.reason,
        "detail": job.detail,
        "pipeline_id": job.pipeline_id,
        "pipeline_version": wanted.pipeline_version,
        "priority": job.priority,
        "params": masking.shown_params(wanted.params),
        "labels": dict(wanted.labels),
        "run_at": wanted.run_at,
        "rerun_of": wanted.rerun_of,
        "schedule_id": wanted.schedule_id,
        "concurrency_key": wanted.concurrency_key,
        "concurrency": None if wanted.concurrency is None else wanted.concurrency.model_dump(),
        "waiting_for": _waiting_for(job),
        "created_by": _actor(job.created_by),
        "cancelled_by": _actor(job.cancelled_by),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _actor(actor: Actor | None) -> dict[str, str] | None:
    return None if actor is None else {"id": actor.id, "name": actor.name}


def _waiting_for(job: JobState) -> str | None:
    """As `job_json` has it."""
    if not job.waits or JOB.is_final(job.status) or job.starts_after(job.created_at):
        return None
    return f"the concurrency key {job.concurrency_key}"
