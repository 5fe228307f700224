"""Four times as many clients as the limit allows: some are turned away, all else works, and no accepted job is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hodei.client import Client
from orchestrator.room import JobRoom
from tests.integration.orchestrator.conftest import DEADLINE, House

LIMIT = 5
CLIENTS = 4 * LIMIT


@pytest.fixture
def own_settings() -> dict[str, Any]:
    return {"limit_requests": 2 * LIMIT}


async def submit(house: House) -> tuple[int, str]:
    async with house.http.post(f"{house.url}/api/v1/jobs", json={"command": "true"}) as answer:
        return answer.status, (await answer.json()).get("id", "")


async def in_use(house: House) -> int:
    async with house.http.get(f"{house.url}/metrics") as answer:
        [line] = [
            line
            for line in (await answer.text()).splitlines()
            if line.startswith('hodei_limit_in_use{limit="submissions"}')
        ]
    return int(float(line.split()[-1]))


async def test_submissions_over_the_limit_are_turned_away_and_everything_else_works(house: House) -> None:
    house.part(JobRoom).turn = 60
    pipeline = await house.pipeline({"name": "a", "command": "true"})
    async with house.database.transaction() as tx:
        await tx.execute("lock table timeline in share mode")  # no job can be written
        submitting = [asyncio.create_task(submit(house)) for _ in range(CLIENTS)]
        async with asyncio.timeout(DEADLINE):
            for done in asyncio.as_completed(submitting):
                assert (await done)[0] == 429
                if sum(task.done() for task in submitting) == CLIENTS - LIMIT:
                    break
        assert await in_use(house) == LIMIT
        assert await house.healthy()
        assert await house.get("/api/v1/jobs") == []
        await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    statuses = [await task for task in submitting]
    accepted = {id for status, id in statuses if status == 201}
    assert {status for status, _ in statuses} <= {201, 429}
    assert {job["id"] for job in await house.get("/api/v1/jobs")} == accepted
    assert await in_use(house) == 0


async def test_clients_that_come_back_when_they_are_asked_to_are_all_served(house: House) -> None:
    async with Client(house.url) as client, asyncio.timeout(6 * DEADLINE):
        jobs = await asyncio.gather(*(client.submit({"command": "true"}) for _ in range(CLIENTS)))
    assert len({job.id for job in jobs}) == CLIENTS
    assert {job["id"] for job in await house.get("/api/v1/jobs")} == {job.id for job in jobs}
