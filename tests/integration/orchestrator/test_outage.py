"""The orchestrator while its database accepts no writes."""

from __future__ import annotations

import asyncio

import orjson

from schemas.events import JobSucceeded
from schemas.subjects import DEAD_LETTERS
from tests.fixtures.databases import read_only
from tests.integration.orchestrator.conftest import DEADLINE, House, finished, scheduled, started


async def test_a_read_only_database_is_away_and_everything_is_taken_up_afterwards(
    house: House, migrated_database_url: str
) -> None:
    job = await house.submit()
    order = await house.queued(job)
    placed = scheduled(order)
    await house.say(placed)
    await house.say(started(placed))
    await read_only(migrated_database_url, True)
    async with house.http.post(f"{house.url}/api/v1/jobs", json={"command": "true"}) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.content_type == "application/problem+json"
        assert "accepts no writes" in (await answer.json())["detail"]
    await house.call("POST", f"/api/v1/jobs/{job['id']}/cancel", status=503)
    assert (await house.get("/health", status=503))["checks"]["database"] == "down"
    await house.say(finished(placed))
    await house.until_waiting("orchestrator-runs")
    await read_only(migrated_database_url, False)
    await house.ears.wait(JobSucceeded)
    async with asyncio.timeout(DEADLINE):
        while not await house.healthy():  # noqa: ASYNC110 - a connection that was cut is noticed when it is used
            await asyncio.sleep(0.02)
    stream = house.bus.catalogue.stream(DEAD_LETTERS)
    info = orjson.loads(await house.bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5))
    assert info["state"]["messages"] == 0
