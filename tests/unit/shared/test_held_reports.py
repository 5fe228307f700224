"""Reports that come before the placement of their execution are held, tried again, and given up after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from schemas.cloudevents import CloudEvent
from schemas.events import EventData
from shared import held_reports
from shared.bus import Foreign
from shared.errors import Unavailable
from shared.held_reports import HeldReports
from shared.telemetry import Metrics
from tests.unit.worker_manager.events import Script, said

Event = CloudEvent[EventData]


class Handler:
    """Holds every report that it does not know to be placed."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.handled: list[str] = []
        self.placed: set[str] = set()
        self.errors: Iterator[Exception] = iter(())
        self.news = asyncio.Event()
        self.held = HeldReports(self.handle, Foreign(self.metrics), pauses=(0.01, 0.01, 0.01))

    async def handle(self, events: Sequence[Event]) -> None:
        self.news.set()
        if (error := next(self.errors, None)) is not None:
            raise error
        self.held.hold(event for event in events if event.subject not in self.placed)
        self.handled += [event.subject for event in events if event.subject in self.placed]

    @property
    def dropped(self) -> float:
        return self.metrics.value("hodei_foreign_reports_total", kind="unplaced")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await self.held.next_run()


@pytest.fixture
async def handler() -> Handler:
    return Handler()


async def test_a_report_is_handled_once_its_placement_is_known(handler: Handler) -> None:
    event = said(Script().started())
    handler.held.hold([event])
    await handler.held.start()
    handler.placed.add(event.subject)
    await handler.until(lambda: bool(handler.handled))
    await handler.held.stop()
    assert (handler.handled, len(handler.held), handler.dropped) == ([event.subject], 0, 0)


async def test_a_report_that_is_never_placed_is_given_up_and_counted(handler: Handler) -> None:
    handler.held.hold([said(Script().started())])
    await handler.held.start()
    await handler.until(lambda: handler.dropped == 1)
    await handler.held.stop()
    assert (handler.handled, len(handler.held)) == ([], 0)


async def test_a_worker_cannot_take_the_room_of_others(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_reports, "OF_ONE_WORKER", 2)
    flood = [said(Script("hostile").started()) for _ in range(5)]
    handler.held.hold([*flood, said(Script("honest").started())])
    assert (len(handler.held), handler.dropped) == (3, 3)


async def test_outputs_are_held_up_to_a_limit(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_reports, "MOST_BYTES", 100)
    large = [said(Script().finished(outputs={"A": "x" * 60})) for _ in range(2)]
    handler.held.hold([*large, said(Script().finished())])
    assert (len(handler.held), handler.dropped) == (2, 1)


async def test_outputs_of_one_worker_take_no_room_of_others(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_reports, "BYTES_OF_ONE_WORKER", 100)
    flood = [said(Script("hostile").finished(outputs={"A": "x" * 60})) for _ in range(3)]
    honest = said(Script("honest").finished(outputs={"A": "x" * 60}))
    handler.held.hold([*flood, honest])
    assert (len(handler.held), handler.dropped) == (2, 2)
    handler.placed.update((flood[0].subject, honest.subject))
    await handler.held.start()
    await handler.until(lambda: len(handler.handled) == 2)
    handler.held.hold([flood[1]])
    await handler.held.stop()
    assert (len(handler.held), handler.dropped) == (1, 2), "what was handled leaves its room"


async def test_an_event_does_not_replace_one_of_another_worker_with_its_id(handler: Handler) -> None:
    honest = said(Script("honest").started())
    handler.held.hold([honest, replace(said(Script("hostile").started()), id=honest.id)])
    assert len(handler.held) == 2


async def test_they_are_kept_while_the_database_is_away(handler: Handler) -> None:
    event = said(Script().started())
    handler.placed.add(event.subject)
    handler.errors = iter([Unavailable("database")])
    handler.held.hold([event])
    await handler.held.start()
    failed = asyncio.Event()
    async with asyncio.timeout(5):
        while not failed.is_set():
            try:
                await handler.held.next_run()
            except Unavailable:
                failed.set()
    assert len(handler.held) == 1
    await handler.until(lambda: bool(handler.handled))
    await handler.held.stop()
    assert handler.handled == [event.subject]


async def test_one_that_cannot_be_handled_keeps_no_other(handler: Handler) -> None:
    bad, good = said(Script().started()), said(Script().started())
    handler.placed.update((bad.subject, good.subject))
    handler.errors = iter([ValueError("together"), ValueError("the first alone")])
    handler.held.hold([bad, good])
    await handler.held.start()
    await handler.until(lambda: bool(handler.handled))
    await handler.held.stop()
    assert (handler.handled, len(handler.held)) == ([good.subject], 0)
