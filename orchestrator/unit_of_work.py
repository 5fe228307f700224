"""The write path of jobs: load, apply, save, emit, trace, remember. Every change of a job passes here.

A change is one transaction of the outbox. The rules are in `orchestrator.domain`, the rows in `orchestrator.store`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Literal, get_args

from orchestrator.domain.concurrency import Key
from orchestrator.domain.executions import ExecutionReport, ExecutionRow, fold
from orchestrator.domain.making import NewJob
from orchestrator.domain.orders import NO_COMMANDS, Commands
from orchestrator.domain.rendering import render
from orchestrator.domain.run import JobRun
from orchestrator.domain.standing import Reported, Standing, standing
from orchestrator.memory import RunMemory
from orchestrator.store.claims import ClaimStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.runs import RunStore, Waiting
from orchestrator.traces import Traces
from orchestrator.watch import Watch
from schemas.access import Actor
from schemas.events import ExecutionFinished, ExecutionStarted, JobDeleted, TaskFailed, TaskRetrying
from schemas.questions import Overdue
from schemas.states import JOB, Reason
from shared.clock import now
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import Broken, retry_deadlock

Known = Literal["remembered", "loaded", "conflict"]
"""Where the jobs of a batch of reports came from: memory, the tables, or the tables because another replica had changed
one of those in memory."""

Cause = Literal["request", "retention"]
"""Why a job is deleted."""

_EXECUTION_REPORTS: Final = get_args(ExecutionReport)


@dataclass(frozen=True, slots=True)
class Applied:
    """A batch of reports, committed."""

    runs: Mapping[str, JobRun]
    """The jobs of the reports, by id. They must not be changed any more."""
    early: Sequence[int]
    """The indexes of reports whose execution is not known to be placed."""
    foreign: Sequence[int]
    """The indexes of reports whose execution is placed on another worker."""
    stale: int
    """How many reports came too late to change a job."""
    known: Known


class UnitOfWork:
    """Creates and changes jobs, one transaction at a time."""

    def __init__(
        self,
        outbox: Outbox,
        jobs: JobStore,
        runs: RunStore,
        claims: ClaimStore,
        traces: Traces,
        memory: RunMemory,
        watch: Watch,
    ) -> None:
        self._outbox = outbox
        self._jobs = jobs
        self._runs = runs
        self._claims = claims
        self._traces = traces
        self._memory = memory
        self._watch = watch
        self._due_changed: Callable[[], None] = lambda: None
        self._count_failures: Callable[[Sequence[TaskFailed | TaskRetrying]], None] = lambda _: None
        self._keys_freed: Callable[[Iterable[Key]], None] = lambda _: None

    def when_failed(self, count: Callable[[Sequence[TaskFailed | TaskRetrying]], None]) -> None:
        """Call `count` after each commit with the tasks that failed in it, or are tried again after a failure."""
        self._count_failures = count

    def when_due(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each commit that made a job due at another moment."""
        self._due_changed = changed

    def when_freed(self, freed: Callable[[Iterable[Key]], None]) -> None:
        """Call `freed` after each commit that ended jobs with concurrency keys, with those keys."""
        self._keys_freed = freed

    # ------------------------------------------------------------------ making jobs

    def create(self, tx: OutboxTransaction, jobs: Sequence[NewJob]) -> None:
        """Insert the jobs and emit their events when the caller's transaction commits. Their ids must be new."""
        self._jobs.insert(tx, jobs)
        self._publish_new(tx, jobs)

    async def create_missing(self, tx: OutboxTransaction, jobs: Sequence[NewJob]) -> None:
        """Like `create`, for jobs whose ids another service chose: a job that exists already stays as it is. If it is
        over, its end is published again for its schedule."""
        fresh = await self._jobs.insert_missing(tx, jobs)
        self._publish_new(tx, [job for job in jobs if job.run.job.id in fresh])
        known = [job.run.job.id for job in jobs if job.run.job.id not in fresh and job.run.job.schedule_id is not None]
        if known:
            tx.emit(*await self._jobs.finished_again(tx, known))

    def _publish_new(self, tx: OutboxTransaction, jobs: Sequence[NewJob]) -> None:
        if claimed := [job for job in jobs if job.run.job.claim is not None]:
            self._claims.insert(tx, claimed)
        for job in jobs:
            self._publish(tx, job.run, job.commands, job.run.job.created_at)
        if any(job.run.job.due_at is not None for job in jobs):
            tx.on_commit(self._due_changed)
        tx.on_commit(partial(self._memory.keep, [job.run for job in jobs]))

    # ------------------------------------------------------------------ changing jobs

    async def apply(self, reports: Sequence[Reported], moment: datetime) -> Applied:
        """Apply a batch of reports, without outputs that no step can have. Jobs in memory are written without being
        loaded."""
        checked = [_checked(reported) for reported in reports]
        return await retry_deadlock(lambda: self._apply(checked, moment))

    async def change(
        self, job_ids: Collection[str], deed: Callable[[JobRun], object], moment: datetime
    ) -> dict[str, JobRun]:
        """Load jobs under their locks, call `deed` with each, and commit. Returns those that exist. If `deed` raises,
        the whole transaction is rolled back."""
        return await retry_deadlock(lambda: self._change(job_ids, deed, moment))

    async def load(self, tx: OutboxTransaction, job_ids: Collection[str]) -> dict[str, JobRun]:
        """Lock jobs and load them. Jobs that do not exist are missing from the result."""
        self._memory.forget(job_ids)
        return await self._runs.load(tx, job_ids)

    async def save(
        self, tx: OutboxTransaction, runs: Sequence[JobRun], moment: datetime, reports: Sequence[ExecutionRow] = ()
    ) -> None:
        """Write the runs and emit their events, as the last step of a transaction. After the commit, notify the
        listeners of these jobs, record spans, and remember the runs."""
        tx.on_commit(partial(self._watch.tell_runs, runs))
        commands = await self._commands(tx, runs, moment)
        if any(run.due_changed for run in runs):
            tx.on_commit(self._due_changed)
        for run in sorted(runs, key=lambda run: run.job.id):
            self._publish(tx, run, commands.get(run.job.id, NO_COMMANDS), moment)
        if moved := [run for run in runs if run.reprioritized and run.job.waits]:
            await self._claims.rerank(tx, moved)
        if ended := [run for run in runs if run.job.claim is not None and JOB.is_final(run.job.status)]:
            self._claims.free(tx, ended)
            tx.on_commit(partial(self._keys_freed, [key for run in ended for key in run.job.keys]))
        tx.on_commit(partial(self._memory.keep, runs))
        await self._runs.write(tx, runs, reports, moment)

    async def delete(self, job_ids: Collection[str], *, cause: Cause = "request", by: Actor | None = None) -> list[str]:
        """Delete those of these jobs that have ended, and all that belongs to them, and emit `jobs.deleted`. Returns
        their ids. Retention leaves out those that another transaction has locked."""
        async with self._outbox.transaction() as tx:
            found = await self._jobs.delete(tx, job_ids, skip_locked=cause == "retention")
            tx.emit(*(JobDeleted(job_id=job_id, cause=cause, deleted_by=by) for job_id in found))
        self._memory.forget(found)
        return found

    async def remind(self, overdue: Sequence[Overdue]) -> int:
        """Emit `tasks.queued` again for those of these tasks that are still queued. Returns their number."""
        async with self._outbox.transaction() as tx:
            waiting = await self._runs.waiting(tx, overdue)
            for one in waiting:
                if one.fault is not None:
                    continue
                order = one.orders.order(one.rules, one.run, one.queued)
                self._traces.order(tx, order, one.traceparent)
        if faulty := [one for one in waiting if one.fault is not None]:
            await self._refuse(faulty)
        return len(waiting) - len(faulty)

    async def _refuse(self, waiting: Sequence[Waiting]) -> None:
        """Fail queued tasks of which there is no order, because an earlier version accepted other values than this."""
        moment = now()

        def refuse(run: JobRun) -> None:
            for one in waiting:
                if one.orders.job_id == run.job.id:
                    queued = one.queued
                    run.refuse(queued.task_id, queued.attempt, moment, reason=Reason.BAD_EXPRESSION, detail=one.fault)

        await self.change({one.orders.job_id for one in waiting}, refuse, moment)

    async def _apply(self, reports: Sequence[Reported], moment: datetime) -> Applied:
        jobs = {reported.report.job_id for reported in reports}
        known: Known = "loaded"
        remembered = self._memory.take(jobs)
        if remembered is not None and (taken := _take_in(remembered, reports, moment)).writes_all:
            try:
                async with self._outbox.transaction() as tx:
                    stale = await self._save_reports(tx, remembered, taken, moment)
            except Broken:
                self._memory.distrust()  # another replica wrote one of the jobs first
                known = "conflict"
            else:
                return Applied(remembered, taken.early, taken.foreign, stale, "remembered")
        async with self._outbox.transaction() as tx:
            runs = await self.load(tx, jobs)
            taken = _take_in(runs, reports, moment)
            stale = await self._save_reports(tx, runs, taken, moment)
        return Applied(runs, taken.early, taken.foreign, stale, known)

    async def _change(
        self, job_ids: Collection[str], deed: Callable[[JobRun], object], moment: datetime
    ) -> dict[str, JobRun]:
        async with self._outbox.transaction() as tx:
            runs = await self.load(tx, job_ids)
            for run in runs.values():
                deed(run)
            await self.save(tx, list(runs.values()), moment)
        return runs

    # ------------------------------------------------------------------ what this process knows

    def under_way(self, job_id: str) -> bool:
        """Whether a job is running as far as this process knows: it changed the job last, and heard of no end."""
        return job_id in self._memory

    def over(self, job_id: str) -> None:
        """Note that a job has ended, or does not exist."""
        self._memory.forget([job_id])

    # ------------------------------------------------------------------ the steps of a transaction

    async def _save_reports(
        self, tx: OutboxTransaction, runs: Mapping[str, JobRun], taken: "_Taken", moment: datetime
    ) -> int:
        """Save the runs and the reports of their executions. Returns how many reports came too late."""
        stale = taken.unknown + sum(run.stale for run in runs.values())
        await self.save(tx, list(runs.values()), moment, fold(taken.executions))
        return stale

    async def _commands(self, tx: OutboxTransaction, runs: Sequence[JobRun], moment: datetime) -> dict[str, Commands]:
        """The commands that the orders of these runs need, by job id, with the values of their expressions. A task
        without values fails, which can start other steps, so each round loads what the one before needs."""
        commands: dict[str, Commands] = {}
        ordered = {run.job.id: tasks for run in runs if (tasks := run.ordered)}
        for _ in range(1 + sum(len(run.tasks) for run in runs)):
            if not ordered:
                break
            for job_id, more in (await self._runs.commands(tx, ordered)).items():
                commands[job_id] = commands[job_id].and_more(more) if job_id in commands else more
            loaded = [run for run in runs if run.job.id in ordered and run.job.id in commands]
            ordered = {run.job.id: left for run in loaded if (left := render(run, commands[run.job.id], moment))}
        return commands

    def _publish(self, tx: OutboxTransaction, run: JobRun, commands: Commands, began: datetime) -> None:
        if run.touched:
            failures = [one.event for one in run.journal if isinstance(one.event, TaskFailed | TaskRetrying)]
            if failures:
                tx.on_commit(partial(self._count_failures, failures))
            self._traces.emit(tx, run.job, run.events(commands))
            self._traces.follow(tx, run, began)


