"""Jobs whose priority changes while their tasks wait, in whatever order the scheduler learns it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from scheduler.store.turns import MARKS_KEPT, TurnStore
from schemas.events import ExecutionReturned, JobReprioritized, TaskQueued, TaskScheduled
from schemas.specs import Priority
from shared.ids import new_id
from shared.outbox import Outbox
from tests.integration.scheduler.conftest import House, Opener, finished, queued, scheduler_process

NOW = datetime.now(UTC)


def changed(order: TaskQueued, priority: Priority, number: int = 1) -> JobReprioritized:
    return JobReprioritized(job_id=order.job_id, priority=priority, previous=order.priority, priority_changes=number)


async def placed_in_order(here: House, *orders: TaskQueued) -> None:
    """These tasks are placed in this order on a worker with one slot."""
    await here.agent(slots=1)
    for count in range(1, len(orders) + 1):
        placed = (await here.ears.wait(TaskScheduled, count))[count - 1]
        assert [one.task_id for one in here.ears.of(TaskScheduled)] == [one.task_id for one in orders[:count]]
        await here.say(finished(placed))


async def test_what_waits_moves_at_once_and_stays_there_under_the_next_leader(house: Opener) -> None:
    here = await house()
    first, second, third = (queued(queued_at=NOW + timedelta(seconds=n)) for n in range(3))
    await here.say(first, second, third)
    for one in (first, second, third):
        await here.explained_in_queue(one.task_id)
    await here.say(changed(third, "high"), changed(first, "low"))
    # A message behind it in the stream: once that task waits, the change has been applied.
    behind = queued(queued_at=NOW + timedelta(seconds=3))
    await here.say(behind)
    explained = await here.explained_in_queue(behind.task_id)
    assert explained["position"] == 3
    queue = await here.get("/api/v1/queue")
    assert isinstance(queue, list)
    assert [(one["task_id"], one["priority"]) for one in queue] == [
        (third.task_id, "high"),
        (second.task_id, "normal"),
        (behind.task_id, "normal"),
        (first.task_id, "low"),
    ]
    await here.stack.aclose()
    async with scheduler_process(here.settings):
        await placed_in_order(here, third, second, behind, first)


async def test_a_change_that_comes_before_its_order_holds_even_after_a_restart(house: Opener) -> None:
    here = await house()
    first, second = (queued(queued_at=NOW + timedelta(seconds=n)) for n in range(2))
    delayed = queued(queued_at=NOW, run_at=NOW + timedelta(seconds=1))
    await here.say(changed(second, "high", 2), changed(second, "low", 1), changed(delayed, "critical"))
    await here.say(first)
    await here.explained_in_queue(first.task_id)
    await here.stack.aclose()
    async with scheduler_process(here.settings) as url:
        here.url = url
        await here.say(second, delayed)
        for one in (second, delayed):
            await here.explained_in_queue(one.task_id)
        await placed_in_order(here, delayed, second, first)


async def test_what_is_given_back_has_the_new_priority(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    high, low = queued(priority="high"), queued(priority="normal", queued_at=NOW)
    await here.say(high)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(low)
    await here.say(changed(high, "low"))
    ids = ("execution_id", "task_id", "job_id", "attempt", "worker_id", "incarnation")
    await here.say(
        ExecutionReturned.model_validate({name: getattr(placed, name) for name in ids} | {"detail": "no room"})
    )
    await agent.offer()
    placements = await here.ears.wait(TaskScheduled, 2)
    assert placements[1].task_id == low.task_id


async def test_a_change_from_the_past_that_is_read_again_changes_nothing(house: Opener) -> None:
    here = await house()
    first, second = (queued(queued_at=NOW + timedelta(seconds=n)) for n in range(2))
    await here.say(changed(second, "high"), at=datetime.now(UTC) - MARKS_KEPT - timedelta(seconds=1))
    await here.say(first, second)
    await placed_in_order(here, first, second)


async def test_changes_are_kept_for_a_day(house: Opener) -> None:
    here = await house()
    old, new = queued(job_id=new_id()), queued(job_id=new_id())
    await here.say(changed(old, "high"), changed(new, "low", 7))
    await here.say(old, new)
    for one in (old, new):
        await here.explained_in_queue(one.task_id)
    outdated = "update job_priorities set changed_at = changed_at - make_interval(days => 2) where job_id = $1"
    await here.database.execute(outdated, old.job_id)
    store = TurnStore(here.database, Outbox(here.database, here.bus, source="scheduler"))
    assert await store.purge_priorities(10) == 1
    assert [(one.job_id, one.rank, one.changes) for one in await store.load_priorities()] == [(new.job_id, 0, 7)]
