"""The composition root: creates the orchestrator's parts and lists its services in the order in which they start."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from orchestrator.admission import Admission
from orchestrator.api import (
    approvals,
    bulk,
    concurrency,
    events,
    jobs,
    logs,
    pipelines,
    platform,
    sessions,
    statistics,
    timeline,
    tokens,
)
from orchestrator.api.approvals import ApprovalRoutes
from orchestrator.api.bulk import BulkRoutes
from orchestrator.api.concurrency import ConcurrencyRoutes
from orchestrator.api.definitions import Definitions
from orchestrator.api.events import EventRoutes
from orchestrator.api.jobs import JobRoutes
from orchestrator.api.logs import LogRoutes
from orchestrator.api.pipelines import PipelineRoutes
from orchestrator.api.platform import PlatformRoutes
from orchestrator.api.sessions import SessionRoutes
from orchestrator.api.statistics import StatisticsRoutes
from orchestrator.api.timeline import TimelineRoutes
from orchestrator.api.tokens import TokenRoutes
from orchestrator.aside import Aside
from orchestrator.bootstrap import Bootstrap
from orchestrator.console import console
from orchestrator.consumers import Requests, Runs
from orchestrator.counters import ApprovalMetrics, ConcurrencyMetrics, TaskFailures
from orchestrator.counting import Counting
from orchestrator.feed import Feed
from orchestrator.loops import Deadlines
from orchestrator.memory import RunMemory
from orchestrator.parts import Parts
from orchestrator.pipeline_retention import ArchivedPipelines, PipelineVersions
from orchestrator.questions import Questions
from orchestrator.recall import FinishedJobs, Recollection, Unheard
from orchestrator.reception import Reception
from orchestrator.retention import Jobs, Timelines, scheduled_jobs
from orchestrator.room import JobRoom
from orchestrator.session_keys import SessionKeys
from orchestrator.settings import OrchestratorSettings
from orchestrator.store.claims import ClaimStore
from orchestrator.store.counts import CountStore
from orchestrator.store.firings import FiringStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.pipelines import PipelineStore
from orchestrator.store.retention import RetentionStore
from orchestrator.store.runs import RunStore
from orchestrator.store.sessions import SessionStore
from orchestrator.store.timeline import TimelineStore
from orchestrator.store.tokens import TokenStore
from orchestrator.submission import Submission
from orchestrator.traces import Traces
from orchestrator.undeliverable import UndeliverableEnds, UndeliverableTasks
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.unreadable import Unreadable
from orchestrator.watch import Watch
from schemas.events import TaskFailed, TaskQueued, TaskSucceeded
from schemas.questions import FINISHED_JOBS, MISSING_JOBS, RECALL_OF, SESSIONS, TARGET, TASK, TOKENS
from schemas.subjects import ORCHESTRATOR_REQUESTS, ORCHESTRATOR_RUNS
from shared.access.session_sync import SessionSync
from shared.bus import Answering, answer
from shared.foundation import Foundation
from shared.recall import Recall
from shared.retention import Retention
from shared.service import Housekeeping, Service
from shared.web import LimitMetrics
from shared.web.idempotency import purge

RESERVED: Final = 2
"""Connections to the database that submissions leave for reads, cancellations, health and reports."""


def build(settings: OrchestratorSettings) -> Sequence[Service]:
    """Create the parts, and return the services in the order in which they start."""
    base = Foundation(settings, owns_tokens=True, features={"feed": settings.feed == "on"})
    metrics, database, bus, outbox = base.metrics, base.database, base.bus, base.outbox
    memory = RunMemory()
    watch = Watch(bus, ended=memory.forget, missed=memory.clear)
    traces = Traces(base.tracing)

    timeline_store = TimelineStore(database)
    pipeline_store = PipelineStore(database)
    job_store = JobStore(database)
    token_store = TokenStore(database)
    session_store = SessionStore(database)
    session_sync = SessionSync(bus, base.sessions, session_store.current)
    session_keys = SessionKeys(session_store, base.sessions, outbox)
    run_store = RunStore(database)
    claim_store = ClaimStore(database)
    count_store = CountStore(database)
    outbox.before_close(count_store.note)
    work = UnitOfWork(outbox, job_store, run_store, claim_store, traces, memory, watch)
    aside = Aside()
    submission = Submission(job_store, pipeline_store, aside, largest_event=outbox.largest_event)
    deadlines = Deadlines(work, run_store, Unreadable(outbox, work))
    work.when_due(deadlines.wake)
    room = JobRoom(
        settings.limit_jobs,
        job_store.count_open,
        LimitMetrics(metrics),
        at_a_time=max(1, settings.database_pool - RESERVED),
    )
    firings = FiringStore(database)
    reception = Reception(claim_store, firings, aside)
    admission = Admission(outbox, work, claim_store, ConcurrencyMetrics(metrics, claim_store).admitted)
    work.when_freed(admission.freed)
    reception.when(waiting=admission.freed, superseded=admission.superseded)
    work.when_failed(TaskFailures(metrics).count)
    runs = Runs(work, metrics, bus.foreign)
    ApprovalMetrics(metrics, job_store)
    outbox.when_undeliverable(TaskQueued, UndeliverableTasks(work))
    outbox.when_undeliverable(TaskSucceeded, UndeliverableEnds(outbox))
    outbox.when_undeliverable(TaskFailed, UndeliverableEnds(outbox))
    reports = bus.consumer(ORCHESTRATOR_RUNS.durable, runs.handle)
    asked = Recall(bus, metrics)
    questions = Questions(database, job_store, submission)
    scheduled = partial(scheduled_jobs, bus)
    retention_store = RetentionStore(database)
    retention = Retention(
        [
            Jobs(
                retention_store,
                work,
                scheduled,
                age=settings.retention_jobs,
                most=settings.retention_jobs_max,
                keep=settings.retention_jobs_per_pipeline,
            ),
            Timelines(retention_store, age=settings.retention_timelines),
            PipelineVersions(retention_store, age=settings.retention_pipeline_versions),
            ArchivedPipelines(retention_store, age=settings.retention_archived_pipelines),
            base.audit_kept,
        ],
        metrics,
    )
    requests = Requests(outbox, work, submission, room, reception, firings, job_store, base.tracing)

    platform_routes = PlatformRoutes(settings, Parts(bus, base.introduction))
    web = base.web(
        title="Hodei orchestrator",
        description="Decides what runs: pipelines and jobs, their tasks, timelines and output.",
        port=settings.port,
        apis=[
            approvals.api(ApprovalRoutes(job_store, work, aside)),
            pipelines.api(PipelineRoutes(pipeline_store, submission, Definitions(submission, aside), outbox, aside)),
            jobs.api(JobRoutes(job_store, work, submission, room, reception, outbox, watch, bus, scheduled, aside)),
            bulk.api(BulkRoutes(job_store, work, submission, room, reception, outbox, bus, scheduled)),
            concurrency.api(ConcurrencyRoutes(claim_store)),
            timeline.api(TimelineRoutes(job_store, timeline_store, watch)),
            logs.api(LogRoutes(job_store, bus, watch)),
            events.api(EventRoutes(bus)),
            tokens.api(TokenRoutes(token_store, base.token_sync, outbox, settings.access_on)),
            sessions.api(
                SessionRoutes(session_store, base.tokens, base.sessions, session_keys, outbox, settings.public_path)
            ),
            platform.api(platform_routes),
            statistics.api(StatisticsRoutes(count_store)),
        ],
        pages=console(platform_routes.describe).routes,
    )
    return [
        *base.services,
        Bootstrap(settings.bootstrap_tokens, token_store, base.token_sync, outbox),
        *([session_sync, session_keys] if settings.access_on else []),
        watch,
        room,
        runs.held,
        reports,
        bus.consumer(ORCHESTRATOR_REQUESTS.durable, requests.handle),
        *([Feed(bus)] if settings.feed == "on" else []),
        deadlines,
        admission,
        Unheard(work, run_store, asked, late=reports.delay, lease=settings.lease_seconds),
        Answering(
            bus,
            base.questions_asked,
            [
                answer(TASK, questions.task),
                answer(MISSING_JOBS, questions.missing_jobs),
                answer(TARGET, questions.target),
                answer(FINISHED_JOBS, FinishedJobs(outbox, job_store, asked).answer),
                answer(RECALL_OF["orchestrator"], Recollection(outbox, run_store, asked).answer),
                answer(TOKENS, base.tokens_table.answer),
                answer(SESSIONS, session_store.answer),
            ],
        ),
        Housekeeping(
            metrics,
            idempotency_keys=partial(purge, database, lifetime=settings.retention_idempotency_keys),
            refused_firings=firings.purge,
            deleted_firings=firings.purge_deleted,
            tokens=token_store.purge,
            sessions=session_store.purge,
            job_minutes=count_store.purge,
        ),
        Counting(count_store),
        retention,
        web,
    ]