@dataclass(slots=True)
class _Taken:
    """What came of the reports of a batch."""

    executions: list[ExecutionReport] = field(default_factory=list)
    """The reports of executions that count."""
    early: list[int] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    unknown: int = 0
    """How many reports are about jobs that do not exist."""
    writes_all: bool = False
    """Whether each run will be written, which detects a run that is out of date: a report that seems too late for it,
    or foreign, may in fact be too early."""


def _take_in(runs: Mapping[str, JobRun], reports: Sequence[Reported], moment: datetime) -> _Taken:
    """Apply the reports that count."""
    taken = _Taken()
    for index, reported in enumerate(reports):
        report, run = reported.report, runs.get(reported.report.job_id)
        if run is None:
            taken.unknown += 1
            continue
        if reported.by_agent and isinstance(report, ExecutionStarted | ExecutionFinished):
            match standing(run, report):
                case Standing.OWN:
                    pass
                case Standing.STALE:
                    run.stale += 1
                    continue
                case Standing.EARLY:
                    taken.early.append(index)
                    continue
                case Standing.FOREIGN:
                    taken.foreign.append(index)
                    continue
        run.apply(report, moment)
        if isinstance(report, _EXECUTION_REPORTS):
            taken.executions.append(report)
    taken.writes_all = all(run.touched for run in runs.values())
    return taken


def _checked(reported: Reported) -> Reported:
    report = reported.report
    if not isinstance(report, ExecutionFinished) or (checked := report.checked()) is report:
        return reported
    return Reported(checked, reported.by_agent)
