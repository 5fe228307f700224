"""The spool and the way through it, without a bus: what is kept, in which order, and how much."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import BusUnavailable
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.spool import Message, Spool, SpoolFull


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


class Bus:
    """A bus that takes messages or does not, as told."""

    def __init__(self) -> None:
        self.connected = True
        self.taken: list[str] = []
        self.failing = False
        self._listeners: list[Callable[[bool], None]] = []

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = 5.0) -> None:
        if self.failing or not self.connected:
            raise BusUnavailable("away")
        self.taken.append(msg_id)

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: None

    def come_back(self) -> None:
        self.connected, self.failing = True, False
        for listener in self._listeners:
            listener(True)


async def test_nothing_is_written_while_the_bus_takes_it(tmp_path: Path) -> None:
    bus, spool = Bus(), opened(tmp_path)
    delivery = Delivery(bus, spool)
    await delivery.start()
    delivery.hold("e")
    assert await delivery.deliver(message(0, reports=("e",)))
    assert (bus.taken, delivery.unsettled, os.listdir(tmp_path)) == (["id-0"], set(), [])
    await delivery.stop()


async def test_what_comes_while_something_is_spooled_goes_behind_it(tmp_path: Path) -> None:
    bus, spool = Bus(), opened(tmp_path)
    delivery = Delivery(bus, spool)
    await delivery.start()
    bus.connected = False
    delivery.hold("e")
    assert await delivery.deliver(message(0, reports=("e",)))
    assert delivery.unsettled == {"e"}
    bus.connected = True
    assert await delivery.deliver(message(1))
    assert bus.taken == []
    bus.come_back()
    await asyncio.wait_for(delivery.drained(), 5)
    assert bus.taken == ["id-0", "id-1"]
    assert delivery.unsettled == set()
    await delivery.stop()


async def test_a_publish_that_fails_is_tried_again(tmp_path: Path) -> None:
    bus, spool = Bus(), opened(tmp_path)
    delivery = Delivery(bus, spool)
    await delivery.start()
    bus.failing = True
    assert await delivery.deliver(message(0))
    bus.failing = False
    await asyncio.wait_for(delivery.drained(), 5)
    assert bus.taken == ["id-0"]
    await delivery.stop()


async def test_what_has_no_room_anywhere_is_counted(tmp_path: Path) -> None:
    bus, spool = Bus(), opened(tmp_path, limit=100)
    delivery = Delivery(bus, spool)
    bus.connected = False
    assert not await delivery.deliver(message(0, size=1000))
    assert delivery.lost == 1
