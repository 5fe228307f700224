"""Who may publish and hear what on the bus, made from the catalogue: the permissions that credentials of NATS carry.

Here: the publishers of each event type, the listeners, and the exact subjects for each kind of user: the three
services, one worker, one join token, a reader of the feed. Not here: the subjects themselves (`schemas.subjects`), and
the signing of credentials (`shared.keys`).

NATS answers requests and acknowledges on the inbox of the one who asks. Each user has an inbox of its own, because
whoever may hear an inbox reads the answers to others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from schemas.events import LogChunk
from schemas.questions import QUESTIONS, QuestionSpec
from schemas.subjects import (
    CONSUMERS,
    DEAD_LETTERS,
    EVENT_PLURALS,
    EVENTS,
    FEED,
    LOGS,
    REPORTS,
    STREAMS,
    AgentVerb,
    Catalogue,
    ConsumerSpec,
    Owner,
)

Publisher = Literal["orchestrator", "scheduler", "worker_manager", "agent"]

SERVICES: Final[tuple[Owner, ...]] = get_args(Owner)

_ORCHESTRATOR: Final[tuple[Publisher, ...]] = ("orchestrator",)
_SCHEDULER: Final[tuple[Publisher, ...]] = ("scheduler",)
_WORKER_MANAGER: Final[tuple[Publisher, ...]] = ("worker_manager",)
_REPORT: Final[tuple[Publisher, ...]] = ("agent", *SERVICES)
"""An agent reports it, and a service that is asked for it publishes it again (a recall)."""

PUBLISHERS: Final[Mapping[str, tuple[Publisher, ...]]] = {
    "executions.cancel_requested": _SCHEDULER,
    "executions.completed": _ORCHESTRATOR,
    "executions.finished": _REPORT,
    "executions.lost": SERVICES,
    "executions.refused": _ORCHESTRATOR,
    "executions.requested": _WORKER_MANAGER,
    "executions.returned": _REPORT,
    "executions.started": _REPORT,
    "jobs.admitted": _ORCHESTRATOR,
    "jobs.cancel_requested": _ORCHESTRATOR,
    "jobs.cancelled": _ORCHESTRATOR,
    "jobs.created": _ORCHESTRATOR,
    "jobs.deleted": _ORCHESTRATOR,
    "jobs.failed": _ORCHESTRATOR,
    "jobs.reprioritized": _ORCHESTRATOR,
    "jobs.started": _ORCHESTRATOR,
    "jobs.succeeded": _ORCHESTRATOR,
    "jobs.waiting": _ORCHESTRATOR,
    "logs.appended": ("agent",),
    "pipelines.archived": _ORCHESTRATOR,
    "pipelines.created": _ORCHESTRATOR,
    "pipelines.updated": _ORCHESTRATOR,
    "schedules.completed": _SCHEDULER,
    "schedules.confirmed": _ORCHESTRATOR,
    "schedules.created": _SCHEDULER,
    "schedules.deleted": _SCHEDULER,
    "schedules.failed": _SCHEDULER,
    "schedules.finished": _ORCHESTRATOR,
    "schedules.fired": _SCHEDULER,
    "schedules.missed": _SCHEDULER,
    "schedules.paused": _SCHEDULER,
    "schedules.refused": _ORCHESTRATOR,
    "schedules.resumed": _SCHEDULER,
    "schedules.updated": _SCHEDULER,
    "sessions.ended": _ORCHESTRATOR,
    "sessions.key_added": _ORCHESTRATOR,
    "tasks.approval_requested": _ORCHESTRATOR,
    "tasks.approved": _ORCHESTRATOR,
    "tasks.cancel_requested": _ORCHESTRATOR,
    "tasks.cancelled": _ORCHESTRATOR,
    "tasks.expired": _SCHEDULER,
    "tasks.failed": _ORCHESTRATOR,
    "tasks.queued": _ORCHESTRATOR,
    "tasks.rejected": _ORCHESTRATOR,
    "tasks.retrying": _ORCHESTRATOR,
    "tasks.scheduled": _SCHEDULER,
    "tasks.skipped": _ORCHESTRATOR,
    "tasks.succeeded": _ORCHESTRATOR,
    "tasks.withdrawn": _SCHEDULER,
    "tokens.created": _ORCHESTRATOR,
    "tokens.revoked": _ORCHESTRATOR,
    "workers.draining": _SCHEDULER,
    "workers.enrolled": _WORKER_MANAGER,
    "workers.forgotten": ("scheduler", "worker_manager"),
    "workers.offline": _SCHEDULER,
    "workers.recovered": _SCHEDULER,
    "workers.registered": _SCHEDULER,
    "workers.resumed": _SCHEDULER,
    "workers.revoked": _WORKER_MANAGER,
    "workers.started": _WORKER_MANAGER,
    "workers.stopped": _WORKER_MANAGER,
    "workers.unhealthy": _SCHEDULER,
}
"""Who publishes each event type. A service may also publish again what its consumers take, since it resends their dead
letters. The orchestrator consumes everything, because it publishes the feed."""

LISTENERS: Final[Mapping[str, tuple[Owner, ...]]] = {
    "executions": ("worker_manager",),
    "jobs": ("orchestrator", "worker_manager"),
    "pipelines": (),
    "schedules": ("scheduler",),
    "sessions": SERVICES,
    "tasks": ("orchestrator",),
    "tokens": SERVICES,
    "workers": (),
}
"""Which services hear events of each kind as they are published, beside their durable consumers: for requests that
wait, and for what every replica must know."""

AGENT_VERBS: Final[Mapping[AgentVerb, tuple[Owner, ...]]] = {
    "run": ("worker_manager",),
    "stop": ("scheduler", "worker_manager"),
    "seek": ("scheduler",),
    "drain": ("scheduler", "worker_manager"),
    "resume": ("scheduler",),
    "heartbeat": ("scheduler", "worker_manager"),
    "offer": ("scheduler",),
    "renew": ("worker_manager",),
}
"""The services at the other end of each subject of an agent: those that send an order, or hear a message."""
PUBLISHED_BY_AGENTS: Final[frozenset[AgentVerb]] = frozenset({"heartbeat", "offer", "renew"})
"""The messages of agents; the other verbs are orders to them."""

_QUESTIONS: Final = cast(tuple[QuestionSpec[Any, Any], ...], QUESTIONS)
LOG_READERS: Final[tuple[Owner, ...]] = ("orchestrator", "worker_manager")
ISSUER: Final[Owner] = "worker_manager"
"""The service that gives workers their credentials."""
FEED_WRITER: Final[Owner] = "orchestrator"


@dataclass(frozen=True)
class Permissions:
    """The subjects that a user may publish to and subscribe to, wildcards included. An empty list allows none."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def service(catalogue: Catalogue, owner: Owner) -> Permissions:
    """What one of the three services may do. All its replicas have the same credentials."""
    consumers = [spec for spec in CONSUMERS if spec.owner == owner]
    publish = [
        *_events(catalogue, owner, consumers),
        *(catalogue.dead(catalogue.durable(spec)) for spec in consumers),
        catalogue.probe(owner),
        *(catalogue.question(question.owner, question.name) for question in _QUESTIONS),
        *(catalogue.inbox(asker) + ".>" for asker in SERVICES),
        *(catalogue.agent("*", verb) for verb in _verbs(owner, published_by_agents=False)),
        *_jetstream(catalogue, consumers),
    ]
    subscribe = [
        catalogue.inbox(owner) + ".>",
        *(catalogue.question(owner, question.name) for question in _QUESTIONS if question.owner == owner),
        *(catalogue.agent("*", verb) for verb in _verbs(owner, published_by_agents=True)),
        *(catalogue.event(f"{plural}.>") for plural in EVENT_PLURALS if owner in LISTENERS[plural]),
    ]
    if owner == FEED_WRITER:
        publish += (catalogue.feed_all, f"$JS.API.DIRECT.GET.{catalogue.stream(EVENTS)}")
    if owner in LOG_READERS:
        publish += _logs(catalogue)
    if owner == ISSUER:
        publish += (catalogue.inbox("agents", ">"), catalogue.inbox("enrol", ">"))
        subscribe.append(catalogue.enrol("*"))
    return _sorted(publish, subscribe)


