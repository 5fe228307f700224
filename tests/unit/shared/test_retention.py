"""The loop of retention: batches with rests, bounded runs, and kinds that do not disturb each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from shared import retention
from shared.clock import now
from shared.errors import Unavailable
from shared.retention import Batch, Retention
from shared.telemetry import Metrics


class Things:
    """A kind with so many rows that are due, deleted two at a time."""

    def __init__(self, name: str, due: int, *, age: timedelta | None = None) -> None:
        self.name = name
        self.age = age
        self.due = due
        self.batches = 0
        self.fault: Exception | None = None
        self.during: Callable[[], None] = lambda: None

    async def batch(self) -> Batch:
        if self.fault is not None:
            raise self.fault
        self.during()
        self.batches += 1
        deleted = min(2, self.due)
        self.due -= deleted
        return Batch(deleted, more=self.due > 0)

    async def oldest(self) -> datetime | None:
        return None if self.age is None else now() - self.age / 2


async def test_a_run_deletes_all_that_is_due_and_counts_it() -> None:
    metrics, some, others = Metrics(), Things("some", 5, age=timedelta(days=1)), Things("others", 0)
    counts = await Retention([some, others], metrics, rest=0).run_once()
    assert counts == {"some": 5, "others": 0}
    assert (some.batches, others.batches) == (3, 1)
    assert metrics.value("hodei_retention_deleted_total", kind="some") == 5
    assert metrics.value("hodei_retention_limit_seconds", kind="some") == 24 * 3600
    assert metrics.value("hodei_retention_oldest_seconds", kind="some") == pytest.approx(12 * 3600, abs=60)
    assert 'limit_seconds{kind="others"}' not in metrics.render().decode()


async def test_the_error_of_one_kind_is_counted_and_does_not_stop_the_others() -> None:
    metrics, broken, sound = Metrics(), Things("broken", 1), Things("sound", 3)
    broken.fault = RuntimeError("no room")
    with pytest.raises(RuntimeError, match="no room"):
        await Retention([broken, sound], metrics, rest=0).run_once()
    assert sound.due == 0
    assert metrics.value("hodei_retention_failures_total", kind="broken") == 1
    assert metrics.value("hodei_retention_failures_total", kind="sound") == 0


async def test_a_kind_for_which_something_is_unavailable_waits_for_the_next_run() -> None:
    metrics, waiting, sound = Metrics(), Things("waiting", 1), Things("sound", 3)
    waiting.fault = Unavailable("the scheduler")
    loop = Retention([waiting, sound], metrics, rest=0)
    assert await loop.run_once() == {"sound": 3}
    assert metrics.value("hodei_retention_failures_total", kind="waiting") == 1
    assert loop.interval == retention.INTERVAL


async def test_it_rests_longer_after_a_batch_that_took_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    clock = 0.0

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    def slow() -> None:
        nonlocal clock
        clock += 0.5

    monkeypatch.setattr(retention, "sleep", sleep)
    monkeypatch.setattr(retention, "_clock", lambda: clock)
    quick, busy = Things("quick", 4), Things("busy", 4)
    busy.during = slow
    await Retention([quick, busy], Metrics(), rest=0.05).run_once()
    assert rests == [0.05, 1.5]


async def test_a_run_ends_after_its_time_and_the_next_one_begins_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def slow() -> None:
        nonlocal clock
        clock += retention.LONGEST_RUN + 1

    monkeypatch.setattr(retention, "_clock", lambda: clock)
    many, few = Things("many", 100), Things("few", 1)
    many.during = slow
    loop = Retention([many, few], Metrics(), rest=0)
    assert await loop.run_once() == {"many": 2, "few": 1}
    assert loop.interval == retention.SHORTEST_INTERVAL


@pytest.mark.parametrize(
    ("ages", "interval"),
    [([], 60), ([timedelta(days=90)], 60), ([timedelta(minutes=2), None], 12), ([timedelta(seconds=3)], 1)],
)
async def test_what_is_kept_shortly_is_looked_at_more_often(ages: list[timedelta | None], interval: float) -> None:
    things = [Things(f"kind{number}", 0, age=age) for number, age in enumerate(ages)]
    loop = Retention(things, Metrics(), rest=0)
    assert loop.interval == interval
    await loop.run_once()
    assert loop.interval == interval


async def test_it_can_be_stopped_while_it_rests() -> None:
    things = Things("things", 100)
    loop = Retention([things], Metrics(), rest=3600)
    begun = asyncio.Event()
    things.during = begun.set
    await loop.start()
    async with asyncio.timeout(5):
        await begun.wait()
        await loop.stop()
    assert things.batches == 1
