"""Who this agent is: one incarnation of one worker, as it signs what it says."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, TypeVar

from schemas.agents import Assignment
from schemas.cloudevents import CloudEvent, wrap
from schemas.events import EventData
from schemas.specs import Resources
from shared.ids import new_id

D = TypeVar("D", bound=EventData)


class Names(TypedDict):
    """What every report of an execution says of it."""

    execution_id: str
    task_id: str
    job_id: str
    attempt: int
    worker_id: str
    worker_name: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's id and name for good, and the id of this one start of its process."""

    worker_id: str
    name: str
    type: str
    labels: dict[str, str] = field(default_factory=dict)
    capacity: Resources | None = None
    durable: bool = False
    """Whether it keeps its id over restarts."""
    incarnation: str = field(default_factory=new_id)
    stopped: tuple[str, ...] = ()
    """Earlier incarnations that ended on order."""

    def sign(self, data: D, *, time: datetime, traceparent: str | None = None) -> CloudEvent[D]:
        """Put an event of ours into its envelope, under a fresh id."""
        return wrap(data, id=new_id(), source=f"/hodei/workers/{self.worker_id}", time=time, traceparent=traceparent)

    def names(self, assignment: Assignment) -> Names:
        """An execution of ours, as a report names it."""
        return Names(
            execution_id=assignment.execution_id,
            task_id=assignment.task_id,
            job_id=assignment.job_id,
            attempt=assignment.attempt,
            worker_id=self.worker_id,
            worker_name=self.name,
            incarnation=self.incarnation,
        )
