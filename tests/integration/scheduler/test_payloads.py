"""What a task runs comes whole to its worker, however long the task waited and whoever leads by then."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.domain.model import Shape, Task, TaskState
from scheduler.store import turns
from scheduler.store.payloads import Payloads
from scheduler.store.turns import TurnStore
from schemas.events import ExecutionReturned, TaskQueued, TaskScheduled
from schemas.specs import RunSpec
from shared.errors import Unavailable
from shared.outbox import Outbox
from shared.postgres import Database
from tests.integration.scheduler.conftest import Opener, finished, queued, scheduler_process

LARGE = "x" * 20_000


def order(name: str, **fields: Any) -> TaskQueued:
    run = RunSpec(command=["echo", name], type="exec", env={"NAME": name, "DATA": LARGE}, working_dir="/", timeout=5)
    return queued(name=name, run=run, **fields)


def as_task(event: TaskQueued) -> Task:
    return Task(
        task_id=event.task_id,
        job_id=event.job_id,
        attempt=event.attempt,
        name=event.name,
        priority=1,
        shape=Shape(),
        queued_at=event.queued_at,
        ready_at=event.queued_at,
    )


@pytest.mark.parametrize("kept_bytes", [0, 100_000, 1 << 24])
async def test_a_task_that_waited_is_placed_with_all_that_it_runs(
    house: Opener, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    """Kept in memory or not, arrived before or with the worker, placed for the first time or given back."""
    monkeypatch.setattr(TurnStore.__init__, "__kwdefaults__", {"kept_bytes": kept_bytes})
    here = await house()
    events = [order(f"task-{number}") for number in range(8)]
    await here.say(*events)
    agent = await here.agent(slots=2)
    placed = await here.ears.wait(TaskScheduled, 2)
    back = placed[0]
    await here.say(
        ExecutionReturned(
            execution_id=back.execution_id,
            task_id=back.task_id,
            job_id=back.job_id,
            attempt=1,
            worker_id=agent.id,
            incarnation=agent.incarnation,
            detail="no room",
        )
    )
    for count in range(3, 10):
        await here.say(finished((await here.ears.wait(TaskScheduled, count))[count - 2]))
    told = {one.task_id: one.run for one in here.ears.of(TaskScheduled)}
    assert told == {one.task_id: one.run for one in events}


async def test_a_new_leader_places_what_waited_with_all_that_it_runs(house: Opener) -> None:
    here = await house()
    events = [order(f"task-{number}", priority=("low", "critical")[number % 2]) for number in range(5)]
    await here.say(*events, last := order("last"))
    await here.ears.wait(TaskQueued, 6)
    await here.agent(slots=1)
    [first] = await here.ears.wait(TaskScheduled)
    await here.stack.aclose()
    await here.say(finished(first))
    async with scheduler_process(here.settings):
        for count in range(2, 7):
            await here.say(finished((await here.ears.wait(TaskScheduled, count))[count - 1]))
    assert {one.task_id: one.run for one in here.ears.of(TaskScheduled)} == {
        one.task_id: one.run for one in [*events, last]
    }


async def test_a_new_leader_reads_all_that_waits_page_by_page_and_nothing_of_what_it_runs(
    house: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await house()
    events = [order(f"t{number}", priority=("low", "normal", "high")[number % 3]) for number in range(7)]
    await here.say(*events)
    await here.ears.wait(TaskQueued, 7)
    agent = await here.agent(slots=1)
    await here.ears.wait(TaskScheduled)
    await here.stack.aclose()
    asked: list[str] = []
    fetch = Database.fetch

    async def noted(self: Database, query: str, *args: object) -> Any:
        asked.append(query)
        return await fetch(self, query, *args)

    monkeypatch.setattr(Database, "fetch", noted)
    monkeypatch.setattr(turns, "LOAD_PAGE", 2)
    tasks, [worker], _ = await TurnStore(here.database, Outbox(here.database, here.bus, source="scheduler")).load()
    assert worker.id == agent.id
    assert [task.state for task in tasks] == [TaskState.PLACED, *[TaskState.WAITING] * 6]
    assert {task.task_id for task in tasks} == {one.task_id for one in events}
    waiting = [(-task.priority, task.ready_at, task.task_id) for task in tasks[1:]]
    assert waiting == sorted(waiting)
    assert len(asked) == 2 + 4
    assert not any("run," in query or " run\n" in query for query in asked)


async def test_payloads_in_memory_have_a_bound_and_the_newest_are_kept(house: Opener) -> None:
    here = await house()
    payloads = Payloads(here.database, kept_bytes=5 * 45_000)
    events = [order(f"t{number}") for number in range(20)]
    payloads.keep([as_task(one) for one in events], {one.task_id: one.run for one in events})
    assert 1 <= len(payloads) <= 5
    newest = await payloads.take([as_task(events[-1])])
    assert newest == {events[-1].task_id: events[-1].run}
    payloads.forget([as_task(one) for one in events])
    assert len(payloads) == 0
    with pytest.raises(Unavailable):  # these are in no table
        await payloads.take([as_task(events[0])])
