"""What the bus does not take for its size is refused when it is submitted, or ends with a reason."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from schemas.events import ExecutionFinished, TaskScheduled
from schemas.specs import RunSpec
from schemas.states import Reason
from shared.bus.bus import LEAST_PAYLOAD
from shared.bus.connection import Connection
from tests.integration.scheduler.conftest import DEADLINE, House, Opener, finished, queued

LARGE = {f"V{number}": "x" * 99_500 for number in range(8)}


def allow(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """From now on the NATS server takes messages of so many bytes."""
    monkeypatch.setattr(Connection, "max_payload", property(lambda _: size))


async def test_an_order_that_the_bus_no_longer_takes_fails_and_its_slot_is_free(
    house: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await house()
    large, small = queued(run=RunSpec(command="true", env=LARGE)), queued()
    await here.say(large)
    await here.say(small)
    allow(monkeypatch, LEAST_PAYLOAD)
    await here.agent(slots=1)
    [outcome] = await here.ears.wait(ExecutionFinished)
    assert (outcome.task_id, outcome.reason, outcome.exit_code) == (large.task_id, Reason.TOO_LARGE, None)
    assert "max_payload, which was lowered" in (outcome.detail or "")
    [placed] = await here.ears.wait(TaskScheduled)
    assert placed.task_id == small.task_id
    await here.say(finished(placed))


async def failed(here: House, schedule_id: object) -> dict[str, object]:
    """The schedule, once it has failed."""
    async with asyncio.timeout(DEADLINE):
        while True:
            shown = await here.get(f"/api/v1/scheduled/{schedule_id}")
            assert isinstance(shown, dict)
            if shown["status"] == "failed":
                return shown
            await asyncio.sleep(0.02)


async def test_a_schedule_that_the_bus_does_not_take_is_refused_or_fails_when_it_is_due(
    house: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await house()
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    made = await here.post("/api/v1/schedule", {"command": "true", "env": LARGE, "run_at": soon}, status=201)
    allow(monkeypatch, LEAST_PAYLOAD)
    problem = await here.post("/api/v1/schedule", {"command": "true", "env": LARGE}, status=422)
    [error] = problem["errors"]  # type: ignore[misc]  # a problem's errors are a list
    assert error["loc"] == ["body", "env"]
    assert "the NATS server accepts messages of at most 520,192" in error["msg"]
    assert "max_payload, which was lowered" in str((await failed(here, made["id"]))["last_error"])
