"""Failures are counted by their reason, once each."""

from __future__ import annotations

from schemas.states import Reason
from tests.integration.orchestrator.conftest import House, finished, scheduled


async def lines(house: House) -> set[str]:
    async with house.http.get(f"{house.url}/metrics") as answer:
        text = await answer.text()
    return {
        line
        for line in text.splitlines()
        if line.startswith(("hodei_tasks_failed_total{", "hodei_tasks_retried_total{"))
    }


async def test_failed_tasks_and_repeated_attempts_are_counted_by_reason(house: House) -> None:
    pipeline = await house.pipeline(
        {"name": "a", "command": "true", "retry": {"max_attempts": 2, "delay": 0}},
        {"name": "b", "command": "true", "env": {"V": "${{ params.gone }}"}},
    )
    job = await house.submit(pipeline_id=pipeline["id"])
    for attempt in (1, 2):
        placed = scheduled(await house.queued(job, "a", attempt))
        await house.say(placed)
        report = finished(placed, "failed", exit_code=3, reason=Reason.EXIT_CODE)
        await house.say(report)
        await house.say(report)  # the same again
    assert (await house.over(job))["status"] == "failed"
    assert await lines(house) == {
        'hodei_tasks_failed_total{reason="exit_code"} 1.0',
        'hodei_tasks_failed_total{reason="bad_expression"} 1.0',
        'hodei_tasks_retried_total{reason="exit_code"} 1.0',
    }
