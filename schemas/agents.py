"""What a worker's agent and the control plane say to each other beside the bus, on core NATS.

Nothing here is a fact of its own: a lost message is made good by the next heartbeat. Subjects are in
`schemas.subjects`: `agents.<worker_id>.heartbeat|offer` go out from the agent, `.run|stop|seek|drain|resume` come to
it.
"""

from typing import Annotated, Final

from pydantic import Field

from schemas.model import EventModel, Instant
from schemas.specs import MAX_PREFETCH, MAX_SLOTS, Resources, RunSpec
from schemas.states import Reason

MAX_NAMED: Final = 50_000
"""Executions in each list of a heartbeat. An agent runs at most MAX_SLOTS, hands on the output of about as many, and
has at most MAX_SLOTS + MAX_PREFETCH waiting. Only outcomes that cannot be reported could be more: the rest of those is
named once there are fewer."""
MAX_STOPPED: Final = 16
"""Starts that a heartbeat names as ended on order: those of which the scheduler may not have heard."""


Named = Annotated[list[str], Field(max_length=MAX_NAMED)]


class Offer(EventModel):
    """How much work a worker takes: `slots` run at once, `prefetch` more may wait on it."""

    worker_id: str
    incarnation: str
    slots: int = Field(ge=0, le=MAX_SLOTS)
    prefetch: int = Field(0, ge=0, le=MAX_PREFETCH)
    draining: bool = False
    unhealthy: str | None = Field(None, description="Why no command can start there at the moment; it takes none.")
    sequence: int = Field(
        0,
        ge=0,
        description="Counts the heartbeats and offers of an incarnation, from 1, in the order in which they were made. "
        "0 is that of an agent that does not count.",
    )


class Heartbeat(Offer):
    """Renews the worker's lease and says all that a scheduler needs to know it, were it new."""

    name: str
    type: str
    labels: dict[str, str] = Field(default_factory=dict)
    capacity: Resources | None = None
    host: str = ""
    pid: int = 0
    version: str = ""
    sent_at: Instant
    running: Named = Field(default_factory=list, description="Execution ids whose process runs.")
    waiting: Named = Field(default_factory=list, description="Execution ids taken and not started.")
    reporting: Named = Field(default_factory=list, description="Ended, with the outcome not yet on the bus.")
    over: Named = Field(
        default_factory=list, description="Of what was sought: taken once, and held no more. Their outcomes are gone."
    )
    durable: bool = Field(False, description="It has a state folder, and so keeps its id over restarts.")
    exiting: bool = Field(False, description="It drains in order to end: no resume lifts that.")
    stopped: list[str] = Field(
        default_factory=list,
        max_length=MAX_STOPPED,
        description="Earlier incarnations of this worker that ended on order, and not by a crash.",
    )
    leaving: bool = Field(False, description="The last word of an agent that stops with nothing left on it.")

    def held(self) -> set[str]:
        """Every execution that is this worker's to answer for."""
        return {*self.running, *self.waiting, *self.reporting}


class Assignment(EventModel):
    """One execution for a worker."""

    execution_id: str
    task_id: str
    job_id: str
    attempt: int
    name: str = ""
    run: RunSpec
    traceparent: str | None = None


class Dispatch(EventModel):
    """Work for one incarnation of a worker; another incarnation must not take it."""

    incarnation: str
    assignments: list[Assignment]


class Stop(EventModel):
    """End these executions, or never start them. A fenced one is no longer current: its outcome counts nowhere."""

    execution_ids: list[str]
    reason: Reason = Reason.CANCELLED


class Seek(EventModel):
    """Which of these executions are over? They are believed to be this worker's, but its heartbeats do not name them.

    The next heartbeat answers: at once if any is.
    """

    execution_ids: list[str]


class Resume(EventModel):
    """Take work again after a drain. An agent that drains in order to end does not."""


class Drain(EventModel):
    """Take nothing new, give back what has not started, finish the rest; then, with `exit`, stop."""

    exit: bool = False
    force: bool = Field(False, description="Do not wait: end what runs, too, and give everything back as lost.")
