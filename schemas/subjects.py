"""THE catalogue of the bus: streams, subjects, durable consumers, and who owns them, as data.

No other module spells a subject. A `Catalogue` is the tables below seen through one namespace
(`HODEI_NAMESPACE`), so that several platforms can share a NATS server.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from schemas.events import EVENT_TYPES, LogChunk
from schemas.model import EventModel

Owner = Literal["orchestrator", "scheduler", "worker_manager"]
DAY: Final = 24 * 3600


@dataclass(frozen=True)
class StreamSpec:
    """A JetStream stream. `subjects` lack the namespace; ages are seconds (0: no limit), sizes bytes; the oldest goes
    first. `per_subject` is how many messages of one subject are kept; -1 for all."""

    name: str
    subjects: tuple[str, ...]
    max_age: int
    max_bytes: int
    duplicate_window: int = 120
    per_subject: int = -1


@dataclass(frozen=True)
class ConsumerSpec:
    """A durable pull consumer on the events stream: which event types it takes, and which service owns it.

    Events of the `patient` types wait up to `patience` seconds for one that is not patient, or for more of their
    kind: no request waits for them, and handled together they cost one transaction instead of several. An event
    whose handler fails `max_failures` times goes to the dead letters. For `ack_wait` seconds after a process
    falls silent, its messages are not delivered to others.
    """

    durable: str
    owner: Owner
    event_types: tuple[str, ...]
    patient: tuple[str, ...] = ()
    patience: float = 0.02
    max_failures: int = 5
    ack_wait: int = 2
    max_ack_pending: int = 5000


EVENT_PLURALS: Final = ("pipelines", "jobs", "tasks", "executions", "workers", "schedules", "tokens", "sessions")
NOT_ON_FEED: Final = frozenset({"tokens", "sessions"})
"""The plurals of events that the feed leaves out."""
REPORTS: Final = ("executions.started", "executions.finished", "executions.returned")
"""The event types that agents publish, on subjects that end with the id of their worker, so that NATS can check who
publishes: `hodei.executions.finished.<worker id>`. The services publish reports again that others have missed, on
`hodei.executions.finished`; the agents of earlier versions published there."""

EVENTS: Final = StreamSpec(
    "events", (*(f"{plural}.*" for plural in EVENT_PLURALS), *(f"{kind}.*" for kind in REPORTS)), 7 * DAY, 4 << 30
)
LOGS: Final = StreamSpec("logs", ("logs.*.*", "logs.*"), 7 * DAY, 4 << 30)
"""`logs.<execution id>.<worker id>`; earlier versions wrote to `logs.<execution id>`."""
DEAD_LETTERS: Final = StreamSpec("dead", ("dead.*",), 30 * DAY, 1 << 30)
PROBES: Final = StreamSpec("probes", ("probes.*",), DAY, 64 << 20, per_subject=1)
"""What idle services write to learn whether messages are stored: one small message of each service."""
STREAMS: Final = (EVENTS, LOGS, DEAD_LETTERS, PROBES)

ORCHESTRATOR_RUNS: Final = ConsumerSpec(
    "orchestrator-runs",
    "orchestrator",
    (
        "tasks.scheduled",
        "tasks.expired",
        "tasks.withdrawn",
        "executions.started",
        "executions.finished",
        "executions.lost",
    ),
    patient=("tasks.scheduled", "executions.started"),
)
ORCHESTRATOR_REQUESTS: Final = ConsumerSpec(
    "orchestrator-requests", "orchestrator", ("schedules.created", "schedules.fired", "executions.requested")
)
SCHEDULER_PLACEMENT: Final = ConsumerSpec(
    "scheduler-placement",
    "scheduler",
    (
        "tasks.queued",
        "tasks.cancel_requested",
        "jobs.reprioritized",
        "executions.finished",
        "executions.returned",
        "workers.registered",
        "workers.draining",
        "workers.resumed",
        "workers.offline",
        "workers.stopped",
    ),
    patient=("executions.finished",),  # a free slot matters when something waits for it; see the dispatcher
)
SCHEDULER_VERDICTS: Final = ConsumerSpec(
    "scheduler-verdicts", "scheduler", ("schedules.confirmed", "schedules.refused", "schedules.finished")
)
WORKER_MANAGER_DISPATCH: Final = ConsumerSpec(
    "worker-manager-dispatch", "worker_manager", ("tasks.scheduled", "executions.cancel_requested")
)
_RECORDED: Final = (
    "tasks.scheduled",
    "executions.started",
    "executions.finished",
    "executions.lost",
    "executions.returned",
    "executions.refused",
    "executions.completed",
    "tasks.withdrawn",
    "tasks.expired",
)
WORKER_MANAGER_EXECUTIONS: Final = ConsumerSpec(
    "worker-manager-executions", "worker_manager", _RECORDED, patient=_RECORDED
)
WORKER_MANAGER_REMOVALS: Final = ConsumerSpec("worker-manager-removals", "worker_manager", ("workers.offline",))
WORKER_MANAGER_DELETIONS: Final = ConsumerSpec(
    "worker-manager-deletions", "worker_manager", ("jobs.deleted",), patient=("jobs.deleted",), patience=0.5
)
_ALL: Final = tuple(
    sorted(one for one in set(EVENT_TYPES) - {LogChunk.event_type} if one.partition(".")[0] not in NOT_ON_FEED)
)
FEED: Final = ConsumerSpec("feed", "orchestrator", _ALL, patient=_ALL, patience=0.1, max_ack_pending=20_000)
CONSUMERS: Final = (
    ORCHESTRATOR_RUNS,
    ORCHESTRATOR_REQUESTS,
    SCHEDULER_PLACEMENT,
    SCHEDULER_VERDICTS,
    WORKER_MANAGER_DISPATCH,
    WORKER_MANAGER_EXECUTIONS,
    WORKER_MANAGER_DELETIONS,
    WORKER_MANAGER_REMOVALS,
    FEED,
)

FOR_PEOPLE: Final = frozenset(_ALL) - {one for spec in CONSUMERS if spec is not FEED for one in spec.event_types}
"""The event types that no service works on: they tell what happened, to people and to requests that wait."""

AgentVerb = Literal["run", "stop", "seek", "drain", "resume", "heartbeat", "offer", "renew"]

_NAMESPACE: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")


class DeadLetter(EventModel):
    """What a consumer could not digest, with why and where it came from; `event` is the raw CloudEvent or message."""

    consumer: str
    subject: str
    stream_seq: int
    deliveries: int
    error: str
    event: object


class Catalogue:
    """The tables above under one namespace. Raises ValueError for a namespace that is no subject token."""

    def __init__(self, namespace: str = "hodei") -> None:
        if not _NAMESPACE.match(namespace):
            raise ValueError("a namespace has lower-case letters, digits, '-' and '_' only, at most 63 of them")
        self.namespace = namespace

    def stream(self, spec: StreamSpec) -> str:
        """The stream's name on the server: `hodei-events`."""
        return f"{self.namespace}-{spec.name}"

    def stream_subjects(self, spec: StreamSpec) -> list[str]:
        """The subjects that the stream stores: `hodei.tasks.*`, …"""
        return [f"{self.namespace}.{subject}" for subject in spec.subjects]

    def durable(self, spec: ConsumerSpec) -> str:
        """The consumer's durable name; streams are per namespace, so it needs none."""
        return spec.durable

    def filters(self, spec: ConsumerSpec) -> list[str]:
        """The subjects that the consumer takes."""
        return [subject for event_type in spec.event_types for subject in self.events(event_type)]

    def event(self, event_type: str) -> str:
        """The subject on which services publish an event type: `tasks.queued` → `hodei.tasks.queued`."""
        return f"{self.namespace}.{event_type}"

    def report(self, event_type: str, worker_id: str) -> str:
        """The subject on which a worker's agent publishes a report; `worker_id` may be `*`."""
        return f"{self.namespace}.{event_type}.{worker_id}"

    def events(self, event_type: str) -> list[str]:
        """All subjects on which an event type is published, as a subscriber names them."""
        both = [self.report(event_type, "*")] if event_type in REPORTS else []
        return [self.event(event_type), *both]

    def event_type(self, subject: str) -> str:
        """The event type on a subject: `hodei.executions.started.<worker>` → `executions.started`;
        `hodei.logs.<execution>.<worker>` → `logs.appended`."""
        parts = subject[len(self.namespace) + 1 :].split(".", 2)
        return LogChunk.event_type if parts[0] == "logs" else ".".join(parts[:2])

    def worker(self, subject: str) -> str | None:
        """The worker whose agent publishes on a subject of reports or logs; None for a subject without a worker."""
        parts = subject[len(self.namespace) + 1 :].split(".", 2)
        return parts[2] if len(parts) > 2 else None

    def of_worker(self, subject: str, worker_id: str) -> str:
        """The subject on which a worker's agent publishes what an earlier version kept for another subject."""
        if self.worker(subject) is None and (self.event_type(subject) in (*REPORTS, LogChunk.event_type)):
            return f"{subject}.{worker_id}"
        return subject

    def logs(self, execution_id: str, worker_id: str) -> str:
        """The subject of the log chunks that a worker's agent publishes of an execution; `worker_id` may be `*`."""
        return f"{self.namespace}.logs.{execution_id}.{worker_id}"

    def all_logs(self, execution_id: str) -> list[str]:
        """All subjects of an execution's log chunks, as a subscriber names them."""
        return [self.logs(execution_id, "*"), f"{self.namespace}.logs.{execution_id}"]

    def own_logs(self, execution_id: str, worker_id: str | None) -> list[str]:
        """The subjects of the log chunks of an execution that is placed on a worker, if it is placed."""
        before = f"{self.namespace}.logs.{execution_id}"
        return [before] if worker_id is None else [self.logs(execution_id, worker_id), before]

    def dead(self, durable: str) -> str:
        """The subject of one consumer's dead letters."""
        return f"{self.namespace}.dead.{durable}"

    def probe(self, service: str) -> str:
        """The subject of one service's probes."""
        return f"{self.namespace}.probes.{service}"

    def feed(self, event_type: str, entity_id: str) -> str:
        """The feed subject of one event: `hodei.feed.jobs.<id>.failed`."""
        plural, verb = event_type.split(".", 1)
        return f"{self.namespace}.feed.{plural}.{entity_id}.{verb}"

    @property
    def feed_all(self) -> str:
        """All subjects of the feed."""
        return f"{self.namespace}.feed.>"

    def inbox(self, *user: str) -> str:
        """The beginning of one user's inboxes: `_INBOX.hodei.scheduler`, `_INBOX.hodei.agents.<worker>`."""
        return ".".join(("_INBOX", self.namespace, *user))

    def agent(self, worker_id: str, verb: AgentVerb) -> str:
        """A subject of one worker's agent; `worker_id` may be `*`."""
        return f"{self.namespace}.agents.{worker_id}.{verb}"

    def enrol(self, join_token_id: str) -> str:
        """The subject on which a worker with this join token asks for credentials; the id may be `*`."""
        return f"{self.namespace}.enrol.{join_token_id}"

    def agent_of(self, subject: str) -> str:
        """The worker that a subject of agents names."""
        return subject[len(self.namespace) + 1 :].split(".")[1]

    def question(self, owner: Owner, name: str) -> str:
        """The subject on which a service answers one kind of question: `hodei.ask.orchestrator.task`."""
        return f"{self.namespace}.ask.{owner}.{name}"
