"""The orchestrator's consumers: they apply the reports of the other services to jobs, and create the jobs that those
services request.

They decode, call and acknowledge; the rules are in `domain/`. Both handlers may get the same event again at any time.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, cast, get_args

import structlog
from opentelemetry.trace import Span

from orchestrator.domain.making import NewJob
from orchestrator.domain.run import TaskReport
from orchestrator.domain.standing import Reported
from orchestrator.reception import DeletedBefore, Occupied, Reception, RefusedBefore
from orchestrator.refusals import Refusal, detail_of, errors_of, reason_of
from orchestrator.room import Entry, JobRoom
from orchestrator.store.firings import FiringStore
from orchestrator.store.jobs import JobStore
from orchestrator.submission import Submission, begin_all
from orchestrator.unit_of_work import UnitOfWork
from schemas.cloudevents import CloudEvent, by_agent
from schemas.events import (
    EventData,
    ExecutionCompleted,
    ExecutionRefused,
    ExecutionRequested,
    JobTarget,
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleFired,
    ScheduleRefused,
)
from schemas.refusals import RefusalReason
from schemas.states import JOB
from shared.bus import Foreign, ForeignKind
from shared.clock import now
from shared.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Overloaded
from shared.held_reports import HeldReports
from shared.outbox import Outbox, OutboxTransaction
from shared.telemetry import Metrics, SpanKind, Tracing

Event = CloudEvent[EventData]

_TASK_REPORTS: Final = get_args(TaskReport)

_LIVES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)
"""Buckets in seconds, from the platform's own latency to a pipeline of six hours."""

_log = structlog.get_logger(__name__)


