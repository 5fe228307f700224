"""A worker that was started anew is heard once the outcomes are read that were stored when it spoke."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from scheduler.restarts import Restarts
from schemas.agents import Heartbeat
from schemas.events import ExecutionLost
from shared.errors import Unavailable
from tests.unit.scheduler.making import at, beat, desk, queued, settle


class Heard:
    """What was heard at last; `failing` are workers of which nothing can be heard."""

    def __init__(self, **failing: Exception) -> None:
        self.beats: list[Heartbeat] = []
        self.failing = failing
        self.asked: list[float] = []
        self.read = asyncio.Event()

    async def caught_up(self, seconds: float) -> bool:
        self.asked.append(seconds)
        await self.read.wait()
        return True

    async def hear(self, heartbeat: Heartbeat) -> None:
        if heartbeat.worker_id in self.failing:
            raise self.failing[heartbeat.worker_id]
        self.beats.append(heartbeat)


async def test_heartbeats_wait_for_the_outcomes_and_the_latest_of_each_worker_is_heard() -> None:
    heard = Heard()
    restarts = Restarts(heard.caught_up, heard.hear, patience=15)
    first, second, other = beat(incarnation="i2"), beat(incarnation="i3"), beat("w2", incarnation="i2")
    for one in (first, second, other):
        restarts.hold(one)
    run = asyncio.create_task(restarts.run_once())
    await asyncio.sleep(0)
    assert (heard.asked, heard.beats) == ([15], [])
    heard.read.set()
    await run
    assert heard.beats == [second, other]
    await restarts.run_once()
    assert heard.beats == [second, other], "once"


async def test_what_comes_while_outcomes_are_read_waits_for_those_stored_by_then() -> None:
    """It may no longer name an outcome that was stored in the meantime."""
    heard = Heard()
    restarts = Restarts(heard.caught_up, heard.hear, patience=15)
    restarts.hold(first := beat(incarnation="i2", reporting=["e1"]))
    run = asyncio.create_task(restarts.run_once())
    await asyncio.sleep(0)
    restarts.hold(later := beat(incarnation="i2"))
    heard.read.set()
    await run
    assert heard.beats == [first]
    await restarts.run_once()
    assert (heard.beats, len(heard.asked)) == ([first, later], 2)


async def test_a_heartbeat_that_cannot_be_heard_holds_up_no_other() -> None:
    heard = Heard(w1=Unavailable("PostgreSQL"), w2=ValueError("broken"))
    heard.read.set()
    restarts = Restarts(heard.caught_up, heard.hear, patience=15)
    for id in ("w1", "w2", "w3"):
        restarts.hold(beat(id))
    with capture_logs() as lines:
        await restarts.run_once()
    assert [one.worker_id for one in heard.beats] == ["w3"]
    told = [(line["event"], line["worker_id"]) for line in lines]
    assert told == [("worker.restart_unheard", "w1"), ("worker.restart_failed", "w2")]


async def test_outcomes_that_were_not_read_in_time_are_told_of() -> None:
    heard = Heard()

    async def never(_seconds: float) -> bool:
        return False

    restarts = Restarts(never, heard.hear, patience=15)
    restarts.hold(beat())
    with capture_logs() as lines:
        await restarts.run_once()
    assert [line["event"] for line in lines] == ["worker.restarts_unread"]
    assert len(heard.beats) == 1


def test_only_a_new_start_that_leaves_something_behind_has_to_wait() -> None:
    one = desk()
    assert not one.leaves_behind(beat()), "it is new"
    one.heartbeat(beat(), at(0))
    settle(one)
    assert not one.leaves_behind(beat(incarnation="i2")), "nothing is placed there"
    one.arrive(queued("a"), at(0))
    [placed] = settle(one).scheduled
    assert placed.execution_id is not None
    assert not one.leaves_behind(beat())
    assert one.leaves_behind(beat(incarnation="i2"))
    assert not one.leaves_behind(beat(incarnation="i2", reporting=[placed.execution_id])), "its outcome is to come"
    one.heartbeat(beat(incarnation="i2"), at(1))
    assert [event.task_id for event in settle(one).events if isinstance(event, ExecutionLost)] == ["a"]
    one.arrive(queued("b"), at(1))
    settle(one)
    assert not one.leaves_behind(beat()), "that start is over"
