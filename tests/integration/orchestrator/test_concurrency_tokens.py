"""With access on: whose jobs a job may end for its concurrency key, and who is named for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.access import Role
from schemas.events import JobCancelled, JobCancelRequested
from schemas.model import rfc3339
from shared.clock import now
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.orchestrator.conftest import House
from tests.integration.orchestrator.test_who import ben, heard, ids, submit

__all__ = ["ben", "callers"]


@pytest.fixture
def own_settings() -> dict[str, Any]:
    return {"auth": "on"}


OLDEST = {"limit": 1, "when_full": "cancel_oldest"}


@pytest.mark.parametrize("path", ["jobs", "jobs/batch", "rerun"])
async def test_a_submitters_job_does_not_end_another_tokens_for_its_concurrency_key(
    callers: Callers, house: House, path: str
) -> None:
    ben, eve = callers.caller("ben", Role.SUBMITTER), callers.caller("eve", Role.SUBMITTER)
    pipeline = {"name": "nothing to run"}
    former = await house.post(
        "/api/v1/jobs", {"pipeline": pipeline, "concurrency_key": "k", "concurrency": OLDEST}, headers=eve.headers
    )
    job = await submit(house, ben, name="deploy", concurrency_key="k")
    wish = {"command": "true", "concurrency_key": "k", "concurrency": OLDEST}
    requests: dict[str, tuple[str, object]] = {
        "jobs": ("/api/v1/jobs", wish),
        "jobs/batch": ("/api/v1/jobs/batch", [wish, wish]),
        "rerun": (f"/api/v1/jobs/{former['id']}/rerun", {}),
    }

    problem = await house.call("POST", requests[path][0], requests[path][1], status=403, headers=eve.headers)

    assert problem["role"] == "operator"
    assert f"job {job['id']} (deploy), which this one would end, was created by another token" in problem["detail"]
    assert await ids(house, "jobs?created_by=eve", eve) == [former["id"]]
    found = await house.database.fetch("select job_id::text, superseded_by from claims")
    assert [(*one,) for one in found] == [(job["id"], None)]


async def test_at_its_run_at_a_submitters_job_does_not_end_another_tokens(callers: Callers, house: House) -> None:
    ben, eve = callers.caller("ben", Role.SUBMITTER), callers.caller("eve", Role.SUBMITTER)
    job = await submit(house, ben, concurrency_key="k")
    at = rfc3339(now() + timedelta(seconds=0.5))

    late = await submit(house, eve, concurrency_key="k", concurrency=OLDEST, run_at=at)

    over = await heard(house, JobCancelled, late["id"])
    assert (over.reason, over.cancelled_by) == ("concurrency_limit", None)
    assert f"job {job['id']} (true) has its concurrency key and was submitted by another token" in over.detail
    assert (await house.get(f"/api/v1/jobs/{job['id']}", headers=ben.headers))["status"] == "pending"


@pytest.mark.parametrize("own", [True, False])
async def test_a_superseded_job_and_the_audit_log_name_who_submitted_the_one_in_its_place(
    callers: Callers, house: House, own: bool
) -> None:
    ben, admin = callers.caller("ben", Role.SUBMITTER), callers.caller("ada", Role.ADMIN)
    newer = ben if own else callers.caller("otto", Role.OPERATOR)
    job = await submit(house, ben, run_at=rfc3339(now() - timedelta(seconds=1)), concurrency_key="k")
    waits = await submit(house, ben, concurrency_key="k")

    new = await submit(house, newer, concurrency_key="k", concurrency=OLDEST)

    over = await heard(house, JobCancelled, waits["id"])
    assert (over.reason, over.cancelled_by) == ("superseded", newer.actor)
    assert (await heard(house, JobCancelRequested, job["id"])).cancelled_by == newer.actor
    for one in (job, waits):
        shown = await house.get(f"/api/v1/jobs/{one['id']}", headers=ben.headers)
        assert shown["cancelled_by"] == newer.shown
        entry, created = await house.get(f"/api/v1/audit?entity_id={one['id']}", headers=admin.headers)
        assert (entry["by"], entry["route"], created["by"]) == (newer.shown, "/api/v1/jobs", ben.shown)
        assert sorted(entry["entity_ids"]) == sorted((new["id"], job["id"], waits["id"]))


async def test_a_job_that_a_later_one_of_its_batch_replaces_names_their_submitter(ben: Caller, house: House) -> None:
    wish = {"command": "true", "concurrency_key": "k", "concurrency": OLDEST}
    [replaced, _] = await house.post("/api/v1/jobs/batch", [wish, wish], headers=ben.headers)

    assert (replaced["reason"], replaced["cancelled_by"]) == ("superseded", ben.shown)
