"""The composition root: which parts the worker manager has, what each is given, and in which order they start."""

import os
from collections.abc import Sequence
from functools import partial

from schemas.events import (
    ExecutionCompleted,
    ExecutionFinished,
    ExecutionLost,
    ExecutionRefused,
    ExecutionRequested,
    ExecutionReturned,
    JobCreated,
)
from schemas.questions import RECALL_OF
from schemas.subjects import WORKER_MANAGER_DELETIONS, WORKER_MANAGER_DISPATCH, WORKER_MANAGER_EXECUTIONS
from shared.bus import Answering, answer, listen, questions_asked
from shared.foundation import Foundation
from shared.recall import Recall, UndeliverableOutcomes
from shared.retention import Retention
from shared.service import Housekeeping, Service
from shared.web.idempotency import purge
from worker_manager.agent_metrics import AgentMetrics
from worker_manager.api import execute, executions, logs, workers
from worker_manager.api.execute import ExecuteRoutes
from worker_manager.api.executions import ExecutionRoutes
from worker_manager.api.logs import LogRoutes
from worker_manager.api.workers import WorkerRoutes
from worker_manager.consumers import Dispatcher, Recorder, UndeliverableRequests
from worker_manager.counters import Counters
from worker_manager.fleet import Fleet
from worker_manager.forgetting import Forgetting
from worker_manager.heartbeat_listener import HeartbeatListener
from worker_manager.instance import instance_id
from worker_manager.providers.base import Provider
from worker_manager.providers.process import AGENT, ProcessProvider
from worker_manager.recall import Holdings, Recollection, Unheard
from worker_manager.redelivery import Redelivery
from worker_manager.retention import Deletions, Executions, Strays, missing_jobs
from worker_manager.settings import WorkerManagerSettings
from worker_manager.store.executions import ExecutionStore
from worker_manager.store.retention import RetentionStore
from worker_manager.store.workers import WorkerStore


def build(settings: WorkerManagerSettings, *, agent: Sequence[str] = AGENT) -> Sequence[Service]:
    """Wire the parts. `agent` is the command line of a worker. Raises ConfigError for an unusable data folder."""
    base = Foundation(settings)
    metrics, database, bus, outbox = base.metrics, base.database, base.bus, base.outbox
    counters = Counters(metrics)
    agents = AgentMetrics(metrics)

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
    dispatcher = Dispatcher(bus, outbox, counters, base.tracing)
    outbox.when_undeliverable(ExecutionFinished, UndeliverableOutcomes(outbox).handle)
    outbox.when_undeliverable(ExecutionRequested, UndeliverableRequests(database, execution_store).handle)
    recorder = Recorder(database, execution_store, counters)
    redelivery = Redelivery(execution_store, dispatcher.send, counters)
    bus.on_change(redelivery.bus_changed)
    verdicts = listen(bus, JobCreated, ExecutionCompleted, ExecutionRefused)
    ends = listen(bus, ExecutionFinished, ExecutionLost, ExecutionReturned)

    web = base.web(
        title="Hodei worker manager",
        description="Decides how work runs: worker processes, executions and their output.",
        port=settings.port,
        apis=[
            workers.api(
                WorkerRoutes(
                    fleet,
                    worker_store,
                    outbox,
                    default_slots=settings.worker_slots,
                    default_capacity=settings.worker_capacity,
                )
            ),
            execute.api(ExecuteRoutes(execution_store, outbox, verdicts)),
            executions.api(ExecutionRoutes(execution_store)),
            logs.api(LogRoutes(execution_store, bus, ends)),
        ],
    )
    recorded = bus.consumer(WORKER_MANAGER_EXECUTIONS.durable, recorder.handle)
    asked, holdings = Recall(bus, metrics), Holdings(within=settings.lease_seconds)
    recollection = Recollection(outbox, execution_store, asked)
    retention_store = RetentionStore(database)
    executions_kept = Executions(retention_store, age=settings.retention_executions)
    retention = Retention([executions_kept, Strays(retention_store, partial(missing_jobs, bus))], metrics)
    deletions = Deletions(retention_store, retention.counter("executions_of_deleted_jobs"))
    return [
        *base.services,
        verdicts,
        ends,
        HeartbeatListener(bus, [fleet.hear, redelivery.hear, agents.hear, holdings.hear], counters.agents_refused),
        fleet,
        redelivery,
        bus.consumer(WORKER_MANAGER_DISPATCH.durable, dispatcher.handle),
        recorded,
        Unheard(outbox, execution_store, asked, holdings, late=recorded.delay, lease=settings.lease_seconds),
        Answering(bus, questions_asked(metrics), [answer(RECALL_OF["worker_manager"], recollection.answer)]),
        Forgetting(worker_store, outbox, providers, counters, ttl=settings.worker_ttl),
        Housekeeping(metrics, idempotency_keys=partial(purge, database, lifetime=settings.retention_idempotency_keys)),
        bus.consumer(WORKER_MANAGER_DELETIONS.durable, deletions.handle),
        retention,
        web,
    ]
