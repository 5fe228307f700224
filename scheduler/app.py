"""The composition root: the scheduler's parts, their dependencies, and the order in which they start."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from scheduler.api import changes, explain, queue, schedules, workers
from scheduler.api.changes import ChangeRoutes
from scheduler.api.explain import ExplainRoutes
from scheduler.api.queue import QueueRoutes
from scheduler.api.schedules import ScheduleRoutes
from scheduler.api.workers import WorkerRoutes
from scheduler.bounds import WorkerBounds
from scheduler.consumers import AgentNews, PlacementEvents, VerdictRecords
from scheduler.counters import Counters
from scheduler.hearing import HeardTime, Hearing
from scheduler.leader import Leader
from scheduler.loops import Forgetting, HeartbeatTimes, Silence, Timers
from scheduler.ordering import Ordering
from scheduler.questions import Questions
from scheduler.recall import Recollection, UnheardSchedules, Unnamed
from scheduler.restarts import Restarts
from scheduler.schedules import Firing, Schedules, purge_schedules
from scheduler.settings import SchedulerSettings
from scheduler.store.firings import FiringStore
from scheduler.store.listing import Listing
from scheduler.store.retention import RetentionStore
from scheduler.store.schedules import ScheduleStore
from scheduler.store.turns import TurnStore
from scheduler.store.workers import WorkerStore
from scheduler.traces import Traces
from scheduler.undeliverable import UndeliverableFirings, UndeliverableOrders
from schemas.events import ExecutionFinished, ScheduleConfirmed, ScheduleFired, ScheduleRefused, TaskScheduled
from schemas.questions import RECALL_OF, SCHEDULED_JOBS
from schemas.subjects import SCHEDULER_PLACEMENT, SCHEDULER_VERDICTS
from shared.bus import Answering, answer, listen
from shared.clock import now
from shared.foundation import Foundation
from shared.postgres import Leadership
from shared.recall import Recall, UndeliverableOutcomes
from shared.retention import Retention
from shared.service import Housekeeping, Service
from shared.web.idempotency import purge

REDELIVERED: Final = 2.0 * SCHEDULER_PLACEMENT.ack_wait
"""Seconds within which NATS has redelivered an outcome whose consumer died or froze."""


def build(settings: SchedulerSettings, *, clock: Callable[[], datetime] = now) -> Sequence[Service]:
    """Wire the parts. Schedules go by `clock`."""
    base = Foundation(settings)
    metrics, database, bus, outbox = base.metrics, base.database, base.bus, base.outbox
    counters = Counters(metrics)
    store = TurnStore(database, outbox)
    schedule_store, firing_store, worker_store = ScheduleStore(database), FiringStore(database), WorkerStore()
    listing = Listing(database)
    verdicts = listen(bus, ScheduleConfirmed, ScheduleRefused)
    traces = Traces(base.tracing)
    ordering = Ordering(firing_store, traces)
    firing = Schedules(schedule_store, firing_store, outbox, ordering)
    outbox.when_undeliverable(TaskScheduled, UndeliverableOrders(outbox).handle)
    outbox.when_undeliverable(ExecutionFinished, UndeliverableOutcomes(outbox).handle)
    outbox.when_undeliverable(ScheduleFired, UndeliverableFirings(firing_store, outbox).handle)
    asked = Recall(bus, metrics)
    retention = Retention([base.audit_kept], metrics)

    def leads() -> Sequence[Service]:
        lease = settings.lease_seconds
        heard = HeardTime(lease=lease)
        leader = Leader(store, bus, counters, traces, lease=lease, patience=lease + REDELIVERED, heard=heard.now)
        timers = Timers(leader)
        leader.timed = timers.wake
        silence = Silence(worker_store, outbox, heard, leader.hold, lease=lease)
        placement = PlacementEvents(leader, silence, bus.foreign)
        placing = bus.consumer(SCHEDULER_PLACEMENT.durable, placement.handle, patient=leader.nothing_waits)
        leader.delay = placing.delay
        restarts = Restarts(placing.caught_up, partial(leader.hear, outcomes_read=True), patience=lease)
        leader.hold_back = restarts.hold
        recollection = Recollection(leader, store, outbox, asked)
        return [
            leader,
            restarts,
            AgentNews(bus, leader, counters.agents_refused, WorkerBounds(settings.nats_credentials)),
            Hearing(bus, heard, leader.idle_turn, counters),
            placing,
            bus.consumer(SCHEDULER_VERDICTS.durable, VerdictRecords(firing_store, outbox).handle),
            timers,
            silence,
            Firing(firing, bus, counters, leader.hold, clock=clock),
            Answering(
                bus,
                base.questions_asked,
                [
                    answer(RECALL_OF["scheduler"], recollection.answer),
                    answer(SCHEDULED_JOBS, Questions(RetentionStore(database)).scheduled_jobs),
                ],
            ),
            Unnamed(leader, recollection, asked, lease=lease),
            UnheardSchedules(schedule_store, firing_store, outbox, bus, asked, lease=lease),
            HeartbeatTimes(leader),
            Forgetting(leader, worker_store, outbox, ttl=settings.worker_ttl, forgotten=counters.workers_forgotten),
            Housekeeping(
                metrics,
                tasks=store.purge_done,
                priorities=store.purge_priorities,
                schedules=partial(purge_schedules, schedule_store, outbox, settings.retention_schedules),
                idempotency_keys=partial(purge, database, lifetime=settings.retention_idempotency_keys),
            ),
            retention,
        ]

    web = base.web(
        title="Hodei scheduler",
        description="Decides when and where work runs: schedules, workers and the queue.",
        port=settings.port,
        apis=[
            schedules.api(ScheduleRoutes(listing, schedule_store, outbox, verdicts)),
            changes.api(ChangeRoutes(schedule_store, firing_store, outbox, bus, ordering, clock)),
            workers.api(WorkerRoutes(listing, worker_store, outbox, bus)),
            queue.api(QueueRoutes(listing)),
            explain.api(ExplainRoutes(listing, bus)),
        ],
    )
    return [
        *base.services,
        verdicts,
        Leadership(database, "scheduler", leads, metrics, fit=lambda: bus.connected),
        web,
    ]