def agent(catalogue: Catalogue, worker_id: str) -> Permissions:
    """What one worker's agent may do: report as itself, and hear its own orders. Raises ValueError for an id that is
    not a token of a subject."""
    _token(worker_id)
    return _sorted(
        [
            *(catalogue.report(kind, worker_id) for kind in REPORTS),
            catalogue.logs("*", worker_id),
            *(catalogue.agent(worker_id, verb) for verb in PUBLISHED_BY_AGENTS),
        ],
        [
            catalogue.inbox("agents", worker_id) + ".>",
            *(catalogue.agent(worker_id, verb) for verb in AGENT_VERBS if verb not in PUBLISHED_BY_AGENTS),
        ],
    )


def enrolment(catalogue: Catalogue, join_token_id: str) -> Permissions:
    """What the holder of a join token may do: ask for enrolment, and hear the answer. Raises ValueError for an id that
    is not a token of a subject."""
    _token(join_token_id)
    return _sorted([catalogue.enrol(join_token_id)], [catalogue.inbox("enrol", join_token_id) + ".>"])


def renewal(catalogue: Catalogue, worker_id: str) -> Permissions:
    """What a worker may do whose credentials have expired: ask for new ones, and hear the answer. Raises ValueError as
    `agent`."""
    _token(worker_id)
    return _sorted([catalogue.agent(worker_id, "renew")], [catalogue.inbox("agents", worker_id) + ".>"])


