"""Reading logs: what there is, what is being written, any number of viewers."""

import asyncio
import uuid

import pytest

from schemas.cloudevents import encode_batch, wrap
from shared.bus import Bus
from shared.bus.logs import LogReader
from tests.fixtures.events import chunk


@pytest.fixture
def execution_id() -> str:
    return str(uuid.uuid4())


async def write(bus: Bus, execution_id: str, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        await bus.publish_log(chunk(execution_id, seq))


async def read(reader: LogReader) -> list[int]:
    async with asyncio.timeout(10), reader:
        return [one.seq async for one in reader]


async def test_a_log_that_is_not_followed_ends_where_it_ends(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 200)
    await write(bus, str(uuid.uuid4()), 1, 5)
    assert await read(bus.read_log(execution_id, follow=False)) == list(range(1, 201))


async def test_an_empty_log_is_empty(bus: Bus, execution_id: str) -> None:
    assert await read(bus.read_log(execution_id, follow=False)) == []
    assert await read(bus.read_log(execution_id, until_chunks=0)) == []


async def test_a_log_read_up_to_a_known_count_waits_for_the_last_chunk(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    reading = asyncio.create_task(read(bus.read_log(execution_id, until_chunks=4)))
    await write(bus, execution_id, 3, 4)
    assert await reading == [1, 2, 3, 4]


async def test_viewers_follow_until_the_log_is_said_to_be_over(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    readers = [bus.read_log(execution_id) for _ in range(5)]
    readings = [asyncio.create_task(read(reader)) for reader in readers]
    await write(bus, execution_id, 3, 5)
    for reader in readers:
        reader.finish(5)
    assert await asyncio.gather(*readings) == [[1, 2, 3, 4, 5]] * 5


async def test_a_chunk_stored_twice_is_read_once(bus: Bus, execution_id: str) -> None:
    one = chunk(execution_id, 1)
    for msg_id in ("a", "b"):
        event = wrap(one, id=msg_id, source="/hodei/test", time=one.lines[0].timestamp)
        await bus.publish(bus.catalogue.logs(execution_id), encode_batch([event]), msg_id=msg_id)
    assert await read(bus.read_log(execution_id, follow=False)) == [1]


async def test_a_viewer_goes_on_where_it_left(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 10)
    assert await read(bus.read_log(execution_id, after=7, until_chunks=10)) == [8, 9, 10]


async def test_a_cancelled_wait_loses_nothing(bus: Bus, execution_id: str) -> None:
    async with bus.read_log(execution_id) as reader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), 0.05)
        await write(bus, execution_id, 1, 1)
        assert (await asyncio.wait_for(anext(reader), 5)).seq == 1


async def test_chunks_that_never_come_are_not_waited_for_for_ever(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    reader = bus.read_log(execution_id, until_chunks=9, settle=1)
    assert await read(reader) == [1, 2]


async def test_a_deleted_log_is_gone(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 3)
    await bus.delete_log(execution_id)
    assert await read(bus.read_log(execution_id, follow=False)) == []
