"""The composition root: which parts the orchestrator has, what each is given, and in which order they start."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from orchestrator.api import jobs, logs, pipelines, timeline
from orchestrator.consumers import Requests, Runs
from orchestrator.loops import Deadlines, Housekeeping, Reminders
from orchestrator.settings import OrchestratorSettings
from orchestrator.store.jobs import JobStore
from orchestrator.store.pipelines import PipelineStore
from orchestrator.store.runs import RunStore
from orchestrator.store.timeline import TimelineStore
from orchestrator.submission import Submission
from orchestrator.watch import Watch
from schemas.subjects import ORCHESTRATOR_REQUESTS, ORCHESTRATOR_RUNS
from shared.bus import Bus
from shared.database import Database
from shared.feed import Feed
from shared.lifecycle import Service
from shared.metrics import Metrics
from shared.migrations import migrate
from shared.outbox import Outbox
from shared.tracing import Tracing
from shared.web.app import WebServer, create_web_app

PACKAGE: Final = "orchestrator"


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


def build(settings: OrchestratorSettings) -> Sequence[Service]:
    """Wire the parts."""
    metrics = Metrics()
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
    watch = Watch(bus)

    timeline_store = TimelineStore(database)
    pipeline_store = PipelineStore(database)
    job_store = JobStore(database)
    run_store = RunStore(database, timeline_store)
    submission = Submission(job_store, pipeline_store, timeline_store)
    deadlines = Deadlines(outbox, run_store, watch)
    runs = Runs(outbox, run_store, watch, metrics)
    requests = Requests(outbox, submission, job_store, pipeline_store, deadlines)

    web = create_web_app(
        title="Hodei orchestrator",
        description="What runs: pipelines and jobs, their tasks, timelines and output.",
        version=_version(),
        service=settings.service,
        settings=settings,
        apis=[
            pipelines.api(pipeline_store, outbox),
            jobs.api(job_store, run_store, submission, outbox, watch, deadlines, bus),
            timeline.api(job_store, timeline_store, watch, outbox),
            logs.api(job_store, bus, watch, outbox),
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
        watch,
        bus.consumer(ORCHESTRATOR_RUNS.durable, runs.handle),
        bus.consumer(ORCHESTRATOR_REQUESTS.durable, requests.handle),
        *([Feed(bus)] if settings.feed == "on" else []),
        deadlines,
        Reminders(outbox, run_store),
        Housekeeping(database),
        WebServer(web, settings.host, settings.port),
    ]


def _version() -> str:
    try:
        return version("hodei-jobs")
    except PackageNotFoundError:  # run from a checkout
        return "0.0.0"
