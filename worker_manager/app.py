"""The composition root: which parts the worker manager has, what each is given, and in which order they start."""

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionRefused, ExecutionReturned, JobCreated
from schemas.subjects import WORKER_MANAGER_DISPATCH, WORKER_MANAGER_EXECUTIONS
from shared.bus import Bus
from shared.database import Database
from shared.lifecycle import Service
from shared.metrics import Metrics
from shared.migrations import migrate
from shared.outbox import Outbox
from shared.tracing import Tracing
from shared.web.app import WebServer, create_web_app
from worker_manager.announcements import Announcements
from worker_manager.api import execute, executions, logs, workers
from worker_manager.consumers import Dispatcher, Recorder
from worker_manager.counters import Counters
from worker_manager.fleet import Fleet
from worker_manager.heartbeats import Heartbeats
from worker_manager.housekeeping import Housekeeping
from worker_manager.instance import instance_id
from worker_manager.providers.base import Provider
from worker_manager.providers.process import AGENT, ProcessProvider
from worker_manager.redelivery import Redelivery
from worker_manager.settings import WorkerManagerSettings
from worker_manager.store import ExecutionStore, WorkerStore

PACKAGE: Final = "worker_manager"


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


def build(settings: WorkerManagerSettings, *, agent: Sequence[str] = AGENT) -> Sequence[Service]:
    """Wire the parts. `agent` is the command line of a worker. Raises ConfigError for an unusable data folder."""
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

    worker_store = WorkerStore(database, instance=instance_id(settings.workers_folder))
    execution_store = ExecutionStore(database)
    process = ProcessProvider(
        nats_url=settings.nats_url,
        namespace=settings.namespace,
        folder=settings.workers_folder,
        environment=os.environ,
        command=agent,
    )
    providers: dict[str, Provider] = {process.name: process}
    fleet = Fleet(worker_store, outbox, bus, providers, counters)
    dispatcher = Dispatcher(bus, execution_store, counters)
    recorder = Recorder(database, execution_store, counters)
    redelivery = Redelivery(execution_store, dispatcher.send, counters)
    announcements = Announcements(
        bus, [JobCreated, ExecutionRefused, ExecutionFinished, ExecutionLost, ExecutionReturned]
    )

    web = create_web_app(
        title="Hodei worker manager",
        description="How work is run: worker processes, executions and their output.",
        version=_version(),
        service=settings.service,
        settings=settings,
        apis=[
            workers.api(fleet, worker_store, outbox, default_slots=settings.default_slots),
            execute.api(execution_store, outbox, announcements),
            executions.api(execution_store),
            logs.api(execution_store, bus, announcements),
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
        announcements,
        Heartbeats(bus, [fleet.hear, redelivery.hear]),
        fleet,
        redelivery,
        bus.consumer(WORKER_MANAGER_DISPATCH.durable, dispatcher.handle),
        bus.consumer(WORKER_MANAGER_EXECUTIONS.durable, recorder.handle),
        Housekeeping(database),
        WebServer(web, settings.host, settings.port),
    ]


def _version() -> str:
    try:
        return version("hodei-jobs")
    except PackageNotFoundError:  # run from a checkout
        return "0.0.0"
