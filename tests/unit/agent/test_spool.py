"""The spool and the way through it, without a bus: what is kept, in which order, and how much."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from schemas.subjects import Catalogue
from shared.errors import BusUnavailable
from tests.fixtures.disks import Disk, fill
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.spool import Message, Spool, SpoolFull

WORKER_ID = "00000000-0000-7000-8000-000000000001"


def message(number: int, *, size: int = 10, **fields: object) -> Message:
    return Message(f"s.{number}", f"id-{number}", b"x" * size, **fields)  # type: ignore[arg-type]


def opened(folder: Path, limit: int = 1 << 20) -> Spool:
    spool = Spool(folder, limit=limit)
    spool.open()
    return spool


def drain(spool: Spool) -> list[Message]:
    messages = []
    while (segment := spool.oldest()) is not None:
        messages += list(spool.read(segment))
        spool.remove(segment)
    return messages


def test_what_is_kept_comes_back_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.empty
    for number in range(5):
        spool.append(message(number, reports=(f"e{number}",)))
    spool.close()
    again = opened(tmp_path)
    assert not again.empty
    again.append(message(5))
    back = drain(again)
    assert [one.msg_id for one in back] == [f"id-{number}" for number in range(6)]
    assert back[0] == message(0, reports=("e0",))
    assert again.empty
    assert again.size == 0


def test_a_torn_record_ends_its_segment(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(message(0))
    spool.append(message(1))
    spool.close()
    segment = next(tmp_path.iterdir())
    segment.write_bytes(segment.read_bytes()[:-3])
    again = opened(tmp_path)
    again.append(message(2))
    assert [one.msg_id for one in drain(again)] == ["id-0", "id-2"]


def test_reports_have_room_when_logs_have_none_left(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=2000)
    spool.append(message(0, size=1900))
    with pytest.raises(SpoolFull):
        spool.append(message(1, size=200))
    spool.append(message(2, size=200, essential=True))
    with pytest.raises(SpoolFull):
        spool.append(message(3, size=400, essential=True))


def test_a_segment_that_could_not_be_made_is_made_for_the_next_message(tmp_path: Path, disk: Disk) -> None:
    spool = opened(tmp_path)
    spool.append(message(0))
    assert drain(spool) == [message(0)]
    disk.fault = errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        spool.append(message(1))
    assert spool.empty
    disk.fault = None
    spool.append(message(2))
    assert [one.msg_id for one in drain(spool)] == ["id-2"]


def test_a_folder_that_was_removed_is_made_again_and_what_was_in_it_is_still_read(tmp_path: Path) -> None:
    spool = opened(tmp_path / "state" / "spool")
    spool.append(message(0))
    shutil.rmtree(tmp_path / "state")
    spool.append(message(1))
    assert [path.name for path in (tmp_path / "state" / "spool").iterdir()] == ["00000002.spool"]
    assert [one.msg_id for one in drain(spool)] == ["id-0", "id-1"]
    assert (spool.empty, spool.size, os.listdir(tmp_path / "state" / "spool")) == (True, 0, [])


def test_a_file_that_another_process_put_in_a_segments_place_is_not_removed(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(message(0))
    segment = spool.oldest()
    assert segment is not None
    segment.path.rename(tmp_path / "moved")
    segment.path.write_text("another's")
    assert drain(spool) == [message(0)]
    assert segment.path.read_text() == "another's"


def test_a_number_that_another_process_has_taken_is_skipped(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    (tmp_path / "00000001.spool").write_text("another's")
    spool.append(message(0))
    assert drain(spool) == [message(0)]
    assert {path.name for path in tmp_path.iterdir()} == {"00000001.spool"}
    assert (tmp_path / "00000001.spool").read_text() == "another's"


def test_foreign_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.spool").write_text("mine")
    spool = opened(tmp_path)
    spool.append(message(0))
    assert [one.msg_id for one in drain(spool)] == ["id-0"]
    assert os.listdir(tmp_path) == ["notes.spool"]


def test_a_full_disk_leaves_nothing_torn_and_takes_messages_again_once_there_is_room(small_disk: Path) -> None:
    spool = opened(small_disk / "spool", limit=64 << 20)
    kept: list[Message] = []
    with pytest.raises(OSError, match="No space left"):
        keep_on(spool, kept)
    assert len(kept) > 5
    with pytest.raises(OSError, match="No space left"):
        spool.append(message(0, size=50_000))
    assert drain(spool) == kept
    spool.append(message(0))
    assert drain(spool) == [message(0)]


def keep_on(spool: Spool, kept: list[Message]) -> None:
    """Append messages for as long as the disk takes them."""
    while True:
        one = message(len(kept), size=50_000)
        spool.append(one)
        kept.append(one)


class Bus:
    """A bus that takes messages or does not, as told."""

    catalogue = Catalogue("test")

    def __init__(self) -> None:
        self.connected = True
        self.taken: list[str] = []
        self.subjects: list[str] = []
        self.failing = False
        self.refused: set[str] = set()
        """The first letters of message ids that it has no room for."""
        self.tried = asyncio.Event()
        self._listeners: list[Callable[[bool], None]] = []

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = 5.0) -> None:
        self.tried.set()
        if self.failing or not self.connected or msg_id[0] in self.refused:
            raise BusUnavailable("away")
        self.taken.append(msg_id)
        self.subjects.append(subject)

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: None

    def come_back(self) -> None:
        self.connected, self.failing = True, False
        self.refused.clear()
        for listener in self._listeners:
            listener(True)

    def go_away(self) -> None:
        self.connected = False
        for listener in self._listeners:
            listener(False)


Start = Callable[..., Awaitable[Delivery]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts deliveries over folders of the test's own, and stops them at the end."""
    async with AsyncExitStack() as stack:

        async def begin(bus: Bus, *, limit: int = 1 << 20, folder: Path = tmp_path) -> Delivery:
            delivery = Delivery(
                bus,
                worker_id=WORKER_ID,
                reports=Spool(folder / "spool", limit=limit),
                logs=Spool(folder / "spool" / "logs", limit=limit),
            )
            delivery.open()
            await delivery.start()
            stack.push_async_callback(delivery.stop)
            return delivery

        yield begin


