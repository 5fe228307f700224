"""The messages between a worker's agent and the control plane on core NATS, outside the streams.

No message here is the only one with its facts: the next heartbeat makes up for a lost one. Subjects are in
`schemas.subjects`: `agents.<worker_id>.heartbeat|offer` go out from the agent, `.run|stop|seek|drain|resume` come to
it.
"""

from typing import Annotated, Final

from pydantic import Field

from schemas.model import EventModel, Instant
from schemas.specs import MAX_PREFETCH, MAX_SLOTS, Resources, RunSpec
from schemas.states import Reason, StopReason

PROTOCOL: Final = 2
"""The number of the protocol between agents and services. It rises when services no longer understand earlier agents:
since 2, reports and logs are on subjects that name the worker."""
MAX_NAMED: Final = 50_000
"""Executions in each list of a heartbeat. An agent runs at most MAX_SLOTS, hands on the output of about as many, and
has at most MAX_SLOTS + MAX_PREFETCH waiting. Only outcomes that cannot be reported could be more: the rest of those is
named once there are fewer."""
MAX_STOPPED: Final = 16
"""Most stopped incarnations in a heartbeat: those of which the scheduler may not have heard."""


Named = Annotated[list[str], Field(max_length=MAX_NAMED)]


class Offer(EventModel):
    """How much work a worker takes: `slots` run at once, `prefetch` more may wait on it."""

    worker_id: str
    incarnation: str
    slots: int = Field(ge=0, le=MAX_SLOTS)
    prefetch: int = Field(0, ge=0, le=MAX_PREFETCH)
    draining: bool = False
    unhealthy: str | None = Field(
        None, description="Why the worker cannot start commands at the moment; null for a healthy worker."
    )
    protocol: int = Field(1, ge=1, description="The agent's PROTOCOL. Agents of before it was numbered send none.")
    sequence: int = Field(
        0,
        ge=0,
        description="The number of this heartbeat or offer within its incarnation, from 1, in the order of creation. "
        "0 if the agent does not number them.",
    )


class Heartbeat(Offer):
    """Renews the worker's lease, and contains all that a new scheduler needs to know about the worker."""

    name: str
    type: str
    labels: dict[str, str] = Field(default_factory=dict)
    capacity: Resources | None = None
    credentials: str | None = Field(
        None,
        max_length=16_384,
        description="The JWT with which the worker is connected, if NATS asks for credentials: its issuer signed the "
        "type and the labels that the worker may have. It is not secret.",
    )
    host: str = ""
    pid: int = 0
    version: str = ""
    sent_at: Instant
    running: Named = Field(default_factory=list, description="Ids of executions whose process runs.")
    waiting: Named = Field(
        default_factory=list, description="Ids of executions that the agent has accepted and not started."
    )
    reporting: Named = Field(
        default_factory=list, description="Ids of executions that ended and whose outcome is not yet published."
    )
    over: Named = Field(
        default_factory=list,
        description="Ids from `seek` orders that the agent once held and holds no more; their outcomes are lost.",
    )
    durable: bool = Field(
        False, description="Whether the worker has a state folder, and so keeps its id over restarts."
    )
    exiting: bool = Field(
        False, description="Whether the agent stops once it is drained; `resume` does not lift such a drain."
    )
    stopped: list[str] = Field(
        default_factory=list,
        max_length=MAX_STOPPED,
        description="Earlier incarnations of this worker that were stopped by an order, and did not crash.",
    )
    leaving: bool = Field(
        False, description="Whether this is the last heartbeat of an agent that stops and holds no executions."
    )

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
    labels: dict[str, str] | None = Field(None, description="Those of the step, for the reports of its execution.")
    run: RunSpec
    traceparent: str | None = None


class Dispatch(EventModel):
    """Work for one incarnation of a worker; another incarnation must not take it."""

    incarnation: str
    assignments: list[Assignment]


class Stop(EventModel):
    """End these executions, or never start them. A fenced one is no longer current: its outcome counts nowhere."""

    execution_ids: list[str]
    reason: StopReason = Reason.CANCELLED


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
    force: bool = Field(
        False, description="Do not wait: end the running executions as well, and give all back as lost."
    )
