"""Reading logs: what there is, what is being written, any number of viewers."""

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from schemas.cloudevents import encode_batch, source_of, wrap
from shared.bus import Bus
from shared.bus.logs import FOREIGN_AT_MOST, LogReader
from shared.telemetry import Metrics
from tests.fixtures.events import WORKER, chunk, publish_log


@pytest.fixture
def execution_id() -> str:
    return str(uuid.uuid4())


async def write(bus: Bus, execution_id: str, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        await publish_log(bus, chunk(execution_id, seq))


async def read(reader: LogReader) -> list[int]:
    async with asyncio.timeout(10), reader:
        return [one.seq async for one in reader]


async def test_a_log_that_is_not_followed_ends_where_it_ends(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 200)
    await write(bus, str(uuid.uuid4()), 1, 5)
    assert await read(bus.read_log(execution_id, WORKER, follow=False)) == list(range(1, 201))


async def test_an_empty_log_is_empty(bus: Bus, execution_id: str) -> None:
    assert await read(bus.read_log(execution_id, WORKER, follow=False)) == []
    assert await read(bus.read_log(execution_id, WORKER, until_chunks=0)) == []


async def test_a_log_read_up_to_a_known_count_waits_for_the_last_chunk(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    reading = asyncio.create_task(read(bus.read_log(execution_id, WORKER, until_chunks=4)))
    await write(bus, execution_id, 3, 4)
    assert await reading == [1, 2, 3, 4]


async def test_viewers_follow_until_the_log_is_said_to_be_over(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    readers = [bus.read_log(execution_id, WORKER) for _ in range(5)]
    readings = [asyncio.create_task(read(reader)) for reader in readers]
    await write(bus, execution_id, 3, 5)
    for reader in readers:
        reader.finish(5)
    assert await asyncio.gather(*readings) == [[1, 2, 3, 4, 5]] * 5


async def test_a_chunk_stored_twice_is_read_once(bus: Bus, execution_id: str) -> None:
    one = chunk(execution_id, 1)
    for msg_id in ("a", "b"):
        event = wrap(one, id=msg_id, source="/hodei/test", time=one.lines[0].timestamp)
        await bus.publish(bus.catalogue.logs(execution_id, WORKER), encode_batch([event]), msg_id=msg_id)
    assert await read(bus.read_log(execution_id, WORKER, follow=False)) == [1]


async def test_a_viewer_goes_on_where_it_left(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 10)
    assert await read(bus.read_log(execution_id, WORKER, after=7, until_chunks=10)) == [8, 9, 10]


async def test_a_cancelled_wait_loses_nothing(bus: Bus, execution_id: str) -> None:
    async with bus.read_log(execution_id, WORKER) as reader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), 0.05)
        await write(bus, execution_id, 1, 1)
        assert (await asyncio.wait_for(anext(reader), 5)).seq == 1


async def test_chunks_that_never_come_are_not_waited_for_for_ever(bus: Bus, execution_id: str) -> None:
    await write(bus, execution_id, 1, 2)
    reader = bus.read_log(execution_id, WORKER, until_chunks=9, settle=1)
    assert await read(reader) == [1, 2]


async def write_as_before(bus: Bus, execution_id: str, seq: int) -> None:
    """Store a chunk on the subject of earlier versions, which names no worker."""
    event = wrap(chunk(execution_id, seq), id=f"{seq}", source=source_of(WORKER), time=datetime.now(UTC))
    subject = f"{bus.catalogue.namespace}.logs.{execution_id}"
    await bus.publish(subject, encode_batch([event]), msg_id=f"{execution_id}-{seq}")


async def test_what_an_earlier_version_wrote_is_read_with_what_followed(bus: Bus, execution_id: str) -> None:
    await write_as_before(bus, execution_id, 1)
    await write(bus, execution_id, 2, 3)
    assert await read(bus.read_log(execution_id, WORKER, follow=False)) == [1, 2, 3]


async def test_whether_there_is_a_log_is_known_of_both_versions(bus: Bus, execution_id: str) -> None:
    assert not await bus.has_log(execution_id, WORKER)
    await write(bus, execution_id, 1, 1)
    assert await bus.has_log(execution_id, WORKER)
    before = str(uuid.uuid4())
    await write_as_before(bus, before, 1)
    assert await bus.has_log(before, WORKER)


async def test_a_deleted_log_is_gone(bus: Bus, execution_id: str) -> None:
    await write_as_before(bus, execution_id, 1)
    await write(bus, execution_id, 2, 3)
    await bus.delete_log(execution_id)
    assert not await bus.has_log(execution_id, WORKER)
    assert await read(bus.read_log(execution_id, WORKER, follow=False)) == []


@pytest.mark.parametrize("forged", [3, 50])
async def test_chunks_of_another_worker_are_counted_and_left_out(
    nats_url: str, namespace: str, execution_id: str, forged: int
) -> None:
    metrics = Metrics()
    bus = Bus(nats_url, name="test", namespace=namespace, start_deadline=10, metrics=metrics)
    await bus.start()
    try:
        await bus.declare()
        for seq in range(1, forged + 1):
            await publish_log(bus, chunk(execution_id, seq, "forged"), str(uuid.uuid4()))
        await write(bus, execution_id, 1, 2)
        async with bus.read_log(execution_id, WORKER, follow=False) as reader:
            assert [one.lines[0].message async for one in reader] == ["line 1", "line 2"]
        counted = metrics.value("hodei_foreign_reports_total", kind="log")
        assert counted == forged if forged < FOREIGN_AT_MOST else FOREIGN_AT_MOST <= counted < forged
        assert await read(bus.read_log(execution_id, None, follow=False)) == [], "nothing is placed, so nothing counts"
    finally:
        await bus.stop()


async def test_a_worker_cannot_fill_a_readers_memory_with_chunk_numbers(bus: Bus, execution_id: str) -> None:
    for turn in range(3):
        forged = chunk(execution_id, turn * 1_000_000 + 1).model_copy(update={"stands_for": 1_000_000})
        await publish_log(bus, forged)
    async with bus.read_log(execution_id, WORKER, follow=False) as reader:
        assert len([one async for one in reader]) == 3
        assert len(reader._seen) == 1, "one span for three million numbers"