def report(number: int, **fields: object) -> Message:
    return Message("reports", f"r-{number}", b"r", essential=True, reports=(f"e{number}",), **fields)  # type: ignore[arg-type]


def chunk(number: int, *, size: int = 10) -> Message:
    return Message("logs.e", f"l-{number}", b"l" * size, log=True)


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.spool")]


async def drained(delivery: Delivery) -> None:
    await asyncio.wait_for(delivery.drained(), 10)


async def test_nothing_is_written_while_the_bus_takes_it(start: Start, tmp_path: Path) -> None:
    bus = Bus()
    delivery = await start(bus)
    delivery.hold("e0")
    assert await delivery.deliver(report(0))
    assert (bus.taken, delivery.unsettled, files(tmp_path)) == (["r-0"], set(), [])


async def test_what_comes_while_something_is_spooled_goes_behind_it(start: Start) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.go_away()
    delivery.hold("e0")
    assert await delivery.deliver(report(0))
    assert delivery.unsettled == {"e0"}
    bus.connected = True
    assert await delivery.deliver(report(1))
    assert bus.taken == []
    bus.come_back()
    await drained(delivery)
    assert bus.taken == ["r-0", "r-1"]
    assert delivery.unsettled == set()


async def test_a_publish_that_fails_is_tried_again(start: Start) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.failing = True
    assert await delivery.deliver(report(0))
    bus.failing = False
    await drained(delivery)
    assert bus.taken == ["r-0"]


async def test_what_has_no_room_anywhere_is_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_manager.agent.delivery.LOGS_IN_MEMORY", 100)
    bus = Bus()
    delivery = await start(bus, limit=100)
    bus.go_away()
    assert not await delivery.deliver(chunk(0, size=1000))
    assert delivery.lost == 1


async def test_an_agent_whose_spool_could_not_be_made_once_goes_on_when_it_can(start: Start, disk: Disk) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.go_away()
    disk.fault = errno.ENOENT
    for number in range(3):
        delivery.hold(f"e{number}")
        assert await delivery.deliver(report(number))
    disk.fault = None
    assert await delivery.deliver(report(3))
    bus.come_back()
    await drained(delivery)
    assert await delivery.deliver(report(4))
    assert bus.taken == [f"r-{number}" for number in range(5)]
    assert (delivery.unsettled, delivery.lost) == (set(), 0)


async def test_with_a_full_disk_one_publish_that_times_out_costs_nothing(start: Start, small_disk: Path) -> None:
    fill(small_disk)
    bus, reasons = Bus(), list[str]()
    delivery = await start(bus, folder=small_disk)
    delivery.troubled = reasons.append
    bus.failing = True
    for number in range(100):
        assert await delivery.deliver(chunk(number, size=50_000))
        assert await delivery.deliver(report(number))
    assert (bus.taken, delivery.lost) == ([], 0)
    assert "No space left on device" in reasons[0]
    bus.failing = False
    await drained(delivery)
    assert [id for id in bus.taken if id[0] == "r"] == [f"r-{number}" for number in range(100)]
    assert [id for id in bus.taken if id[0] == "l"] == [f"l-{number}" for number in range(100)]


async def test_what_waits_in_memory_moves_to_the_disk_once_it_has_room(start: Start, small_disk: Path) -> None:
    ballast = fill(small_disk)
    bus = Bus()
    delivery = await start(bus, folder=small_disk)
    bus.go_away()
    assert await delivery.deliver(report(0))
    assert files(small_disk) == []
    ballast.unlink()
    delivery.test_disk()
    delivery.disk_works()
    assert len(files(small_disk)) == 1


