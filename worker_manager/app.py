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
from schemas.subjects import (
    WORKER_MANAGER_DELETIONS,
    WORKER_MANAGER_DISPATCH,
    WORKER_MANAGER_EXECUTIONS,
    WORKER_MANAGER_REMOVALS,
)
from shared.bus import Answering, answer, listen
from shared.foundation import Foundation
from shared.keys import Issuer
from shared.recall import Recall, UndeliverableOutcomes
from shared.retention import Retention
from shared.service import Housekeeping, Service
from shared.web.idempotency import purge
from worker_manager.agent_metrics import AgentMetrics
from worker_manager.api import credentials, execute, executions, join_tokens, logs, workers
from worker_manager.api.credentials import CredentialsRoutes
from worker_manager.api.execute import ExecuteRoutes
from worker_manager.api.executions import ExecutionRoutes
from worker_manager.api.join_tokens import JoinTokenRoutes
from worker_manager.api.logs import LogRoutes
from worker_manager.api.workers import WorkerRoutes
from worker_manager.bootstrap import FirstJoinTokens
from worker_manager.consumers import Dispatcher, Recorder, UndeliverableRequests
from worker_manager.counters import Counters, EnrolmentCounters
from worker_manager.enrolment import Enrolments
from worker_manager.fleet import Fleet
from worker_manager.forgetting import Forgetting
from worker_manager.heartbeat_listener import HeartbeatListener
from worker_manager.instance import instance_id
from worker_manager.providers.base import Provider
from worker_manager.providers.process import AGENT, ProcessProvider
from worker_manager.recall import Holdings, Recollection, Unheard
from worker_manager.redelivery import Redelivery
from worker_manager.registrar import Registrar
from worker_manager.retention import Deletions, Executions, Strays, missing_jobs
from worker_manager.revocations import AccountPusher, Revocations
from worker_manager.settings import WorkerManagerSettings
from worker_manager.store.enrolment import EnrolmentStore
from worker_manager.store.executions import ExecutionStore
from worker_manager.store.retention import RetentionStore
from worker_manager.store.workers import WorkerStore


def build(settings: WorkerManagerSettings, *, agent: Sequence[str] = AGENT) -> Sequence[Service]:
    """Wire the parts. `agent` is the command line of a worker. Raises ConfigError for an unusable data folder."""
    base = Foundation(settings, features={"enrolment": settings.issuer_dir is not None})
    metrics, database, bus, outbox = base.metrics, base.database, base.bus, base.outbox
    counters = Counters(metrics)
    agents = AgentMetrics(metrics)

    worker_store = WorkerStore(database, instance=instance_id(settings.workers_folder))
    execution_store = ExecutionStore(database)
    enrolment_store, enrolment_counters = EnrolmentStore(database), EnrolmentCounters(metrics)
    issuer = None if settings.issuer_dir is None else Issuer(settings.issuer_dir)
    revocations: Revocations | None = None
    if issuer is not None:
        push = AccountPusher(issuer, url=settings.nats_url, ca=settings.nats_ca, catalogue=bus.catalogue)
        revocations = Revocations(enrolment_store, outbox, push.push, enrolment_counters)
        bus.on_change(revocations.bus_changed)
    enrolments = Enrolments(
        enrolment_store,
        outbox,
        issuer,
        bus.catalogue,
        enrolment_counters,
        revoked=revocations.wake if revocations is not None else lambda: None,
    )
    giving_out: list[Service] = [] if revocations is None else [revocations, Registrar(bus, enrolments)]
    process = ProcessProvider(
        nats_url=settings.nats_url,
        namespace=settings.namespace,
        folder=settings.workers_folder,
        environment=os.environ,
        command=agent,
    )
    providers: dict[str, Provider] = {process.name: process}
    fleet = Fleet(worker_store, outbox, bus, providers, counters, enrolments)
    dispatcher = Dispatcher(bus, outbox, counters, base.tracing)
    outbox.when_undeliverable(ExecutionFinished, UndeliverableOutcomes(outbox).handle)
    outbox.when_undeliverable(ExecutionRequested, UndeliverableRequests(database, execution_store).handle)
    recorder = Recorder(database, execution_store, counters, bus.foreign)
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
                    enrolments,
                    enrolment_store,
                    default_slots=settings.worker_slots,
                    default_capacity=settings.worker_capacity,
                )
            ),
            join_tokens.api(JoinTokenRoutes(enrolments, enrolment_store, outbox)),
            credentials.api(CredentialsRoutes(enrolments, enrolment_store, outbox)),
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
    strays = Strays(retention_store, partial(missing_jobs, bus))
    retention = Retention([executions_kept, strays, base.audit_kept], metrics)
    deletions = Deletions(retention_store, retention.counter("executions_of_deleted_jobs"))
    return [
        *base.services,
        verdicts,
        ends,
        HeartbeatListener(bus, [fleet.hear, redelivery.hear, agents.hear, holdings.hear], counters.agents_refused),
        FirstJoinTokens(settings.bootstrap_join_tokens, enrolment_store),
        *giving_out,
        fleet,
        redelivery,
        bus.consumer(WORKER_MANAGER_DISPATCH.durable, dispatcher.handle),
        recorder.held,
        recorded,
        Unheard(outbox, execution_store, asked, holdings, late=recorded.delay, lease=settings.lease_seconds),
        Answering(bus, base.questions_asked, [answer(RECALL_OF["worker_manager"], recollection.answer)]),
        Forgetting(worker_store, outbox, providers, counters, ttl=settings.worker_ttl),
        Housekeeping(metrics, idempotency_keys=partial(purge, database, lifetime=settings.retention_idempotency_keys)),
        bus.consumer(WORKER_MANAGER_REMOVALS.durable, enrolments.handle_removals),
        bus.consumer(WORKER_MANAGER_DELETIONS.durable, deletions.handle),
        retention,
        web,
    ]
