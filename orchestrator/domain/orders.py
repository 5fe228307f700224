"""Orders and the journal: the events that a job's changes cause, in the order in which they happened. Pure.

An order (`tasks.queued`) contains the step's command, which is not loaded with a running job. So the journal holds a
`Queued` in its place until `Orders` makes the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.definition import StepRules
from orchestrator.domain.environment import merged, of_attempt
from schemas.events import EventData, TaskQueued
from schemas.specs import Priority, RunSpec

_CARRIED: Final = tuple(one.name for one in fields(StepRules) if one.name in TaskQueued.model_fields)
"""The rules that an order contains for the scheduler."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The journal's placeholder for `tasks.queued`: one attempt of a task is ready."""

    task_id: str
    attempt: int
    at: datetime
    run_at: datetime | None
    avoids: tuple[str, ...]
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. An `observed` event was emitted by another service and is not emitted again."""

    event: EventData | Queued
    at: datetime
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands and environments of a job, which only its orders need."""

    env: Mapping[str, str]
    """The environment that its tasks share, parameters included; a task's own environment overrides it."""
    of_tasks: Mapping[str, RunSpec]
    """By task id; contains at least the tasks that are ordered."""
    rendered: dict[tuple[str, int], RunSpec] = field(default_factory=dict)
    """By task id and attempt: the commands with the values of their expressions (`orchestrator.domain.rendering`)."""

    def of(self, task_id: str, attempt: int) -> RunSpec:
        """What an attempt runs. Raises KeyError for a task without a command."""
        return self.rendered.get((task_id, attempt)) or self.of_tasks[task_id]

    def and_more(self, more: "Commands") -> "Commands":
        """With the commands of further tasks of the same job."""
        return replace(self, of_tasks={**self.of_tasks, **more.of_tasks})


NO_COMMANDS: Final = Commands({}, {})
"""The commands of a job without orders."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes the orders of one job, with the fields that all of them share. `env` is that of `Commands`."""

    job_id: str
    job_name: str
    priority: Priority
    priority_changes: int
    tracestate: str | None
    env: Mapping[str, str]

    def order(self, rules: StepRules, run: RunSpec, queued: Queued) -> TaskQueued:
        """The order to the scheduler for one attempt of a step."""
        env = of_attempt(
            merged(self.env, run.env),
            job_id=self.job_id,
            job_name=self.job_name,
            task_id=queued.task_id,
            step=rules.name,
            matrix=rules.matrix,
            attempt=queued.attempt,
            tracestate=self.tracestate,
        )
        ready = max(queued.at, queued.run_at) if queued.run_at else queued.at
        return TaskQueued(
            task_id=queued.task_id,
            job_id=self.job_id,
            attempt=queued.attempt,
            priority=self.priority,
            priority_changes=self.priority_changes or None,
            **{name: getattr(rules, name) for name in _CARRIED},
            run=run.model_copy(update={"env": env}),
            run_at=queued.run_at,
            queued_at=queued.at,
            queue_deadline=ready + timedelta(seconds=rules.queue_timeout) if rules.queue_timeout else None,
            execution_id=queued.execution_id,
            avoid_worker_ids=list(queued.avoids),
        )
