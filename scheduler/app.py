"""The composition root: which parts the scheduler has, what each is given, and in which order they start."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from scheduler.api import explain, queue, schedules, workers
from scheduler.consumers import AgentNews, Placement, VerdictRecords
from scheduler.counters import Counters
from scheduler.dispatcher import Dispatcher
from scheduler.listing import Listing
from scheduler.loops import HeartbeatTimes, Purge, Silence, Timers
from scheduler.schedules import Firing, Schedules, Verdicts
from scheduler.settings import SchedulerSettings
from scheduler.store import Store
from schemas.subjects import SCHEDULER_PLACEMENT, SCHEDULER_VERDICTS
from shared.bus import Bus
from shared.database import Database
from shared.leader import Leadership
from shared.lifecycle import Service
from shared.metrics import Metrics
from shared.migrations import migrate
from shared.outbox import Outbox
from shared.tracing import Tracing
from shared.web.app import WebServer, create_web_app

PACKAGE: Final = "scheduler"


class _Schema:
    """Brings our schema and our part of the bus to what this version expects."""

    name: Final = "schema"

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def start(self) -> None:
        await migrate(self._database, PACKAGE)
        await self._bus.declare()

    async def stop(self) -> None:
        """Nothing to undo."""


def build(settings: SchedulerSettings) -> Sequence[Service]:
    """Wire the parts."""
    metrics = Metrics()
    counters = Counters(metrics)
    tracing = Tracing(
        settings.service, endpoint=settings.otlp_endpoint or None, sample=settings.trace_sample, version=_version()
    )
    database = Database(
        settings.database_url,
        schema=PACKAGE,
        name=settings.service,
        max_size=settings.database_pool,
        start_deadline=settings.start_deadline,
    )
    bus = Bus(
        settings.nats_url,
        name=settings.service,
        namespace=settings.namespace,
        start_deadline=settings.start_deadline,
        metrics=metrics,
        tracing=tracing,
        linger_ms=settings.linger_ms,
    )
    outbox = Outbox(database, bus, source=settings.service, linger=settings.linger, metrics=metrics)
    store = Store(database, outbox)
    listing = Listing(database)
    verdicts = Verdicts(bus)
    table = Schedules(outbox)

    def leads() -> Sequence[Service]:
        dispatcher = Dispatcher(store, bus, counters, lease=settings.lease_seconds)
        timers = Timers(dispatcher)
        dispatcher.timed = timers.wake
        silence = Silence(outbox, lease=settings.lease_seconds)
        placement = Placement(dispatcher, store, silence)
        return [
            dispatcher,
            AgentNews(bus, dispatcher),
            bus.consumer(SCHEDULER_PLACEMENT.durable, placement),
            bus.consumer(SCHEDULER_VERDICTS.durable, VerdictRecords(table)),
            timers,
            silence,
            Firing(table, bus, counters),
            HeartbeatTimes(dispatcher),
            Purge(store, outbox),
        ]

    web = create_web_app(
        title="Hodei scheduler",
        description="When and where work runs: schedules, workers, and what waits.",
        version=_version(),
        service=settings.service,
        settings=settings,
        apis=[
            schedules.api(listing, outbox, verdicts, bus),
            workers.api(listing, outbox, bus),
            queue.api(listing),
            explain.api(listing),
        ],
        checks={"database": database.healthy, "nats": bus.healthy},
        metrics=metrics,
        tracing=tracing,
    )
    return [
        tracing,
        database,
        bus,
        _Schema(database, bus),
        outbox,
        verdicts,
        Leadership(database, "scheduler", leads),
        WebServer(web, settings.host, settings.port),
    ]


def _version() -> str:
    try:
        return version("hodei-jobs")
    except PackageNotFoundError:  # run from a checkout
        return "0.0.0"