class Runs:
    """Handler of `orchestrator-runs`. One batch, folded for each job, is one transaction."""

    def __init__(self, work: UnitOfWork, metrics: Metrics, foreign: Foreign) -> None:
        self._work = work
        self._foreign = foreign
        self.held = HeldReports(self.handle, foreign)
        """The reports of agents that came before the placement of their execution."""
        self._stale = metrics.counter("stale_reports_total", "Reports that arrived too late to change anything.")
        self._batches = metrics.counter(
            "report_batches_total",
            "Batches of reports, by their jobs: remembered (in memory), loaded (from the database),"
            " or in conflict with a replica.",
            ["outcome"],
        )
        ended = metrics.batch_histogram(
            "job_seconds",
            "Time from a job's creation to its end, in seconds, by status; only jobs that ended with a report.",
            "status",
            buckets=_LIVES,
        )
        self._ended = {status: ended.series(status.value) for status in JOB.final}

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply the reports of one batch."""
        moment = now()
        taken = [event for event in events if isinstance(event.data, _TASK_REPORTS)]
        applied = await self._work.apply(
            [Reported(cast(TaskReport, event.data), by_agent(event)) for event in taken], moment
        )
        self._batches.labels(applied.known).inc()
        self._stale.inc(applied.stale)
        if applied.early:
            self.held.hold(taken[index] for index in applied.early)
        for index in applied.foreign:
            event = taken[index]
            self._foreign.count(ForeignKind.REPORT, getattr(event.data, "worker_id", None), ids=[event.subject])
        for run in applied.runs.values():
            if run.job.finished_at is moment:
                self._ended[run.job.status].observe((moment - run.job.created_at).total_seconds())


class Requests:
    """Handler of `orchestrator-requests`: creates the jobs that schedules and direct executions request."""

    def __init__(
        self,
        outbox: Outbox,
        work: UnitOfWork,
        submission: Submission,
        room: JobRoom,
        reception: Reception,
        firings: FiringStore,
        jobs: JobStore,
        tracing: Tracing,
    ) -> None:
        self._room = room
        self._jobs = jobs
        self._outbox = outbox
        self._work = work
        self._submission = submission
        self._reception = reception
        self._firings = firings
        self._tracing = tracing

    async def handle(self, events: Sequence[Event]) -> None:
        """Handle each request in a transaction of its own, so that a bad request does not fail the others."""
        for event in events:
            match event.data:
                case ScheduleCreated():
                    with self._span("confirm schedule", event):
                        await self._confirm(event.data)
                case ScheduleFired():
                    with self._span("make job", event):
                        await self._fire(event.data)
                case ExecutionRequested():
                    with self._span("make job", event):
                        await self._execute(event.data)
                case _:
                    continue

    def _span(self, name: str, event: Event) -> AbstractContextManager[Span]:
        attributes = {
            f"hodei.{key}": value
            for key in ("schedule_id", "job_id", "execution_id")
            if (value := getattr(event.data, key, None)) is not None
        }
        return self._tracing.span(name, parent=event.traceparent, kind=SpanKind.CONSUMER, attributes=attributes)

    async def _confirm(self, asked: ScheduleCreated) -> None:
        async with self._outbox.transaction() as tx:
            try:
                await self._submission.of_target(tx, asked.target)
            except (NotFound, Forbidden, Conflict, Invalid) as error:
                tx.emit(_refused(asked.schedule_id, error))
            else:
                tx.emit(ScheduleConfirmed(schedule_id=asked.schedule_id))

    async def _fire(self, fired: ScheduleFired) -> None:
        async with self._room.entry() as entry, self._outbox.transaction() as tx:
            await self._make_of_schedule(tx, fired, entry)

    async def _make_of_schedule(self, tx: OutboxTransaction, fired: ScheduleFired, entry: Entry) -> None:
        try:
            await self._admit(tx, fired.job_id, entry)
            wanted = await self._submission.of_target(tx, fired.target, job_id=fired.job_id)
            wanted = replace(wanted, schedule_id=fired.schedule_id, created_by=fired.created_by)
            new = await self._reception.begin_missing(tx, wanted)
        except (NotFound, Forbidden, Conflict, Invalid, Overloaded) as error:
            made = await self._jobs.exists(tx, fired.job_id) or await self._firings.was_deleted(tx, fired.job_id)
            if made:  # by an earlier delivery, when that was still possible
                tx.emit(ScheduleConfirmed(schedule_id=fired.schedule_id, job_id=fired.job_id))
                tx.emit(*await self._jobs.finished_again(tx, [fired.job_id]))
                return
            _log.info("schedule.refused", schedule_id=fired.schedule_id, job_id=fired.job_id, error=str(error))
            refusal = _refused(fired.schedule_id, error, job_id=fired.job_id)
            if not isinstance(error, Overloaded):  # the scheduler repeats the order of a schedule that fires once
                await self._firings.keep(tx, refusal)
            tx.emit(refusal)
        except RefusedBefore as error:
            tx.emit(error.refusal)
        except DeletedBefore:
            tx.emit(ScheduleConfirmed(schedule_id=fired.schedule_id, job_id=fired.job_id))
        else:
            await self._work.create_missing(tx, [new])
            tx.emit(ScheduleConfirmed(schedule_id=fired.schedule_id, job_id=fired.job_id))

    async def _execute(self, asked: ExecutionRequested) -> None:
        async with self._room.entry() as entry, self._outbox.transaction() as tx:
            await self._make_of_execution(tx, asked, entry)

    async def _make_of_execution(self, tx: OutboxTransaction, asked: ExecutionRequested, entry: Entry) -> None:
        try:
            await self._admit(tx, asked.job_id, entry)
            target = _without_pipeline(asked.target)
            wanted = await self._submission.of_target(tx, target, job_id=asked.job_id, single=True)
            task_ids = [asked.task_id] if wanted.definitions else []
            wanted = replace(wanted, task_ids=task_ids, execution_id=asked.execution_id, created_by=asked.created_by)
            [new] = begin_all([wanted])
            _must_run(new)
        except (NotFound, Forbidden, Conflict, Invalid, Overloaded) as error:
            _log.info("execution.refused", execution_id=asked.execution_id, error=str(error))
            refusal = ExecutionRefused(
                execution_id=asked.execution_id,
                task_id=asked.task_id,
                job_id=asked.job_id,
                attempt=asked.attempt,
                reason=reason_of(error),
                detail=detail_of(error),
                errors=errors_of(error),
            )
            tx.emit(refusal)
        else:
            if not wanted.definitions:
                tx.emit(_completed(asked))
            await self._work.create_missing(tx, [new])

    async def _admit(self, tx: OutboxTransaction, job_id: str, entry: Entry) -> None:
        """Make sure that there is room for the job, or that an earlier delivery of the same event created it. Raises
        Overloaded."""
        try:
            entry.admit(reserved=True)
        except Overloaded:
            if not await self._jobs.exists(tx, job_id):
                self._room.refused()
                raise


def _must_run(new: NewJob) -> None:
    """Raises Invalid for a job whose step has no execution: an approval, or a step that its `if` or a bad expression
    ends at once."""
    if new.definitions and not new.run.ordered:
        [task] = new.run.tasks.values()
        why = "it is an approval" if task.asks else f"it is {task.status.value} ({task.reason})"
        says = f"step {task.title} runs nothing: {why}" + (f": {task.detail}" if task.detail else "")
        raise Invalid([FieldError(("body", "job_id"), says, "runs_nothing")])


def _completed(asked: ExecutionRequested) -> ExecutionCompleted:
    return ExecutionCompleted(
        execution_id=asked.execution_id,
        task_id=asked.task_id,
        job_id=asked.job_id,
        attempt=asked.attempt,
        finished_at=now(),
    )


def _without_pipeline(target: JobTarget) -> JobTarget:
    return target.model_copy(update={"pipeline_id": None})


def _refused(schedule_id: str, error: Refusal, *, job_id: str | None = None) -> ScheduleRefused:
    reason = RefusalReason.OVERLAP if isinstance(error, Occupied) else reason_of(error)
    detail, errors = detail_of(error), errors_of(error)
    return ScheduleRefused(schedule_id=schedule_id, job_id=job_id, reason=reason, detail=detail, errors=errors)
