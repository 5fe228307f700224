"""The priority of a job that waits is changed, and the scheduler goes by it."""

from __future__ import annotations

import json
import time

import pytest

from hodei.client import ApiError, Client
from schemas.rest.workers import WorkerStart
from schemas.specs import Priority
from schemas.states import JobStatus
from tests.e2e.framework.data import command_job, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually
from tests.e2e.test_command_line import hodei


async def test_what_waits_is_placed_by_its_new_priority_which_is_heard_within_a_second(
    platform: Platform, client: Client
) -> None:
    kind = unique("type")
    first, second = [await client.submit(command_job("true", requires={"type": kind})) for _ in range(2)]

    async def waits_with(priority: Priority) -> bool | None:
        found = [one.job_id async for one in client.queue(requires=[f"type={kind}"], priority=priority)]
        return second.id in found or None

    await eventually(lambda: waits_with("normal"))
    heard: list[float] = []
    changes: tuple[Priority, ...] = ("low", "critical", "high")
    for priority in changes:
        assert (await client.set_priority(second.id, priority)).priority == priority
        since = time.monotonic()
        await eventually(lambda wanted=priority: waits_with(wanted))  # type: ignore[misc]  # mypy: a default in a lambda
        heard.append(time.monotonic() - since)
    assert min(heard) < 1.0, heard  # of three, because other tests share the machine
    code, out, _ = await hodei(platform, "priority", second.id[-8:], "critical", "--json")
    assert (code, json.loads(out)["priority"]) == (0, "critical")
    code, out, _ = await hodei(platform, "priority", second.id, "high")
    assert (code, out) == (0, f"{second.id}  high\n")
    await eventually(lambda: waits_with("high"))
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    for job in (first, second):
        assert (await client.wait(job.id, timeout=30)).status is JobStatus.SUCCEEDED
    began = {id: (await client.job(id)).tasks[0].started_at for id in (first.id, second.id)}
    assert min(began, key=lambda id: str(began[id])) == second.id
    told = [event.type for event in await client.events(second.id) if event.type == "jobs.reprioritized"]
    assert len(told) == 5
    with pytest.raises(ApiError) as refused:
        await client.set_priority(second.id, "low")
    assert refused.value.status == 409
    await client.stop_worker(worker.id)
