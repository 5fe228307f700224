"""/api/v1/events: what happens on the platform, live, filtered, and resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hodei.client.sse import ServerSentEvent, parse_events
from orchestrator.api import events as routes
from schemas.events import JobFailed, WorkerDraining
from shared.bus import Bus
from shared.ids import new_id
from tests.fixtures.events import WORKER, report
from tests.fixtures.events import started as began
from tests.integration.orchestrator.conftest import House, finished, scheduled

PATH = "/api/v1/events"


class Heard:
    """An open stream, past its first event."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], first: ServerSentEvent) -> None:
        self._events = events
        self.first = first

    async def until(self, name: str) -> list[ServerSentEvent]:
        """The events up to the next with this name."""
        found: list[ServerSentEvent] = []
        async with asyncio.timeout(10):
            while not found or found[-1].event != name:
                found.append(await anext(self._events))
        return found


@asynccontextmanager
async def heard(house: House, query: str = "", after: str | None = None) -> AsyncIterator[Heard]:
    headers = {"Last-Event-ID": after} if after else {}
    async with house.http.get(f"{house.url}{PATH}{query}", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
        events = parse_events(answer.content)
        async with asyncio.timeout(10):
            first = await anext(events)
        yield Heard(events, first)


def _data(event: ServerSentEvent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.data)
    return found


async def test_what_may_hold_secrets_is_left_out(house: House) -> None:
    async with heard(house) as stream:
        await house.submit(name="ours", env={"DB_PASSWORD": "hunter2"})
        events = await stream.until("tasks.queued")

    assert "hunter2" not in str(events)
    assert "run" not in _data(events[-1])["data"]
    assert _data(events[-1])["data"]["name"] == "ours"


async def test_a_jobs_life_is_streamed_as_it_is_on_the_feed(house: House) -> None:
    async with heard(house) as stream:
        assert stream.first.event == "open"
        job = await house.submit(name="ours")
        placed = scheduled(await house.queued(job))
        await house.say(placed)
        await house.report(finished(placed))
        events = await stream.until("jobs.succeeded")
    kinds = [event.event for event in events]
    assert {"jobs.created", "tasks.queued", "tasks.scheduled", "executions.finished"} < set(kinds)
    created = events[kinds.index("jobs.created")]
    first = _data(created)
    assert (first["position"], first["type"]) == (created.id, "hodei.jobs.created.v1")
    assert (first["subject"], first["data"]["name"]) == (job["id"], "ours")


async def test_filters_by_type_job_and_worker(house: House) -> None:
    async with (
        heard(house, "?types=jobs.created,jobs.failed&types=jobs.cancel_*") as jobs,
        heard(house, f"?worker_id={WORKER.upper()}") as worker,
    ):
        other, ours = await house.submit(), await house.submit()
        async with heard(house, f"?job_id={ours['id'].upper()}") as job:
            for one in (other, ours):
                await house.post(f"/api/v1/jobs/{one['id']}/cancel", status=202)
            await report(house.bus, [began()])
            await house.say(WorkerDraining(worker_id=new_id()), WorkerDraining(worker_id=WORKER))
            assert {_data(event)["data"]["job_id"] for event in await job.until("jobs.cancel_requested")} == {
                ours["id"]
            }
        assert [event.event for event in await worker.until("workers.draining")] == [
            "executions.started",
            "workers.draining",
        ]
        found = await jobs.until("jobs.cancel_requested") + await jobs.until("jobs.cancel_requested")
    assert {event.event for event in found} == {"jobs.created", "jobs.cancel_requested"}


async def test_a_stream_is_resumed_within_a_batch(house: House) -> None:
    batch = [WorkerDraining(worker_id=str(number)) for number in range(5)]
    async with heard(house, "?types=workers.draining") as stream:
        await house.say(*batch)
        first, second = (await stream.until("workers.draining"))[0], (await stream.until("workers.draining"))[0]
    assert [_data(one)["subject"] for one in (first, second)] == ["0", "1"]
    async with heard(house, "?types=workers.draining&follow=false", after=second.id) as again:
        events = await again.until("end")
    assert [_data(event)["subject"] for event in events[:-1]] == ["2", "3", "4"]


async def test_what_happens_while_a_client_is_away_is_sent_when_it_resumes(house: House) -> None:
    async with heard(house, "?types=workers.draining") as stream:
        position = stream.first.id
    await house.say(WorkerDraining(worker_id="7"))
    async with heard(house, "?types=workers.draining", after=position) as stream:
        assert [_data(event)["subject"] for event in await stream.until("workers.draining")] == ["7"]


async def test_a_position_of_another_stream_is_answered_with_a_gap(house: House) -> None:
    async with heard(house, "?types=workers.draining", after="999999999.1") as stream:
        assert stream.first.event == "gap"
        await house.say(WorkerDraining(worker_id="8"))
        assert [_data(event)["subject"] for event in await stream.until("workers.draining")] == ["8"]


async def test_from_a_time_on_and_to_an_end(house: House) -> None:
    order = await house.queued(await house.submit())
    async with heard(house, "?since=2020-01-01T00:00:00Z&follow=false") as stream:
        events = await stream.until("end")
    assert (order.task_id, "tasks.queued") in [(_data(event).get("subject"), event.event) for event in events]


async def test_an_unknown_type_is_refused_with_the_nearest_and_an_odd_id_matches_nothing(house: House) -> None:
    refused = await house.get(f"{PATH}?types=jobs.faild", status=422)
    [many] = (await house.get(f"{PATH}?types={','.join(['*'] * 65)}", status=422))["errors"]
    assert "at most 64 types" in str(many)
    [future] = (await house.get(f"{PATH}?since=2099-01-01T00:00:00Z", status=422))["errors"]
    assert "this time is in the future" in str(future)
    assert "did you mean jobs.failed?" in refused["errors"][0]["msg"]
    assert (await house.get(f"{PATH}?types=tokens.created", status=422))["errors"]  # not for everyone
    async with heard(house, "?job_id=nobody&since=2020-01-01T00:00:00Z&follow=false") as stream:
        assert [event.event for event in await stream.until("end")] == ["end"]


async def test_what_is_not_a_batch_of_events_is_left_out(house: House) -> None:
    async with heard(house, "?types=jobs.failed,workers.draining") as stream:
        bus: Bus = house.bus
        await bus.publish(bus.catalogue.event(JobFailed.event_type), b"{}", msg_id="odd")
        await house.say(WorkerDraining(worker_id="9"))
        assert [event.event for event in await stream.until("workers.draining")] == ["workers.draining"]


async def test_one_address_does_not_hold_all_places(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST_OF_ONE", 1)
    async with heard(house), house.http.get(house.url + PATH) as refused:
        assert refused.status == 429
        assert "from this address" in await refused.text()


async def test_events_that_no_viewer_wants_are_read_at_the_pace_of_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rested = []

    async def rest_after(_turns: routes.Turns, read: int) -> None:
        rested.append(read)

    monkeypatch.setattr(routes.Turns, "rest_after", rest_after)
    async with heard(house, "?types=workers.draining") as stream:
        await house.submit()
        await house.say(WorkerDraining(worker_id="7"))
        assert len(await stream.until("workers.draining")) == 1
    assert sum(rested) > 1000, "the events of the job are the larger part"


async def test_a_viewer_too_many_is_turned_away_and_leaving_makes_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MOST_VIEWERS", 1)
    async with heard(house) as stream:
        assert stream.first.event == "open"
        async with house.http.get(house.url + PATH) as refused:
            assert (refused.status, "Retry-After" in refused.headers) == (429, True)
    for _ in range(200):
        async with house.http.get(house.url + PATH) as again:
            if again.status == 200:
                return
        await asyncio.sleep(0.05)  # the service notices within a second that a client has left
    pytest.fail("there is no room again")
