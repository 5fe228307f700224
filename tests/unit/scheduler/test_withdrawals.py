"""A task is withdrawn or ordered to run, never both: whatever arrives together, in whatever order, however often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.domain.changes import Changes
from scheduler.domain.desk import Desk
from scheduler.domain.model import Task, TaskState
from schemas.agents import Stop
from schemas.events import ExecutionCancelRequested, TaskScheduled, TaskWithdrawn
from tests.unit.scheduler.making import START, TRUE, at, beat, cancel, desk, finished, queued, returned, task
from tests.unit.worker_manager.events import said
from worker_manager.domain import handover

Verb = Literal["queued", "cancelled", "returned", "finished"]
News = tuple[Verb, str, int]
"""What happened to which task, and its attempt; for `returned` and `finished` which of its orders so far."""


@dataclass
class Tables:
    """What the scheduler's tables would say of a turn: which attempt of each task they know, and whether it is over."""

    rows: dict[str, tuple[int, bool]] = field(default_factory=dict)
    said: list[TaskWithdrawn | TaskScheduled] = field(default_factory=list)

    def end_turn(self, desk: Desk) -> None:
        while True:
            desk.place(at(0))
            changes = desk.take()
            if not changes or not desk.written(changes, self._write(changes)):
                return

    def _write(self, changes: Changes) -> list[str]:
        for done in changes.finished:
            self._mark(done.task_id, done.attempt)
        for asked in changes.cancelled:
            if self._mark(asked.task_id, asked.attempt):
                self.said.append(
                    TaskWithdrawn(
                        task_id=asked.task_id, job_id=asked.job_id, attempt=asked.attempt, reason=asked.reason
                    )
                )
        for one in changes.updates:
            known, over = self.rows[one.task_id]
            if known == one.attempt and not over:
                self.rows[one.task_id] = known, one.state is TaskState.DONE
        refused = [task.task_id for task in changes.arrivals if not self._arrive(task)]
        runs = {task.task_id: TRUE for task in changes.scheduled}
        self.said += [one for one in changes.emitted(runs, refused) if isinstance(one, TaskWithdrawn | TaskScheduled)]
        return refused

    def _mark(self, task_id: str, attempt: int) -> bool:
        if self.rows.get(task_id, (0, True))[0] >= attempt:
            return False
        self.rows[task_id] = attempt, True
        return True

    def _arrive(self, task: Task) -> bool:
        if self.rows.get(task.task_id, (0, True))[0] >= task.attempt:
            return False
        self.rows[task.task_id] = task.attempt, task.state is TaskState.DONE
        return True


def hear(desk: Desk, tables: Tables, news: News) -> str | None:
    """Apply one piece of news; the execution that is over by it, if any."""
    verb, task_id, number = news
    if verb == "queued":
        desk.arrive(queued(task_id, attempt=number), at(0))
        return None
    if verb == "cancelled":
        desk.cancel(cancel(task_id, attempt=number))
        return None
    orders = [one for one in tables.said if isinstance(one, TaskScheduled) and one.task_id == task_id]
    if not orders:
        return None
    ordered = placed(orders[number % len(orders)])
    if verb == "returned":
        desk.give_back(returned(ordered), at(0))
    else:
        desk.finish(finished(ordered))
    return ordered.execution_id


def placed(order: TaskScheduled) -> Task:
    one = task(0)
    one.task_id, one.job_id, one.attempt, one.execution_id = (
        order.task_id,
        order.job_id,
        order.attempt,
        order.execution_id,
    )
    one.worker_id, one.incarnation = order.worker_id, order.incarnation
    return one


NEWS = st.tuples(
    st.sampled_from(["queued", "queued", "cancelled", "returned", "finished"]), st.sampled_from("ab"), st.integers(1, 2)
)


@given(st.lists(st.lists(NEWS, max_size=6), max_size=6), st.integers(0, 2))
@example([[("queued", "a", 1), ("cancelled", "a", 1), ("queued", "a", 1)]], 1)
@example([[("queued", "a", 1)], [("finished", "a", 0), ("queued", "a", 1)]], 1)
@example([[("cancelled", "a", 1), ("queued", "a", 1), ("cancelled", "a", 1)]], 1)
@example([[("cancelled", "a", 1)], [("queued", "a", 1), ("cancelled", "a", 1)]], 1)
@example([[("cancelled", "a", 1)], [("queued", "a", 1), ("cancelled", "a", 1), ("queued", "a", 2)]], 0)
@example(
    [
        [("queued", "a", 1)],
        [("queued", "a", 2)],
        [("finished", "a", 1)],
        [("queued", "a", 1), ("cancelled", "a", 1), ("queued", "a", 2)],
    ],
    1,
)
def test_a_task_is_never_both_withdrawn_and_ordered_to_run(batches: list[list[News]], slots: int) -> None:
    one, tables = desk(), Tables()
    one.heartbeat(beat(slots=slots), at(0))
    tables.end_turn(one)
    over: set[str | None] = set()
    withdrawn: set[tuple[str, int]] = set()
    for batch in batches:
        before = len(tables.said)
        over |= {hear(one, tables, news) for news in batch}
        tables.end_turn(one)
        for event in tables.said[before:]:
            attempt = event.task_id, event.attempt
            assert attempt not in withdrawn, f"{event.event_type} after the task was withdrawn"
            if isinstance(event, TaskWithdrawn):
                withdrawn.add(attempt)
        for event in tables.said:
            if isinstance(event, TaskScheduled) and (event.task_id, event.attempt) in withdrawn:
                assert event.execution_id in over, "withdrawn, and its execution may still run"
    known = {id: one.attempts.tasks[id].attempt for id in one.attempts.tasks}
    assert known == {id: attempt for id, (attempt, ended) in tables.rows.items() if not ended}, (
        "memory and tables differ"
    )


HANDED = st.lists(st.tuples(st.sampled_from(["order", "stop"]), st.sampled_from("ef")), max_size=8)


@given(st.lists(HANDED, max_size=5))
def test_what_was_asked_to_stop_does_not_run_on_at_its_worker(batches: list[list[tuple[str, str]]]) -> None:
    running: set[str] = set()
    seen: set[str] = set()
    refused: set[str] = set()
    started: list[str] = []
    for batch in batches:
        events = [said(_order(id) if verb == "order" else _stop(id)) for verb, id in batch]
        for order in handover.orders(events):  # as an agent does it
            if order.execution_id not in seen:
                seen.add(order.execution_id)
                if order.execution_id not in refused:
                    running.add(order.execution_id)
                    started.append(order.execution_id)
        for message in handover.stops(events):
            stopped = set(Stop.model_validate_json(message.payload).execution_ids)
            running -= stopped
            refused |= stopped - seen
    asked = {id for batch in batches for verb, id in batch if verb == "stop"}
    assert not running & asked
    assert len(started) == len(set(started))


def _order(id: str) -> TaskScheduled:
    return TaskScheduled(
        task_id=id, job_id="j", attempt=1, execution_id=id, worker_id="w", incarnation="i", run=TRUE,
        scheduled_at=START,
    )  # fmt: skip


def _stop(id: str) -> ExecutionCancelRequested:
    return ExecutionCancelRequested(execution_id=id, task_id=id, job_id="j", attempt=1, worker_id="w")
