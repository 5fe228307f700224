"""What one service deletes, the others delete as well, also where the event was lost; and none deletes what another
still needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import worker_manager.retention
from schemas.events import JobDeleted
from tests.integration.reliability.conftest import House, Worker


async def ran(house: House, worker: Worker, count: int) -> tuple[Any, str]:
    """A job that is over, the worker's `count`th, and its execution, which the worker manager has recorded."""
    job = await house.submit()
    order = await worker.ordered(count)
    await house.say(worker.finished(order, status="succeeded", exit_code=0))
    await house.over(job)
    await house.execution(order.execution_id, until="succeeded")
    return job, order.execution_id


async def listed(house: House) -> set[str]:
    return {one["id"] for one in await house.call("worker_manager", "GET", "/executions")}


async def test_the_worker_manager_deletes_the_executions_of_a_deleted_job(house: House) -> None:
    async with house.worker() as worker:
        job, _ = await ran(house, worker, 1)
        _, kept = await ran(house, worker, 2)
    await house.call("orchestrator", "DELETE", f"/jobs/{job['id']}")
    await house.until_handled("worker-manager-deletions", 1)
    assert await listed(house) == {kept}


async def test_a_deletion_that_the_worker_manager_missed_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_manager.retention, "SETTLED", timedelta(0))
    async with house.worker() as worker:
        job, execution = await ran(house, worker, 1)
        _, kept = await ran(house, worker, 2)
    async with house.away("worker_manager"):
        await house.call("orchestrator", "DELETE", f"/jobs/{job['id']}")
        await house.ears.wait(JobDeleted)
    await house.until_gone("worker_manager", f"/executions/{execution}")
    assert await listed(house) == {kept}


async def test_a_job_that_a_schedule_will_run_again_is_kept(house: House) -> None:
    async with house.worker() as worker:
        needed, _ = await ran(house, worker, 1)
        unneeded, _ = await ran(house, worker, 2)
        newest, _ = await ran(house, worker, 3)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await house.call("scheduler", "POST", "/schedule", {"job_id": needed["id"], "run_at": later})
    await house.stop("orchestrator")
    house.change("orchestrator", retention_jobs_max=1)
    await house.start("orchestrator")
    assert (await house.ears.wait(JobDeleted)).job_id == unneeded["id"]
    rest = {one["id"] for one in await house.call("orchestrator", "GET", "/jobs")}
    assert rest == {needed["id"], newest["id"]}