async def test_outcomes_do_not_wait_for_logs_that_the_bus_has_no_room_for(start: Start) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.refused = {"l"}
    for number in range(3):
        assert await delivery.deliver(chunk(number))
        assert await delivery.deliver(report(number))
    assert bus.taken == ["r-0", "r-1", "r-2"]
    bus.come_back()
    await drained(delivery)
    assert bus.taken[3:] == ["l-0", "l-1", "l-2"]


async def test_no_log_is_published_while_an_outcome_waits(start: Start) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.refused = {"r"}
    assert await delivery.deliver(report(0))
    assert await delivery.deliver(chunk(0))
    assert bus.taken == []
    bus.come_back()
    await drained(delivery)
    assert bus.taken == ["r-0", "l-0"]


async def test_an_outcome_is_the_last_thing_that_is_dropped(start: Start, small_disk: Path) -> None:
    ballast = fill(small_disk)
    bus, reasons = Bus(), list[str]()
    first = await start(bus, folder=small_disk, limit=64 << 20)
    first.troubled = reasons.append
    bus.go_away()
    ballast.unlink()
    while not reasons:
        assert await first.deliver(chunk(0, size=50_000))
    for number in range(300):
        first.hold(f"e{number}")
        assert await first.deliver(report(number))
    await first.stop()  # with a full disk and no bus: some of the log has to make room
    first.stop = _already  # type: ignore[method-assign]
    bus.come_back()
    second = await start(bus, folder=small_disk, limit=64 << 20)
    await drained(second)
    assert [id for id in bus.taken if id[0] == "r"] == [f"r-{number}" for number in range(300)]


async def _already() -> None:
    """It was stopped."""


async def test_outcomes_whose_segment_cannot_be_read_for_a_moment_are_kept_and_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, reasons = Bus(), asyncio.Queue[str]()
    first = await start(bus)
    bus.go_away()
    assert await first.deliver(report(0))
    await first.stop()
    first.stop = _already  # type: ignore[method-assign]
    open_file = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".spool"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    second = await start(bus)
    second.troubled = reasons.put_nowait
    bus.come_back()
    assert await asyncio.wait_for(reasons.get(), 10) == "the spool cannot be read: Too many open files"
    monkeypatch.undo()
    await drained(second)
    assert bus.taken == ["r-0"]


async def test_a_chunk_that_is_under_way_when_the_agent_stops_is_kept_when_the_bus_does_not_take_it(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, frozen, thaw = Bus(), asyncio.Event(), asyncio.Event()

    async def publish(_subject: str, _payload: bytes, *, msg_id: str, deadline: float = 5.0) -> None:
        frozen.set()
        await thaw.wait()
        raise BusUnavailable(f"{msg_id} was not taken")

    monkeypatch.setattr(bus, "publish", publish)
    delivery = await start(bus)
    under_way = asyncio.create_task(delivery.deliver(chunk(0)))
    await frozen.wait()
    stopping = asyncio.create_task(delivery.stop())
    delivery.stop = _already  # type: ignore[method-assign]
    done, _ = await asyncio.wait({stopping}, timeout=0.2)
    assert not done
    thaw.set()
    await asyncio.wait_for(stopping, 10)
    assert await under_way
    assert files(tmp_path / "spool" / "logs") == ["00000001.spool"]


async def test_logs_on_disk_are_not_given_up_for_outcomes_that_are_over_the_limit(start: Start, tmp_path: Path) -> None:
    bus = Bus()
    delivery = await start(bus, limit=100)
    bus.go_away()
    assert await delivery.deliver(chunk(0))
    for number in range(3):
        assert await delivery.deliver(report(number))
    await delivery.stop()
    delivery.stop = _already  # type: ignore[method-assign]
    assert files(tmp_path / "spool" / "logs") == ["00000001.spool"]


async def test_outcomes_in_a_segment_that_cannot_be_read_are_not_waited_for(start: Start, tmp_path: Path) -> None:
    bus = Bus()
    delivery = await start(bus)
    bus.go_away()
    for number in range(2):
        delivery.hold(f"e{number}")
        assert await delivery.deliver(report(number))
    [segment] = (tmp_path / "spool").glob("*.spool")
    content = segment.read_bytes()
    half = len(content) // 2
    segment.write_bytes(content[:half] + content[half:].replace(b"{", b"?"))
    bus.come_back()
    await drained(delivery)
    assert (bus.taken, delivery.unsettled) == (["r-0"], set())


async def test_what_an_earlier_version_kept_goes_out_on_the_workers_subjects(start: Start, tmp_path: Path) -> None:
    reports, logs = opened(tmp_path / "spool"), opened(tmp_path / "spool" / "logs")
    reports.append(Message("test.executions.finished", "r-1", b"r", reports=("e1",)))
    logs.append(Message("test.logs.e1", "l-1", b"l", log=True))
    reports.close()
    logs.close()
    bus = Bus()
    delivery = await start(bus)
    async with asyncio.timeout(5):
        await delivery.drained()
    assert bus.subjects == [f"test.executions.finished.{WORKER_ID}", f"test.logs.e1.{WORKER_ID}"]
