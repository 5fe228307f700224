"""What a job ran can be read afterwards, for as long as it is kept; and what is no longer wanted goes in numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.api import jobs
from schemas.events import JobDeleted
from schemas.ids import first_id_at
from shared import masking
from shared.bus import Bus
from shared.ids import new_id
from tests.fixtures.events import publish_log
from tests.integration.orchestrator.conftest import House, Scheduler, chunk, finished, scheduled

pytestmark = pytest.mark.usefixtures("scheduler")

STEP: dict[str, Any] = {
    "name": "build",
    "command": ["make", "all"],
    "type": "exec",
    "env": {"MODE": "fast", "API_TOKEN": "abc", "SHARED": "step"},
    "working_dir": "/src",
    "timeout": 60.0,
    "queue_timeout": 30.0,
    "retry": {"max_attempts": 3, "delay": 2.0},
    "retry_on_lost": False,
    "max_crashes": 1,
    "requires": {"zone": "north"},
    "resources": {"cpu_m": 500, "memory_mb": 64, "gpu": 0},
    "allow_failure": True,
    "labels": {"stage": "build"},
}


async def test_a_job_answers_with_what_it_runs(house: House) -> None:
    env = {"SHARED": "pipeline", "DATABASE_URL": "postgres://me:hidden@db/x"}
    pipeline = await house.post("/api/v1/pipelines", {"name": "p", "env": env, "timeout": 600.0, "steps": [STEP]})
    wanted = {
        "pipeline_id": pipeline["id"],
        "params": {"who": "me", "api_key": "hidden"},
        "env": {"DB_PASSWORD": "hidden"},
    }

    made = await house.post("/api/v1/jobs", wanted)
    shown = await house.get(f"/api/v1/jobs/{made['id']}")

    for job in (made, shown):
        assert (job["timeout"], job["params"]) == (600.0, {"who": "me", "api_key": "***"})
        assert job["env"] == {
            "SHARED": "pipeline",
            "DATABASE_URL": "postgres://me:***@db/x",
            "DB_PASSWORD": "***",
        }
        [task] = job["tasks"]
        assert task["env"] == {"MODE": "fast", "API_TOKEN": "***", "SHARED": "step"}
        assert task["retry"]["max_attempts"] == 3
        for field in set(STEP) - {"env", "retry"}:
            assert task[field] == STEP[field], field
    assert "hidden" not in json.dumps([made, shown])
    assert {**made, "tasks": []} == {**shown, "tasks": []}
    [listed] = await house.get("/api/v1/jobs")
    [again] = await house.post("/api/v1/jobs/batch", [wanted])
    assert listed["params"] == again["params"] == {"who": "me", "api_key": "***"}
    order = await house.queued(made)
    assert order.run.env["HODEI_PARAM_API_KEY"] == "hidden", "its process is given what it needs"
    assert order.labels == {"stage": "build"}


async def test_a_step_keeps_its_labels_when_its_job_runs_again(house: House) -> None:
    pipeline = await house.pipeline({"name": "a", "command": "true", "labels": {"stage": "test"}})
    job = await house.submit(pipeline_id=pipeline["id"], labels={"team": "web"})
    await house.say(finished(scheduled(await house.queued(job))))
    await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {})
    assert [task["labels"] for task in again["tasks"]] == [{"stage": "test"}]
    assert (await house.queued(again)).labels == {"stage": "test"}
    assert again["labels"] == {"team": "web"}


async def test_a_single_command_is_shown_with_its_defaults(house: House) -> None:
    job = await house.get(f"/api/v1/jobs/{(await house.submit(command='echo hello', env={'A': 'b'}))['id']}")
    [task] = job["tasks"]
    assert (task["command"], task["type"], task["timeout"], task["retry"]) == ("echo hello", "shell", None, None)
    assert {**job["env"], **task["env"]} == {"A": "b"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("API_KEY", "x"),
            ("apikey", "x"),
            ("Token", "x"),
            ("DB_PASSWORD", "x"),
            ("PGPASSFILE", "x"),
            ("MY_KEY", "x"),
        ),
        *(("KEYBOARD", "de"), ("AUTHOR", "ann"), ("BASIC_AUTH", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("PWD", "/src")),
        *(
            ("URL", "https://user:pass@host/a https://u:p@b/"),
            ("URL", "https://host/a:b@c"),
            ("EMPTY", ""),
            ("U", "ü\n"),
        ),
    ],
)
async def test_secrets_are_masked_alike_wherever_an_environment_is_shown(house: House, name: str, value: str) -> None:
    sql = "select orchestrator.shown_environment($1::text::json)"
    assert await house.database.fetch_value(sql, json.dumps({name: value})) == masking.shown({name: value})


async def test_each_version_of_a_pipeline_stays_readable(house: House) -> None:
    made = await house.post("/api/v1/pipelines", {"name": "first", "steps": [{"name": "one", "command": "true"}]})
    path = f"/api/v1/pipelines/{made['id']}"
    job = await house.submit(pipeline_id=made["id"])
    body = {"name": "second", "description": "new", "steps": [{"name": "two", "command": "true"}]}
    changed = await house.call("PUT", path, body, status=200)
    await house.call("DELETE", path, status=204)

    versions = await house.get(f"{path}/versions")
    assert [(one["version"], one["name"], one["steps"][0]["name"]) for one in versions] == [
        (2, "second", "two"),
        (1, "first", "one"),
    ]
    assert versions[0] == {**changed, "status": "archived"}
    assert (await house.get(f"{path}/versions/{job['pipeline_version']}"))["steps"] == made["steps"]
    assert [one["version"] for one in await house.get(f"{path}/versions?limit=1")] == [2]
    for missing in ("3", "0", "x", "99999999999"):
        await house.get(f"{path}/versions/{missing}", status=404)
    await house.get(f"/api/v1/pipelines/{new_id()}/versions", status=404)


async def test_many_old_jobs_are_deleted_with_one_request(house: House) -> None:
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    over = [await house.submit(pipeline_id=pipeline["id"]) for _ in range(4)]
    waiting = await house.submit()
    later, earlier = _later(), over[0]["created_at"]

    digits = datetime.now(UTC).strftime("%Y%m%d%H%M%S")  # which are not milliseconds since 1970
    await house.call("DELETE", f"/api/v1/jobs?before={digits}", status=422)
    assert await _delete(house, f"before={earlier}") == {"deleted": 0, "kept": 0, "more": False, "dry_run": False}
    first = await _delete(house, f"before={later}&status=succeeded&limit=2")
    assert first == {"deleted": 2, "kept": 0, "more": True, "dry_run": False}
    assert [job["id"] for job in await house.get("/api/v1/jobs")] == [waiting["id"], over[3]["id"], over[2]["id"]]
    assert (await _delete(house, f"before={later}&status=failed"))["deleted"] == 0
    assert (await _delete(house, f"finished_before={later}&limit=1"))["more"] is True, "an earlier name of `before`"
    assert await _delete(house, f"before={later}") == {"deleted": 1, "kept": 0, "more": False, "dry_run": False}
    assert [job["id"] for job in await house.get("/api/v1/jobs")] == [waiting["id"]]
    await house.get(f"/api/v1/jobs/{over[0]['id']}", status=404)
    told = await house.ears.wait(JobDeleted, 4)
    assert {(one.job_id, one.cause) for one in told} == {(job["id"], "request") for job in over}


async def test_jobs_that_a_schedule_will_run_again_stay(
    house: House, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DELETED_AT_ONCE", 2)
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    over = [(await house.submit(pipeline_id=pipeline["id"]))["id"] for _ in range(5)]
    scheduler.needs = {*over[:3], new_id()}
    later = _later()

    scheduler.away = True
    await house.call("DELETE", f"/api/v1/jobs?before={later}", status=503)
    assert len(await house.get("/api/v1/jobs")) == 5
    scheduler.away = False
    assert await _delete(house, f"before={later}") == {"deleted": 2, "kept": 3, "more": False, "dry_run": False}
    assert [job["id"] for job in await house.get("/api/v1/jobs")] == over[2::-1]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "before: is required"),
        ("before={later}&finished_before={later}", "before: is given under two names"),
        ("before={later}&status=running", "status: a job that is running is not deleted; cancel it first, or wait"),
        ("before={later}&label=a=b&label=a=c", "label: one key is given with two values; no entry has both"),
        ("before={later}&label=nothing", "should be KEY=VALUE"),
        ("before={later}&limit=1001", "should be less than or equal to 1000"),
        ("before={later}&dry_run=perhaps", "should be true or false"),
    ],
)
async def test_a_deletion_that_is_not_clear_deletes_nothing(house: House, query: str, says: str) -> None:
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    job = await house.submit(pipeline_id=pipeline["id"])
    problem = await house.call("DELETE", f"/api/v1/jobs?{query.format(later=_later())}", status=422)
    assert says in json.dumps(problem)
    await house.get(f"/api/v1/jobs/{job['id']}")


async def test_a_trial_counts_what_a_deletion_would_delete(house: House) -> None:
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    for labels in ({"team": "web"}, {"team": "web", "tier": "1"}, {}):
        await house.submit(pipeline_id=pipeline["id"], labels=labels)
    later = _later()

    async def would(query: str) -> int:
        found = await _delete(house, f"before={later}&dry_run=true&{query}")
        assert (found["dry_run"], found["more"]) == (True, False)
        return int(found["deleted"])

    assert await would("") == 3
    assert await would("limit=1") == 3, "all are counted, however many one request deletes"
    assert await would("status=failed") == 0
    assert await would("label=team=web") == 2
    assert await would("label=team=web&label=tier=1&status=succeeded") == 1
    assert len(await house.get("/api/v1/jobs")) == 3
    assert (await _delete(house, f"before={later}&label=team=web"))["deleted"] == 2
    assert [job["labels"] for job in await house.get("/api/v1/jobs")] == [{}]


async def test_a_trial_stops_counting_at_a_limit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COUNTED", 2)
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    for _ in range(3):
        await house.submit(pipeline_id=pipeline["id"])
    counted = await _delete(house, f"before={_later()}&dry_run=true")
    assert counted == {"deleted": 2, "kept": 0, "more": True, "dry_run": True}


async def test_a_deletion_ends_after_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "DELETING_JOBS", 0.0)
    pipeline = await house.post("/api/v1/pipelines", {"name": "empty"})
    await house.submit(pipeline_id=pipeline["id"])
    assert await _delete(house, f"before={_later()}") == {"deleted": 0, "kept": 0, "more": True, "dry_run": False}


async def test_logs_that_have_expired_are_not_deleted_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def delete(_bus: Bus, execution_id: str) -> None:
        asked.append(execution_id)

    monkeypatch.setattr(Bus, "delete_log", delete)
    executions: dict[str, str] = {}
    for days in (3, 0):
        job = await house.submit()
        placed = scheduled(await house.queued(job))
        await house.say(finished(placed))
        await house.over(job)
        executions[f"{days} days old"] = placed.execution_id
        moment = datetime.now(UTC) - timedelta(days=days)
        await house.database.execute(
            "update executions set finished_at = $2 where id = $1", placed.execution_id, moment
        )
    await publish_log(house.bus, chunk(placed, 1, "the oldest line that is kept"), placed.worker_id)

    assert (await _delete(house, f"before={_later()}"))["deleted"] == 2
    assert asked == [executions["0 days old"]]


async def _delete(house: House, query: str) -> Any:
    return await house.call("DELETE", f"/api/v1/jobs?{query}", status=200)


def _later() -> str:
    return (datetime.now(UTC) + timedelta(seconds=10)).isoformat().replace("+00:00", "Z")


def test_ids_ascend_with_the_moments_that_they_were_made_at() -> None:
    before = new_id()
    assert before < first_id_at(datetime.now(UTC) + timedelta(milliseconds=2))
    assert first_id_at(datetime.now(UTC) - timedelta(milliseconds=2)) < before
