"""Creates a wanted job: its run, with every ready task queued, and its first events. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.concurrency import AT_ONCE, ClaimState, Start
from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.environment import merged
from orchestrator.domain.orders import Commands, Entry, Orders, Queued
from orchestrator.domain.rendering import render
from orchestrator.domain.run import JobRun
from orchestrator.domain.state import MOST_AVOIDED, JobState, TaskState
from orchestrator.domain.wanted import Wanted
from schemas.cloudevents import travelling_bytes
from schemas.events import JobCreated
from schemas.specs import Priority
from schemas.states import Reason

_LATE_ATTEMPT: Final = 999
"""An attempt number with as many digits as any other has at most."""

_LONGEST_PRIORITY: Final[Priority] = "critical"
_MANY_CHANGES: Final = 2**31 - 1
"""The largest number of changes of a priority that is stored."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to insert: its run, just begun, and the definitions of its tasks."""

    run: JobRun
    wanted: Wanted
    definitions: Mapping[str, TaskDefinition]
    """By task id, in the order of the steps."""

    commands: Commands
    """The commands and environments that its first orders need."""


def begin(
    wanted: Wanted,
    task_ids: Sequence[str],
    moment: datetime,
    *,
    draw: Callable[[], float],
    start: Start = AT_ONCE,
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> NewJob:
    """Create a job. `task_ids` are as many as it has tasks; the job belongs to a trace if one is given. `start` is how
    it begins if it has a concurrency key. While it waits for that, its time does not run."""
    definitions = dict(zip(task_ids, wanted.definitions, strict=True))
    begins = max(moment, wanted.run_at) if wanted.run_at else moment
    time = timedelta(seconds=wanted.timeout) if wanted.timeout else None
    waits = start.state is ClaimState.WAITING
    deadline = begins + time if time is not None and not waits else None
    state = JobState(
        id=wanted.id,
        name=wanted.name,
        created_at=moment,
        priority=wanted.priority,
        pipeline_id=wanted.pipeline_id,
        schedule_id=wanted.schedule_id,
        params=wanted.params,
        deadline=deadline,
        due_at=deadline,
        time_left=time if waits else None,
        cleanup_timeout=wanted.cleanup_timeout,
        run_at=wanted.run_at,
        traceparent=traceparent,
        tracestate=tracestate,
        claim=start.state,
        concurrency_key=wanted.concurrency_key,
        created_by=wanted.created_by,
    )
    run = JobRun(state, {id: _task(id, definition, wanted) for id, definition in definitions.items()}, draw)
    created = JobCreated(
        job_id=wanted.id,
        name=wanted.name,
        pipeline_id=wanted.pipeline_id,
        pipeline_version=wanted.pipeline_version,
        priority=wanted.priority,
        labels=dict(wanted.labels),
        rerun_of=wanted.rerun_of,
        schedule_id=wanted.schedule_id,
        concurrency_key=wanted.concurrency_key,
        created_by=wanted.created_by,
    )
    run.journal.append(Entry(created, moment))
    if start.cancelled is not None:
        by = wanted.created_by if start.cancelled is Reason.SUPERSEDED else None
        run.drop(start.cancelled, start.detail, moment, by=by)
    elif not waits:
        run.begin(moment)
    elif start.detail is not None:
        run.wait(start.detail, moment)
    commands = Commands(
        merged(wanted.env, params=wanted.params),
        {id: one.run for id, one in definitions.items() if one.run is not None},
    )
    render(run, commands, moment)
    return NewJob(run, wanted, definitions, commands)


def order_bytes(
    wanted: Wanted,
    env: Mapping[str, str],
    definition: TaskDefinition,
    *,
    id: str,
    moment: datetime,
    tracestate: str | None,
) -> int:
    """The most bytes that an order of this task takes on the bus. `env` is the environment that the job's tasks share,
    and `id` any id."""
    queued = Queued(id, _LATE_ATTEMPT, moment, wanted.run_at or moment, (id,) * MOST_AVOIDED, id)
    orders = Orders(wanted.id, wanted.name, _LONGEST_PRIORITY, _MANY_CHANGES, tracestate, env)
    return travelling_bytes(orders.order(definition.rules, definition.command, queued))


def _task(id: str, definition: TaskDefinition, wanted: Wanted) -> TaskState:
    kept = wanted.kept.get(definition.key)
    if kept is None:
        return TaskState(id, definition.rules, execution_id=wanted.execution_id)
    return TaskState(
        id,
        definition.rules,
        status=kept.status,
        reason=kept.reason,
        detail=kept.detail,
        exit_code=kept.exit_code,
        outputs=kept.outputs,
        decision=kept.decision,
        queued_at=kept.queued_at,
        started_at=kept.started_at,
        finished_at=kept.finished_at,
    )