def feed(catalogue: Catalogue, subjects: Iterable[str] = ()) -> Permissions:
    """What a reader may do: hear these subjects (by default the whole feed), and publish nothing.

    Raises ValueError for a subject that is not one of events, of logs or of the feed.
    """
    wanted = tuple(subjects) or (catalogue.feed_all,)
    for subject in wanted:
        _readable(catalogue, subject)
    return _sorted((), wanted)


def system(catalogue: Catalogue) -> Permissions:
    """What the user of the system account may do, with which the worker manager pushes revocations."""
    return _sorted(["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING"], [catalogue.inbox("system") + ".>"])


def _events(catalogue: Catalogue, owner: Owner, consumers: Iterable[ConsumerSpec]) -> Iterable[str]:
    taken = {event_type for spec in consumers for event_type in spec.event_types}
    for event_type, publishers in PUBLISHERS.items():
        if event_type == LogChunk.event_type:
            continue
        if owner in publishers or event_type in taken:
            yield catalogue.event(event_type)


def _jetstream(catalogue: Catalogue, consumers: Iterable[ConsumerSpec]) -> Iterable[str]:
    """The requests to JetStream with which a service declares the streams and uses its own consumers."""
    for stream in (catalogue.stream(spec) for spec in STREAMS):
        yield from (f"$JS.API.STREAM.{operation}.{stream}" for operation in ("CREATE", "UPDATE", "INFO"))
    events, dead = catalogue.stream(EVENTS), catalogue.stream(DEAD_LETTERS)
    yield from (f"$JS.API.STREAM.MSG.{operation}.{dead}" for operation in ("GET", "DELETE"))
    for durable in (catalogue.durable(spec) for spec in consumers):
        yield from (f"$JS.API.CONSUMER.{one}.{events}.{durable}" for one in ("CREATE", "INFO", "MSG.NEXT"))
        yield f"$JS.ACK.{events}.{durable}.>"


def _logs(catalogue: Catalogue) -> Iterable[str]:
    """The requests to JetStream with which a service reads and deletes logs; each reader is a consumer of its own."""
    logs = catalogue.stream(LOGS)
    yield from (f"$JS.API.CONSUMER.{operation}.{logs}.*" for operation in ("CREATE", "DELETE", "MSG.NEXT"))
    yield f"$JS.API.DIRECT.GET.{logs}"
    yield f"$JS.API.STREAM.PURGE.{logs}"


def _verbs(owner: Owner, *, published_by_agents: bool) -> Iterable[AgentVerb]:
    return (
        verb
        for verb, ends in AGENT_VERBS.items()
        if owner in ends and (verb in PUBLISHED_BY_AGENTS) == published_by_agents
    )


def _readable(catalogue: Catalogue, subject: str) -> None:
    allowed = ("feed", "logs", *sorted({event_type.split(".")[0] for event_type in FEED.event_types}))
    tokens = subject.split(".")
    if len(tokens) < 3 or tokens[0] != catalogue.namespace or tokens[1] not in allowed:
        kinds = ", ".join(f"{catalogue.namespace}.{kind}" for kind in allowed)
        raise ValueError(f"{subject!r}: should begin with one of {kinds}, and go on after a point")
    for number, token in enumerate(tokens):
        if token != "*" and (token != ">" or number != len(tokens) - 1):
            _token(token)


def _token(text: str) -> None:
    """Raises ValueError for a text that is not one plain token of a subject."""
    if not text or not text.isascii() or not text.isprintable() or set(text) & set(" .*>"):
        raise ValueError(f"{text!r} is not a token of a subject")


def _sorted(publish: Iterable[str], subscribe: Iterable[str]) -> Permissions:
    return Permissions(tuple(sorted(set(publish))), tuple(sorted(set(subscribe))))
