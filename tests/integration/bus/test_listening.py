"""A listener hears at once what is published of its entities, and of nothing else; what it misses is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from schemas.cloudevents import encode_batch, wrap
from schemas.events import EventData, ExecutionCompleted, ScheduleConfirmed, ScheduleRefused
from schemas.refusals import RefusalReason
from shared.bus import FEW, Bus, Listening, listen
from shared.ids import new_id

DEADLINE = 10.0
AT_ONCE = 0.001
UNHEARD = 64
"""How many events a listener may leave unheard."""


@pytest.fixture
async def verdicts(bus: Bus) -> AsyncIterator[Listening[EventData]]:
    one = listen(bus, ScheduleConfirmed, ScheduleRefused)
    await one.start()
    await bus.flush()
    yield one
    await one.stop()
    assert one._listeners == {}


async def say(bus: Bus, *events: EventData) -> None:
    """Publish events of one type as one batch."""
    wrapped = [wrap(one, id=new_id(), source="/hodei/test", time=datetime.now(UTC)) for one in events]
    await bus.send(bus.catalogue.event(events[0].event_type), encode_batch(wrapped))


async def heard_by_all(bus: Bus) -> None:
    """Wait until what was sent before has come back through the server to this connection's callbacks."""
    reached = asyncio.Event()

    async def reach(_subject: str, _payload: bytes, _reply: str) -> None:
        reached.set()

    subject = bus.catalogue.event("schedules.deleted")
    subscription = await bus.subscribe(subject, reach)
    await bus.send(subject, b"[]")
    await asyncio.wait_for(reached.wait(), DEADLINE)
    await subscription.unsubscribe()


@pytest.mark.parametrize("crowd", [0, FEW + 1])
async def test_each_listener_hears_of_its_entity_alone(bus: Bus, verdicts: Listening[EventData], crowd: int) -> None:
    mine, others = new_id(), [new_id() for _ in range(crowd)]
    with verdicts.about(mine) as listener, verdicts.about(mine) as second, verdicts.about(*others, "other") as other:
        await say(bus, ScheduleConfirmed(schedule_id=new_id()), ScheduleConfirmed(schedule_id=mine))
        expected = ScheduleConfirmed(schedule_id=mine)
        assert await listener.next(DEADLINE) == expected
        assert await second.next(DEADLINE) == expected
        assert await other.next(AT_ONCE) is None


async def test_one_listener_hears_of_several_entities_and_types(bus: Bus, verdicts: Listening[EventData]) -> None:
    one, two = new_id(), new_id()
    refused = ScheduleRefused(schedule_id=two, reason=RefusalReason.CONFLICT, detail="no")
    with verdicts.about(one, two) as listener:
        await say(bus, refused)
        assert await listener.next(DEADLINE) == refused
        await say(bus, ScheduleConfirmed(schedule_id=one))
        assert await listener.next(DEADLINE) == ScheduleConfirmed(schedule_id=one)


async def test_a_wait_ends_at_its_deadline(verdicts: Listening[EventData]) -> None:
    with verdicts.about(new_id()) as listener:
        assert await listener.next(AT_ONCE) is None
        assert await listener.all(AT_ONCE) == []


async def test_what_was_published_before_or_after_is_not_heard(bus: Bus, verdicts: Listening[EventData]) -> None:
    mine = new_id()
    await say(bus, ScheduleConfirmed(schedule_id=mine))
    await heard_by_all(bus)
    with verdicts.about(mine) as listener:
        assert await listener.next(AT_ONCE) is None
    await say(bus, ScheduleConfirmed(schedule_id=mine))
    await heard_by_all(bus)
    assert await listener.next(AT_ONCE) is None


async def test_more_than_may_be_unheard_is_dropped(bus: Bus, verdicts: Listening[EventData]) -> None:
    mine = new_id()
    with verdicts.about(mine) as listener:
        await say(bus, *(ScheduleConfirmed(schedule_id=mine, job_id=str(number)) for number in range(UNHEARD + 3)))
        await heard_by_all(bus)
        heard = await listener.all(DEADLINE)
        assert [one.job_id for one in heard if isinstance(one, ScheduleConfirmed)] == [
            str(number) for number in range(UNHEARD)
        ]
        assert listener.dropped == 3


async def test_a_listener_too_many_hears_nothing_and_the_others_go_on(bus: Bus) -> None:
    one = Listening(bus, (), lambda _type, _payload, ids, _worker: [(id, "heard") for id in ids], most=1)
    await one.start()
    with one.about("a") as first, one.about("b") as second:
        one.tell("a", "told")
        one.tell("b", "told")
        assert await first.next(DEADLINE) == "told"
        assert await second.next(AT_ONCE) is None
    with one.about("b") as again:
        one.tell("b", "told")
        assert await again.next(DEADLINE) == "told", "there is room again"
    await one.stop()


async def test_a_message_that_cannot_be_read_is_passed_over(bus: Bus, verdicts: Listening[EventData]) -> None:
    mine = new_id()
    with verdicts.about(mine) as listener:
        await bus.send(bus.catalogue.event("schedules.refused"), f'[{{"schedule_id": "{mine}"}}]'.encode())
        await say(bus, ScheduleConfirmed(schedule_id=mine))
        assert await listener.next(DEADLINE) == ScheduleConfirmed(schedule_id=mine)


async def test_only_what_is_accepted_is_heard(bus: Bus, verdicts: Listening[EventData]) -> None:
    mine = new_id()
    refused = ScheduleRefused(schedule_id=mine, reason=RefusalReason.INVALID, detail="no")
    with verdicts.about(mine, accepts=lambda event: isinstance(event, ScheduleRefused)) as listener:
        await say(bus, ScheduleConfirmed(schedule_id=mine))
        await heard_by_all(bus)
        await say(bus, refused)
        assert await listener.next(DEADLINE) == refused


async def test_more_types_are_heard_from_when_they_are_asked_for(bus: Bus, verdicts: Listening[EventData]) -> None:
    mine = new_id()
    event = ExecutionCompleted(
        execution_id=mine, task_id=new_id(), job_id=new_id(), attempt=1, finished_at=datetime.now(UTC)
    )
    with verdicts.about(mine) as listener:
        await say(bus, event)
        await heard_by_all(bus)
        for _ in range(2):
            await verdicts.widen([ExecutionCompleted.event_type])
        await bus.flush()
        await say(bus, event)
        await heard_by_all(bus)
        assert await listener.all(DEADLINE) == [event], "subscribed once, and not before"


async def test_nothing_is_heard_without_the_bus(bus: Bus, verdicts: Listening[EventData]) -> None:
    assert verdicts.hearing
    await bus.stop()
    assert not verdicts.hearing
