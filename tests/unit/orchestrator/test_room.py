"""Room for jobs: the estimate of how many have not ended, and what happens when it is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.room import JobRoom
from shared.errors import Invalid, Overloaded, Unavailable
from shared.telemetry import Metrics
from shared.web import LimitMetrics


class Table:
    """The jobs that have not ended, as the tables have them."""

    def __init__(self, jobs: int = 0) -> None:
        self.jobs = jobs
        self.asked: list[int] = []
        self.during: Callable[[], Awaitable[None]] | None = None

    async def count(self, at_most: int) -> int:
        self.asked.append(at_most)
        counted = self.jobs
        if self.during is not None:
            await self.during()
        return min(counted, at_most)


def room(table: Table, limit: int = 10, metrics: Metrics | None = None) -> JobRoom:
    return JobRoom(limit, table.count, LimitMetrics(metrics or Metrics()), at_a_time=2, turn=0.01)


async def create(room: JobRoom, table: Table, jobs: int = 1, *, reserved: bool = False) -> None:
    async with room.entry() as entry:
        entry.admit(jobs, reserved=reserved)
        table.jobs += jobs


async def test_jobs_are_accepted_up_to_the_limit_and_again_when_some_have_ended() -> None:
    table, metrics = Table(), Metrics()
    mine = room(table, 3, metrics)
    await create(mine, table, 3)
    with pytest.raises(Overloaded, match="about 3 jobs have not ended, and the orchestrator accepts at most 3; try"):
        await create(mine, table)
    assert metrics.value("hodei_limit_in_use", limit="jobs") == 3
    assert metrics.value("hodei_limit", limit="jobs") == 3
    table.jobs -= 1
    await mine.run_once()
    await create(mine, table)
    assert mine.in_use == 3


async def test_what_another_replica_creates_counts_from_the_next_count_on() -> None:
    table = Table()
    mine, other = room(table), room(table)
    await create(other, table, 9)
    await create(mine, table, 2)
    await mine.run_once()
    assert mine.in_use == 11
    with pytest.raises(Overloaded):
        await create(mine, table)


async def test_jobs_of_transactions_under_way_count_and_those_rolled_back_do_not() -> None:
    table = Table()
    mine = room(table)
    async with mine.entry() as entry:
        entry.admit(8)
        with pytest.raises(Overloaded):
            await create(mine, table, 3)
        await create(mine, table, 2)
    await mine.run_once()  # the transaction of the first 8 wrote nothing here
    assert mine.in_use == 2

    async def fail() -> None:
        async with mine.entry() as entry:
            entry.admit(5)
            raise Unavailable("database")

    with pytest.raises(Unavailable):
        await fail()
    assert mine.in_use == 2


async def test_jobs_that_are_created_during_a_count_are_not_missed() -> None:
    table = Table(jobs=4)
    mine = room(table)
    table.during = lambda: create(mine, table, 3)
    await mine.run_once()
    assert mine.in_use == table.jobs == 7


async def test_a_count_that_fails_loses_nothing() -> None:
    table = Table()
    mine = room(table)
    await create(mine, table, 4)

    async def away() -> None:
        raise Unavailable("database")

    table.during = away
    with pytest.raises(Unavailable):
        await mine.run_once()
    assert mine.in_use == 4


async def test_the_count_ends_a_little_beyond_the_limit_and_takes_a_small_part_of_the_time() -> None:
    table = Table(jobs=1000)
    mine = room(table, 100)

    async def slowly() -> None:
        await asyncio.sleep(0.1)

    table.during = slowly
    await mine.run_once()
    assert table.asked == [111]
    assert mine.in_use == 111
    assert mine.interval >= 2.0


async def test_schedules_and_executions_may_exceed_the_limit_by_a_tenth() -> None:
    table = Table(jobs=20)
    mine = room(table, 20)
    await mine.run_once()
    with pytest.raises(Overloaded):
        await create(mine, table)
    await create(mine, table, reserved=True)
    await create(mine, table, reserved=True)
    with pytest.raises(Overloaded):
        await create(mine, table, reserved=True)


async def test_a_batch_that_can_never_fit_is_not_told_to_come_back() -> None:
    with pytest.raises(Invalid, match="11 jobs at once are more than the 10 that may exist before they have ended"):
        await create(room(Table()), Table(), 11)


async def test_only_some_submissions_are_handled_at_a_time() -> None:
    mine, go, inside = room(Table()), asyncio.Event(), asyncio.Semaphore(0)

    async def submit() -> None:
        async with mine.submission() as entry:
            entry.admit()
            inside.release()
            await go.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(submit())
            await inside.acquire()
        with pytest.raises(Overloaded, match="too many requests at once") as refused:
            await submit()
        assert refused.value.kind == "submissions"
        async with mine.entry() as entry:  # a schedule or a direct execution does not wait
            entry.admit(reserved=True)
        go.set()
    await submit()
    assert mine.in_use == 4


async def test_large_submissions_leave_turns_for_others() -> None:
    mine = JobRoom(10, Table().count, LimitMetrics(Metrics()), at_a_time=3, turn=0.01)
    async with mine.submission(large=True), mine.submission(large=True):
        with pytest.raises(Overloaded):
            async with mine.submission(large=True):
                pass
        async with mine.submission() as entry:
            entry.admit()
    async with mine.submission(large=True):
        pass
    assert mine.in_use == 1
