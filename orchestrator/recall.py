"""Recall: asks other services about tasks without news, and answers the same questions of others (`shared.recall`).

The orchestrator asks about every task that waits for an event and has had none for the length of a lease, whether it is
queued, placed or running. The scheduler publishes its placement and its outcome again, the worker manager the reports
of its worker. A task that the scheduler does not know is queued again. The answers come as ordinary events.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from orchestrator.domain.executions import ExecutionRow
from orchestrator.store.jobs import JobStore
from orchestrator.store.runs import RunStore
from orchestrator.unit_of_work import UnitOfWork
from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned, LogSummary, ScheduleFinished
from schemas.ids import LOWEST
from schemas.questions import FinishedAgain, JobsQuestion, Overdue, RecallAnswer, RecallQuestion
from schemas.states import ExecutionStatus, JobStatus, Reason
from shared.clock import now
from shared.outbox import Outbox
from shared.recall import Recall, Walk, answered
from shared.service import Counts, Loop

START: Final = (LOWEST, LOWEST)
ROUND: Final = (JobStatus.RUNNING, JobStatus.PENDING)


class Unheard(Loop):
    """Asks about the tasks that wait for an event, a page at a time, with half a lease between two rounds.

    `late` returns the seconds by which incoming reports are late. While that is long, the missing event may be among
    them, and no question is asked.
    """

    def __init__(
        self, work: UnitOfWork, store: RunStore, asked: Recall, *, late: Callable[[], float], lease: float
    ) -> None:
        super().__init__("unheard", interval=lease / 2)
        self._work = work
        self._store = store
        self._recall = asked
        self._late = late
        self._lease = lease
        self._walk = Walk(ROUND, START, self._overdue, lambda one: (one.job_id, one.task_id), pause=lease / 2)

    async def run_once(self) -> Counts:
        """Ask about a page of tasks. Returns counts."""
        if self._late() > self._lease / 3:
            return {}
        overdue = await self._walk.page()
        self.interval = self._walk.pause
        if not overdue:
            return {}
        unknown = await self._recall.ask("scheduler", overdue)
        await self._recall.ask("worker_manager", overdue)
        lost = [one for one in overdue if one.task_id in unknown and one.status == "queued"]
        again = 0
        if lost:
            again = await self._work.remind(lost)
            self._recall.repeated("tasks.queued", again)
        return {"asked": len(overdue), "queued_again": again}

    async def _overdue(self, status: JobStatus, after: tuple[str, str], limit: int) -> list[Overdue]:
        return await self._store.overdue(status, now() - timedelta(seconds=self._lease), after, limit)


class Recollection:
    """Answers from the tables of jobs."""

    def __init__(self, outbox: Outbox, store: RunStore, asked: Recall) -> None:
        self._outbox = outbox
        self._store = store
        self._recall = asked

    async def answer(self, question: RecallQuestion) -> RecallAnswer:
        """Publish again the outcomes of the executions asked about. Returns which of the tasks are unknown."""
        known = await self._store.known_tasks(question.overdue)
        ended = await self._store.ended_executions(question.overdue)
        events = list(told_again(question.overdue, ended))
        if events:
            async with self._outbox.transaction() as tx:
                tx.emit(*events)
            for event in events:
                self._recall.repeated(event.event_type)
        return answered(len(events), [one.task_id for one in question.overdue if one.task_id not in known])


class FinishedJobs:
    """Answers the scheduler's question about the jobs of schedules."""

    def __init__(self, outbox: Outbox, jobs: JobStore, asked: Recall) -> None:
        self._outbox = outbox
        self._jobs = jobs
        self._recall = asked

    async def answer(self, question: JobsQuestion) -> FinishedAgain:
        """Publish `schedules.finished` again for those of the jobs that are over."""
        async with self._outbox.transaction() as tx:
            over = await self._jobs.finished_again(tx, question.job_ids)
            tx.emit(*over)
        self._recall.repeated(ScheduleFinished.event_type, len(over))
        return FinishedAgain(repeated=len(over), missing=await self._jobs.missing(question.job_ids))


def told_again(overdue: Sequence[Overdue], ended: Mapping[str, ExecutionRow]) -> Iterator[EventData]:
    """The outcome events of the executions asked about, made from their rows."""
    for one in overdue:
        row = ended.get(one.execution_id or "")
        if row is None or one.worker_id is None or one.incarnation is None:
            continue
        ids: dict[str, object] = {
            "execution_id": one.execution_id,
            "task_id": one.task_id,
            "job_id": one.job_id,
            "attempt": one.attempt,
            "worker_id": row.worker_id or one.worker_id,
            "worker_name": row.worker_name,
            "incarnation": one.incarnation,
            "labels": row.labels,
        }
        if row.status is ExecutionStatus.LOST:
            words = {"reason": row.reason or Reason.LOST, "detail": row.detail or "it was lost"}
            yield ExecutionLost.model_validate(ids | words | {"lost_at": row.finished_at})
        elif row.reason is Reason.RETURNED:
            yield ExecutionReturned.model_validate(ids | {"detail": row.detail or "it was given back"})
        else:
            log = LogSummary(chunks=row.log_chunks or 0, truncated=row.log_truncated)
            names = ("status", "reason", "detail", "exit_code", "started_at", "finished_at")
            outcome = {name: getattr(row, name) for name in names}
            yield ExecutionFinished.model_validate(ids | outcome | {"log": log})
