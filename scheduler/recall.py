"""The scheduler's recall questions about executions without news, and its answers to other services' (`shared.recall`).

It asks about placed executions that their worker's heartbeats do not list: the worker manager may not have received the
order, or the outcome was lost on its way to the scheduler. It answers from its tables.
"""

from collections.abc import Collection, Sequence
from typing import Final

import structlog

from scheduler.domain import recall
from scheduler.domain.model import TaskState
from scheduler.domain.priorities import JobPriority
from scheduler.domain.recall import Known
from scheduler.leader import Leader
from scheduler.store.firings import START, FiringStore, Ordered
from scheduler.store.schedules import ScheduleStore
from scheduler.store.turns import TurnStore
from schemas.events import EventData, TaskCancelRequested
from schemas.questions import FINISHED_JOBS, JobsQuestion, Overdue, RecallAnswer, RecallQuestion
from shared.bus import Bus, ask
from shared.errors import NotFound, Unavailable
from shared.outbox import Outbox
from shared.recall import DEADLINE, PAGE, Recall, Walk, answered
from shared.service import Counts, Loop

SCHEDULES_AT_ONCE: Final = 100

_log = structlog.get_logger(__name__)


class Recollection:
    """Answers recall questions from the table of tasks."""

    def __init__(self, leader: Leader, store: TurnStore, outbox: Outbox, asked: Recall) -> None:
        self._leader = leader
        self._store = store
        self._outbox = outbox
        self._recall = asked

    async def answer(self, question: RecallQuestion) -> RecallAnswer:
        """Publish the missed events of these attempts again, cancel those that should stop, and apply priorities.

        While news is late, no attempt is reported as unknown: its event may be in the unread part of the stream.
        """
        rows = await self.read([one.task_id for one in question.overdue])
        said: list[tuple[EventData, str | None]] = []
        unknown: list[str] = []
        unwanted: list[Overdue] = []
        for one in question.overdue:
            known = rows.get(one.task_id)
            behind = known is None or known.attempt < one.attempt
            over = known is not None and not behind and known.state is TaskState.DONE
            if one.stopping is not None and not over and (known is None or known.cancel_reason is None):
                unwanted.append(one)
            elif behind:
                unknown.append(one.task_id)
            if known is not None:
                said += [(event, known.traceparent) for event in recall.events(known, one)]
        await self.publish(said)
        priorities = [new for one in question.overdue if (new := JobPriority.of(one)) is not None]
        if unwanted or priorities:
            async with self._leader.turn() as turn:
                turn.desk.reprioritize(priorities, turn.now)
                for one in unwanted:
                    ids = {"task_id": one.task_id, "job_id": one.job_id, "attempt": one.attempt}
                    turn.desk.cancel(TaskCancelRequested.model_validate({**ids, "reason": one.stopping}))
        return answered(len(said), unknown if self._leader.timely() else ())

    async def read(self, task_ids: Collection[str]) -> dict[str, Known]:
        """The rows of tasks, by id."""
        return await self._store.recall(task_ids)

    async def publish(self, said: Sequence[tuple[EventData, str | None]]) -> None:
        """Publish events, each with its trace context."""
        if not said:
            return
        async with self._outbox.transaction() as tx:
            for event, traceparent in said:
                tx.emit(event, traceparent=traceparent)
                self._recall.repeated(event.event_type)


class Unnamed(Loop):
    """Asks the other services about placed executions that heartbeats do not list, several times before the worker is
    asked."""

    def __init__(self, leader: Leader, recollection: Recollection, asked: Recall, *, lease: float) -> None:
        super().__init__("unnamed", interval=lease / 3)
        self._leader = leader
        self._recollection = recollection
        self._recall = asked
        self._after = lease / 3

    async def run_once(self) -> Counts:
        """Ask about a bounded number of executions."""
        if not self._leader.timely():
            return {}
        overdue = await self._leader.unnamed(self._after, PAGE)
        if not overdue:
            return {}
        await self._recall.ask("orchestrator", overdue)
        unknown = await self._recall.ask("worker_manager", overdue)
        rows = await self._recollection.read(unknown) if unknown else {}
        still = {one.task_id: one for one in overdue if one.task_id in rows}
        orders = [
            (event, known.traceparent)
            for id, known in rows.items()
            if known.state is TaskState.PLACED and known.execution_id == still[id].execution_id
            for event in recall.order(known)
        ]
        await self._recollection.publish(orders)
        return {"asked": len(overdue), "ordered_again": len(orders)}


class UnheardSchedules(Loop):
    """Publishes again what the orchestrator has not confirmed: new schedules, and the orders of firings. Asks about the
    jobs of firings that are not known to be over, a page at a time."""

    def __init__(
        self, schedules: ScheduleStore, firings: FiringStore, outbox: Outbox, bus: Bus, asked: Recall, *, lease: float
    ) -> None:
        super().__init__("unheard schedules", interval=lease / 2)
        self._bus = bus
        self._outbox = outbox
        self._recall = asked
        self._lease = lease
        self._schedules = schedules
        self._firings = firings
        self._unheard = Walk((None,), START, self._read_unheard, lambda one: one.id, pause=lease / 2)
        self._open = Walk((None,), START, self._read_open, lambda job_id: job_id, pause=lease / 2)

    async def run_once(self) -> Counts:
        """Publish a bounded number of events again, and ask about a bounded number of jobs."""
        async with self._outbox.transaction() as tx:
            new = await self._schedules.lock_unheard(tx, self._lease, SCHEDULES_AT_ONCE)
            for one in new:
                self._recall.repeated(one.event.event_type)
                tx.emit(one.event, traceparent=one.traceparent)
            orders = await self._unheard.page()
            for order in orders:
                event = order.event()
                self._recall.repeated(event.event_type)
                tx.emit(event, traceparent=order.traceparent)
        jobs = await self._open.page()
        unknown = await self._ask(jobs) if jobs else []
        if unknown:
            await self._firings.forget(unknown)
        self.interval = min(self._unheard.pause, self._open.pause)
        return {"told_again": len(new) + len(orders), "asked": len(jobs), "unknown": len(unknown)}

    async def _ask(self, job_ids: list[str]) -> list[str]:
        """Ask the orchestrator about jobs. Returns those that do not exist."""
        try:
            answer = await ask(self._bus, FINISHED_JOBS, JobsQuestion(job_ids=job_ids), deadline=DEADLINE)
        except (Unavailable, NotFound) as error:  # it is asked again in the next round
            _log.info("recall.unanswered", owner="orchestrator", attempts=len(job_ids), error=str(error))
            return []
        return answer.missing

    async def _read_unheard(self, _state: None, after: str, limit: int) -> Sequence[Ordered]:
        return await self._firings.unheard(self._lease, after, limit)

    async def _read_open(self, _state: None, after: str, limit: int) -> Sequence[str]:
        return await self._firings.open(self._lease, after, limit)
