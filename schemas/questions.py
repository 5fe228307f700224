"""Questions that one service asks another while a request waits: typed questions and answers, on core NATS.

Internal: users have REST and the events. A question changes no entity and may go unanswered; then the request that
waits for it gets a 503. Facts are published as events (`schemas.events`), never in answers.

To add a question: its two models and a `QuestionSpec` below; its owner serves it (`shared.bus.Answering`), and any
other service asks with `shared.bus.ask`.
"""

from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from pydantic import Field

from schemas.access import EndedSession, KnownToken, SessionKey
from schemas.events import JobTarget
from schemas.model import EventModel, Instant
from schemas.params import Scalar
from schemas.refusals import RefusalReason, RefusedField, VerdictReason
from schemas.specs import Priority
from schemas.states import JobStatus, Reason, TaskStatus

Q = TypeVar("Q", bound=EventModel)
A = TypeVar("A", bound=EventModel)
Owner = Literal["orchestrator", "scheduler", "worker_manager"]


@dataclass(frozen=True)
class QuestionSpec(Generic[Q, A]):
    """One kind of question: its name, the service that answers it, and the models of both messages."""

    name: str
    owner: Owner
    question: type[Q]
    answer: type[A]


class Refusal(EventModel):
    """The owner cannot answer: the entity does not exist (`kind`, `id`), or something that the owner needs is
    unavailable."""

    reason: Literal[RefusalReason.NOT_FOUND, RefusalReason.UNAVAILABLE]
    detail: str
    kind: str = ""
    id: str = ""


class TaskQuestion(EventModel):
    """What is the state of this task?"""

    task_id: str


class StepState(EventModel):
    """A task of another step of the same job."""

    name: str
    matrix: dict[str, Scalar] | None = None
    status: TaskStatus
    satisfied: bool = Field(description="Whether the steps that depend on it may run.")
    asks: bool = Field(False, description="Whether it is an approval.")


class TaskAnswer(EventModel):
    """A task as the orchestrator knows it."""

    task_id: str
    job_id: str
    name: str
    matrix: dict[str, Scalar] | None = None
    status: TaskStatus
    reason: Reason | None = None
    detail: str | None = None
    attempt: int
    exit_code: int | None = None
    run_at: Instant | None = None
    started_at: Instant | None = None
    execution_id: str | None = None
    worker_id: str | None = None
    worker_name: str | None = None
    asks: str | None = Field(None, description="The message of an approval; null for other steps.")
    condition: str | None = Field(None, description="The `if` of its step.")
    waiting_for: str | None = Field(None, description="The concurrency key that its job waits for, in words.")
    job_status: JobStatus
    depends_on: list[StepState] = Field(default_factory=list)


TASK: Final = QuestionSpec("task", "orchestrator", TaskQuestion, TaskAnswer)


class Overdue(EventModel):
    """One attempt of which the asking service has heard nothing for long. `status` is the last one that it knows."""

    task_id: str
    job_id: str
    attempt: int
    status: Literal["queued", "scheduled", "running"]
    execution_id: str | None = None
    worker_id: str | None = None
    incarnation: str | None = None
    stopping: Reason | None = Field(None, description="Why the attempt is being stopped; null if it is not.")
    priority: Priority | None = Field(None, description="The job's priority, if it was ever changed.")
    priority_changes: int | None = Field(None, description="How often it was changed, if ever.")


class RecallQuestion(EventModel):
    """What is the state of these attempts? The events of one further along than its `status` are published again."""

    overdue: list[Overdue]


class RecallAnswer(EventModel):
    """The number of events that are published again, and the tasks whose attempt the owner does not know: the
    asking service publishes their events again."""

    repeated: int = 0
    unknown: list[str] = Field(default_factory=list)


RECALL_OF: Final[dict[Owner, QuestionSpec[RecallQuestion, RecallAnswer]]] = {
    owner: QuestionSpec("recall", owner, RecallQuestion, RecallAnswer)
    for owner in ("orchestrator", "scheduler", "worker_manager")
}


class JobsQuestion(EventModel):
    """Which of these jobs, at most 1000, are as the question asks?"""

    job_ids: list[str] = Field(max_length=1000)


class MissingJobs(EventModel):
    """Those of the jobs that do not exist."""

    missing: list[str]


class ScheduledJobs(EventModel):
    """Those of the jobs that a schedule will run again."""

    scheduled: list[str]


MISSING_JOBS: Final = QuestionSpec("missing_jobs", "orchestrator", JobsQuestion, MissingJobs)
SCHEDULED_JOBS: Final = QuestionSpec("scheduled_jobs", "scheduler", JobsQuestion, ScheduledJobs)


class FinishedAgain(EventModel):
    """The number of events that are published again, one for each of the jobs that is over, and the jobs that do not
    exist."""

    repeated: int = 0
    missing: list[str] = Field(default_factory=list)


class TargetQuestion(EventModel):
    """Can this be run, as a schedule is about to be changed to do?"""

    target: JobTarget


class TargetAnswer(EventModel):
    """Why it cannot, if so."""

    reason: VerdictReason | None = None
    detail: str = ""
    errors: list[RefusedField] | None = None


FINISHED_JOBS: Final = QuestionSpec("finished_jobs", "orchestrator", JobsQuestion, FinishedAgain)
TARGET: Final = QuestionSpec("target", "orchestrator", TargetQuestion, TargetAnswer)


class TokensQuestion(EventModel):
    """Which tokens are to be accepted? A page of them, after this id."""

    after: str | None = None
    used: dict[str, Instant] = Field(
        default_factory=dict, description="When the asking process last saw these tokens in use."
    )


class TokensAnswer(EventModel):
    """Tokens in the order of their ids, and whether there are more."""

    tokens: list[KnownToken]
    more: bool = False


TOKENS: Final = QuestionSpec("tokens", "orchestrator", TokensQuestion, TokensAnswer)


class SessionsQuestion(EventModel):
    """Which bearers of browser sessions are to be accepted?"""


class SessionsAnswer(EventModel):
    """The keys that sign bearers, and the sessions that ended while their bearers may still be valid."""

    keys: list[SessionKey]
    ended: list[EndedSession]


SESSIONS: Final = QuestionSpec("sessions", "orchestrator", SessionsQuestion, SessionsAnswer)


class ServiceQuestion(EventModel):
    """Which version are you, and where do people reach you?"""


class ServiceAnswer(EventModel):
    """A service in its own words. Its replicas may differ in the port."""

    version: str
    port: int
    tls: bool = Field(description="Whether it answers over HTTPS only.")
    public_url: str | None = Field(None, description="The address by which people reach it, if it was given one.")
    retention: dict[str, str] = Field(default_factory=dict, description="Its settings of retention, by variable.")
    features: dict[str, bool] = Field(default_factory=dict, description="Which of its features are on.")


SERVICE_OF: Final[dict[Owner, QuestionSpec[ServiceQuestion, ServiceAnswer]]] = {
    owner: QuestionSpec("service", owner, ServiceQuestion, ServiceAnswer)
    for owner in ("orchestrator", "scheduler", "worker_manager")
}

QUESTIONS: Final = (
    TASK,
    *RECALL_OF.values(),
    MISSING_JOBS,
    SCHEDULED_JOBS,
    FINISHED_JOBS,
    TARGET,
    TOKENS,
    SESSIONS,
    *SERVICE_OF.values(),
)
