"""With access on: what the audit log has of a request about many jobs, and of jobs whose logs are deleted."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import bulk
from orchestrator.unit_of_work import UnitOfWork
from schemas.access import Role
from shared.bus import Bus
from shared.errors import Unavailable
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.orchestrator.conftest import House, Scheduler, finished, scheduled

__all__ = ["callers"]
DELETIONS = [
    ("DELETE", "/api/v1/jobs/{id}", 204),
    ("POST", "/api/v1/jobs/delete", 200),
    ("DELETE", "/api/v1/jobs", 200),
]


@pytest.fixture
def own_settings() -> dict[str, Any]:
    return {"auth": "on"}


@pytest.fixture
def ada(callers: Callers) -> Caller:
    return callers.caller("ada", Role.ADMIN)


async def made(house: House, ada: Caller, job: dict[str, object]) -> list[str]:
    """Five jobs."""
    return [job["id"] for job in await house.post("/api/v1/jobs/batch", [job] * 5, headers=ada.headers)]


async def ended(house: House, ada: Caller) -> str:
    """A job with an execution, which may have a log."""
    job = await house.post("/api/v1/jobs", {"command": "true"}, headers=ada.headers)
    await house.say(finished(scheduled(await house.queued(job))))
    await house.get(f"/api/v1/jobs/{job['id']}/status?wait=10", headers=ada.headers)
    return str(job["id"])


async def entries(house: House, ada: Caller, route: str, method: str = "POST") -> Any:
    """Those of a route, the oldest first."""
    query = f"route={route}&method={method}"
    return (await house.get(f"/api/v1/audit?{query}", headers=ada.headers))[::-1]


async def test_a_request_about_many_jobs_has_an_entry_for_each_transaction(
    ada: Caller, house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    assert not scheduler.away
    open_ = await made(house, ada, {"command": "true", "run_at": "2100-01-01T00:00:00Z"})
    over = await made(house, ada, {"pipeline": {"name": "nothing to run"}})
    ids = {"cancel": open_, "rerun": over, "delete": over}
    for verb, transactions in (("cancel", 3), ("rerun", 1), ("delete", 3)):
        answer = await house.post(f"/api/v1/jobs/{verb}", {"ids": ids[verb]}, status=200, headers=ada.headers)
        assert answer["done"] == 5

        found = await entries(house, ada, f"/api/v1/jobs/{verb}")

        assert [one["outcome"] for one in found] == ["changed"] * transactions, verb
        assert len({one["request_id"] for one in found}) == 1
        named = [id for one in found for id in one["entity_ids"]]
        assert sorted(named) == sorted([*ids[verb], *answer["ids"]])


async def delete(house: House, ada: Caller, route: tuple[str, str, int], job_id: str, *, status: int) -> None:
    method, path, _ = route
    if path == "/api/v1/jobs":
        path = "/api/v1/jobs?before=2100-01-01T00:00:00Z"
    body = {"ids": [job_id]} if method == "POST" else None
    await house.call(method, path.format(id=job_id), body, status=status, headers=ada.headers)


@pytest.mark.parametrize("route", DELETIONS, ids=["one", "selected", "old"])
async def test_a_deleted_job_has_one_entry_which_is_there_before_its_logs_are_deleted(
    ada: Caller, house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, route: tuple[str, str, int]
) -> None:
    assert not scheduler.away
    job_id = await ended(house, ada)
    before: list[Any] = []
    delete_log = Bus.delete_log

    async def noting(bus: Bus, execution_id: str) -> None:
        before.append(await entries(house, ada, route[1], route[0]))
        await delete_log(bus, execution_id)

    monkeypatch.setattr(Bus, "delete_log", noting)
    await delete(house, ada, route, job_id, status=route[2])

    [entry] = await entries(house, ada, route[1], route[0])
    assert (entry["outcome"], entry["entity_ids"], entry["by"]) == ("changed", [job_id], ada.shown)
    assert before == [[entry]]


@pytest.mark.parametrize("route", DELETIONS, ids=["one", "selected", "old"])
async def test_logs_that_were_deleted_are_in_the_audit_log_although_their_job_was_not(
    ada: Caller, house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, route: tuple[str, str, int]
) -> None:
    assert not scheduler.away
    job_id = await ended(house, ada)

    async def away(*_: object, **__: object) -> list[str]:
        raise Unavailable("database")

    monkeypatch.setattr(UnitOfWork, "delete", away)
    await delete(house, ada, route, job_id, status=503)

    found = await entries(house, ada, route[1], route[0])
    assert [(one["outcome"], one["entity_ids"]) for one in found] == [("changed", [job_id]), ("failed", [job_id])]
