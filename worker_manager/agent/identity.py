"""The identity of this agent: one incarnation of one worker. It signs the agent's events."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, TypeVar

from schemas.agents import Assignment
from schemas.cloudevents import CloudEvent, source_of, wrap
from schemas.events import EventData
from schemas.specs import Resources
from shared.ids import new_id

D = TypeVar("D", bound=EventData)


class Names(TypedDict):
    """The fields by which every report names its execution, with the labels of the step."""

    execution_id: str
    task_id: str
    job_id: str
    attempt: int
    worker_id: str
    worker_name: str
    incarnation: str
    labels: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's permanent id and name, and the incarnation of this start of its process."""

    worker_id: str
    name: str
    type: str
    labels: dict[str, str] = field(default_factory=dict)
    capacity: Resources | None = None
    durable: bool = False
    """Whether the worker keeps its id over restarts."""
    incarnation: str = field(default_factory=new_id)
    stopped: tuple[str, ...] = ()
    """Earlier incarnations that stopped on order."""

    def sign(self, data: D, *, time: datetime, traceparent: str | None = None) -> CloudEvent[D]:
        """Put one of the agent's events into its envelope, under a new id."""
        return wrap(data, id=new_id(), source=source_of(self.worker_id), time=time, traceparent=traceparent)

    def names(self, assignment: Assignment) -> Names:
        """The fields by which a report names this execution."""
        return Names(
            execution_id=assignment.execution_id,
            task_id=assignment.task_id,
            job_id=assignment.job_id,
            attempt=assignment.attempt,
            worker_id=self.worker_id,
            worker_name=self.name,
            incarnation=self.incarnation,
            labels=assignment.labels,
        )
