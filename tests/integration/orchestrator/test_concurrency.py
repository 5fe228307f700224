"""Jobs with the same concurrency key limit each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.admission import Admission
from orchestrator.store.claims import ClaimStore
from schemas.concurrency import ConcurrencySpec
from schemas.events import (
    JobAdmitted,
    JobCancelled,
    JobStarted,
    JobTarget,
    JobWaiting,
    ScheduleConfirmed,
    ScheduleFired,
    ScheduleRefused,
    TaskApprovalRequested,
    TaskCancelRequested,
    TaskQueued,
)
from schemas.model import rfc3339
from schemas.questions import TASK, TaskQuestion
from schemas.specs import CommandSpec
from shared.bus import ask
from shared.clock import now
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, scheduled, started

A = {"name": "a", "command": "true"}
B = {"name": "b", "command": "true", "depends_on": ["a"]}


async def end(house: House, job: dict[str, Any], step: str | None = None) -> None:
    """Report the end of a step that is queued."""
    await house.say(finished(scheduled(await house.queued(job, step))))


async def shown(house: House, job: dict[str, Any]) -> Any:
    return await house.get(f"/api/v1/jobs/{job['id']}")


async def types(house: House, job: dict[str, Any]) -> list[str]:
    return [event["type"] for event in await house.get(f"/api/v1/jobs/{job['id']}/events")]


async def claims(house: House) -> int:
    return int(await house.database.fetch_value("select count(*) from claims"))


def queued(house: House, job: dict[str, Any]) -> bool:
    return any(isinstance(one, TaskQueued) and one.job_id == job["id"] for one in house.ears.heard)


async def test_a_second_job_waits_until_the_first_is_over(house: House) -> None:
    first = await house.submit(concurrency_key="deploy")
    assert (first["concurrency_key"], first["waiting_for"]) == ("deploy", None)
    assert first["concurrency"] == {"limit": 1, "when_full": "queue"}
    second = await house.submit(concurrency_key="deploy", timeout=5)
    other = await house.submit(concurrency_key="Deploy")
    assert (second["status"], second["waiting_for"]) == ("pending", "the concurrency key deploy")
    assert [task["status"] for task in second["tasks"]] == ["pending"]
    await house.queued(other)  # keys are compared letter by letter
    assert {**await shown(house, second), "key_wait": None} == second
    await house.ears.wait(JobWaiting, where=lambda one: one.job_id == second["id"])
    assert not queued(house, second)
    await end(house, first)
    await house.ears.wait(JobAdmitted, where=lambda one: one.job_id == second["id"])
    await end(house, second)
    assert (await house.over(second))["status"] == "succeeded"
    assert await types(house, second) == [
        "jobs.created",
        "jobs.waiting",
        "jobs.admitted",
        "tasks.queued",
        "executions.finished",
        "jobs.started",
        "tasks.succeeded",
        "jobs.succeeded",
    ]
    assert "jobs.waiting" not in await types(house, first)
    await end(house, other)
    await house.over(other)
    assert await claims(house) == 0


async def test_those_that_wait_are_admitted_by_priority_then_by_age(house: House) -> None:
    holder = await house.submit(concurrency_key="k")
    waiting = [
        await house.submit(concurrency_key="k", priority=priority)
        for priority in ("low", "normal", "high", "normal", "critical")
    ]
    await end(house, holder)
    order = []
    for count in range(1, 6):
        admitted = (await house.ears.wait(JobAdmitted, count))[-1].job_id
        order.append(next(place for place, job in enumerate(waiting) if job["id"] == admitted))
        await end(house, waiting[order[-1]])
    assert order == [4, 2, 1, 3, 0]


async def test_as_many_as_the_limit_hold_a_key(house: House) -> None:
    wish = {"command": "true", "concurrency_key": "k", "concurrency": {"limit": 3}}
    jobs = await house.post("/api/v1/jobs/batch", [wish] * 8)
    assert [job["waiting_for"] is None for job in jobs] == [True] * 3 + [False] * 5
    for done, job in enumerate(jobs):
        await end(house, job)
        await house.over(job)
        if done < 5:
            await house.ears.wait(JobAdmitted, done + 1)
        assert sum(isinstance(one, JobAdmitted) for one in house.ears.heard) == min(done + 1, 5)
    assert await claims(house) == 0


async def test_a_key_is_held_until_the_clean_up_is_over(house: House) -> None:
    steps = [A, {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}]
    pipeline = await house.pipeline(*steps, concurrency_key="k")
    first = await house.submit(pipeline_id=pipeline["id"])
    second = await house.submit(pipeline_id=pipeline["id"])
    placed = scheduled(await house.queued(first, "a"))
    await house.say(placed)
    await house.say(started(placed))
    await house.post(f"/api/v1/jobs/{first['id']}/cancel", status=202)
    await house.say(finished(placed, "cancelled", exit_code=None))
    await house.queued(first, "tidy")
    assert not queued(house, second)
    await end(house, first, "tidy")
    await house.queued(second, "a")
    assert (await shown(house, first))["status"] == "cancelled"


async def test_a_job_that_waits_can_be_cancelled(house: House) -> None:
    holder = await house.submit(concurrency_key="k")
    empty = await house.pipeline(concurrency_key="k")
    for job in (await house.submit(concurrency_key="k"), await house.submit(pipeline_id=empty["id"])):
        assert job["status"] == "pending"
        await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
        over = await house.over(job)
        assert (over["status"], over["reason"], over["waiting_for"]) == ("cancelled", "cancelled", None)
    assert await claims(house) == 1
    await end(house, holder)
    await house.over(holder)
    assert await claims(house) == 0


async def test_a_pipeline_without_steps_waits_and_succeeds(house: House) -> None:
    empty = await house.pipeline(concurrency_key="k")
    at_once = await house.submit(pipeline_id=empty["id"])
    assert at_once["status"] == "succeeded"
    holder = await house.submit(concurrency_key="k")
    waits = [await house.submit(pipeline_id=empty["id"]) for _ in range(3)]
    await end(house, holder)
    for job in waits:
        assert (await house.over(job))["status"] == "succeeded"
    assert await claims(house) == 0


async def test_the_time_of_a_job_runs_from_its_admission(house: House) -> None:
    pipeline = await house.pipeline(A, concurrency_key="k", timeout=100)
    holder = await house.submit(pipeline_id=pipeline["id"])
    job = await house.submit(pipeline_id=pipeline["id"])
    assert await house.database.fetch_value("select deadline from jobs where id = $1::uuid", job["id"]) is None
    await end(house, holder)
    await house.queued(job)
    moment = now()
    deadline = await house.database.fetch_value("select deadline from jobs where id = $1::uuid", job["id"])
    assert timedelta(seconds=95) < deadline - moment < timedelta(seconds=101)


async def test_a_job_with_run_at_claims_its_key_only_then(house: House) -> None:
    soon = rfc3339(now() + timedelta(seconds=1.5))
    later = await house.submit(concurrency_key="k", run_at=soon)
    far = await house.submit(concurrency_key="k", run_at=rfc3339(now() + timedelta(hours=1)))
    assert (later["status"], later["waiting_for"]) == ("pending", None)
    between = await house.submit(concurrency_key="k")
    await end(house, between)  # it was queued, although the other came first
    await end(house, later)
    assert (await house.over(later))["status"] == "succeeded"
    assert not queued(house, far)


async def test_a_job_whose_first_step_has_a_bad_expression_frees_its_key(house: House) -> None:
    bad = {"name": "a", "command": ["echo", "${{ params.who }}"], "type": "exec"}
    pipeline = await house.pipeline(bad, concurrency_key="k")
    holder = await house.submit(concurrency_key="k")
    job = await house.submit(pipeline_id=pipeline["id"], params={"other": "x"})
    after = await house.submit(concurrency_key="k")
    await end(house, holder)
    assert (await house.over(job))["status"] == "failed"
    await end(house, after)
    await house.over(after)
    assert await claims(house) == 0


async def test_retries_and_approvals_hold_the_key(house: House) -> None:
    ask = {"name": "ask", "type": "approval", "message": "go on?", "depends_on": ["a"]}
    retried = A | {"retry": {"max_attempts": 2, "delay": 0}}
    pipeline = await house.pipeline(retried, ask, concurrency_key="k")
    job = await house.submit(pipeline_id=pipeline["id"])
    waits = await house.submit(concurrency_key="k")
    await house.say(finished(scheduled(await house.queued(job)), "failed", exit_code=1))
    await house.say(finished(scheduled(await house.queued(job, attempt=2))))
    [asked] = await house.ears.wait(TaskApprovalRequested)
    assert not queued(house, waits)
    await house.post(f"/api/v1/tasks/{asked.task_id}/approve", {}, status=200)
    await end(house, waits)
    assert (await house.over(waits))["status"] == "succeeded"


async def test_a_rerun_keeps_the_key(house: House) -> None:
    declared = {"env": {"default": "test"}}
    pipeline = await house.pipeline(A, params=declared, concurrency_key="deploy-${{ params.env }}")
    job = await house.submit(pipeline_id=pipeline["id"], params={"env": "prod"}, concurrency={"limit": 2})
    assert job["concurrency_key"] == "deploy-prod"
    await end(house, job)
    await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {})
    assert (again["concurrency_key"], again["concurrency"]["limit"]) == ("deploy-prod", 2)


async def test_limits_may_differ_between_the_jobs_of_a_key(house: House) -> None:
    """Each job counts all holders against its own limit, and one that cannot start does not hold up the others."""
    first = await house.submit(concurrency_key="k", concurrency={"limit": 3})
    alone = await house.submit(concurrency_key="k", concurrency={"limit": 1})
    second = await house.submit(concurrency_key="k", concurrency={"limit": 2})
    await house.queued(second)
    third = await house.submit(concurrency_key="k", concurrency={"limit": 2})
    await end(house, first)
    await end(house, third)
    await end(house, second)
    await end(house, alone)
    await house.over(alone)
    assert await claims(house) == 0


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"concurrency_key": ""}, "concurrency_key", "must not be empty"),
        ({"concurrency_key": "k" * 10_000}, "concurrency_key", "at most 1000"),
        ({"concurrency_key": "k" * 501}, "concurrency_key", "500"),
        ({"concurrency_key": "a\nb"}, "concurrency_key", "control a terminal"),
        ({"concurrency_key": "  "}, "concurrency_key", "visible"),
        ({"concurrency_key": "${{ params.who }}"}, "concurrency_key", "no parameter 'who'"),
        ({"concurrency_key": "${{ job.id }}"}, "concurrency_key", "only refer to params"),
        ({"concurrency_key": "${{ params.who"}, "concurrency_key", "has no '}}'"),
        ({"concurrency_key": "k", "concurrency": {"limit": 0}}, "concurrency", ""),
        ({"concurrency_key": "k", "concurrency": {"limit": 1001}}, "concurrency", ""),
        ({"concurrency_key": "k", "concurrency": {"when_full": "wait"}}, "concurrency", ""),
        ({"concurrency": {"limit": 2}}, None, "needs a concurrency_key"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    house: House, fields: dict[str, object], place: str | None, words: str
) -> None:
    problem = await house.post("/api/v1/jobs", {"command": "true"} | fields, status=422)
    [error] = problem["errors"]
    assert place is None or error["loc"][:2] == ["body", place]
    assert words in error["msg"]


async def test_a_key_that_is_empty_with_its_values_is_refused(house: House) -> None:
    pipeline = await house.pipeline(A, concurrency_key="${{ params.env }}", params={"env": {"default": ""}})
    problem = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, status=422)
    [error] = problem["errors"]
    assert (error["loc"], error["type"]) == (["body", "concurrency_key"], "bad_key")
    assert "is empty" in error["msg"]


async def test_a_pipeline_whose_key_can_have_no_value_is_refused(house: House) -> None:
    params = {"env": {"default": "x"}, "who": {}}
    for key, word in (
        ("${{ params.nev }}", "did you mean env"),
        ("${{ params.who }}", "may be without"),
        ("${{ steps.a.outputs.X }}", "no step has the name"),
        ("${{ job.id }}", "only refer to params"),
        ("a\tb", "control a terminal"),
    ):
        body = {"name": "p", "steps": [A], "params": params, "concurrency_key": key}
        problem = await house.post("/api/v1/pipelines", body, status=422)
        [error] = problem["errors"]
        assert error["loc"] == ["body", "concurrency_key"]
        assert word in error["msg"]
    await house.post("/api/v1/pipelines", {"name": "p", "concurrency": {"limit": 2}}, status=422)
    wish = {"command": "true", "concurrency_key": "ok"}
    pipeline = await house.pipeline(A)
    problem = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"], "concurrency": {}}, status=422)
    assert problem["errors"][0]["loc"] == ["body", "concurrency"]
    problem = await house.post("/api/v1/jobs/batch", [wish, wish | {"concurrency_key": "  "}], status=422)
    assert problem["errors"][0]["loc"] == ["body", 1, "concurrency_key"]


# ---------------------------------------------------------------------- when_full


def wish(when_full: str, limit: int = 1, **fields: object) -> dict[str, object]:
    return {
        "command": "true",
        "concurrency_key": "k",
        "concurrency": {"limit": limit, "when_full": when_full},
        **fields,
    }


async def test_reject_is_a_conflict_that_names_the_holder(house: House) -> None:
    holder = await house.post("/api/v1/jobs", wish("reject", name="the holder"))
    headers = {"Idempotency-Key": "one"}
    problem = await house.post("/api/v1/jobs", wish("reject"), status=409, headers=headers)
    assert problem["type"] == "urn:hodei:problem:conflict"
    what = f"the concurrency key 'k' lets at most 1 job at a time run, and job {holder['id']} (the holder) holds it"
    assert problem["detail"] == what
    good = {"command": "true", "name": "good"}
    problem = await house.post("/api/v1/jobs/batch", [good, wish("reject")], status=409)
    assert problem["detail"] == f"job 1 of the batch: {what}"
    assert await house.get("/api/v1/jobs?name=good") == []
    await end(house, holder)
    await house.over(holder)
    accepted = await house.post("/api/v1/jobs", wish("reject"), headers=headers)
    assert await house.post("/api/v1/jobs", wish("reject"), headers=headers) == accepted  # it is replayed
    await end(house, accepted)
    await house.over(accepted)
    problem = await house.post("/api/v1/jobs/batch", [wish("reject")] * 2, status=409)
    assert problem["detail"].startswith("job 1 of the batch")
    assert await claims(house) == 0


async def test_cancel_newest_cancels_the_new_job_at_once(house: House) -> None:
    pipeline = await house.pipeline(A, B | {"when": "always"}, concurrency_key="k", concurrency={"limit": 2})
    holders = [await house.post("/api/v1/jobs", wish("queue", 2, name=name)) for name in ("one", "two")]
    newest = {"limit": 2, "when_full": "cancel_newest"}
    job = await house.submit(pipeline_id=pipeline["id"], concurrency=newest)
    assert (job["status"], job["reason"]) == ("cancelled", "concurrency_limit")
    names = " and ".join(f"job {one['id']} ({one['name']})" for one in holders)
    assert job["detail"] == f"the concurrency key 'k' lets at most 2 jobs at a time run, and {names} hold it"
    assert {(task["status"], task["reason"]) for task in job["tasks"]} == {("cancelled", "concurrency_limit")}
    [told] = await house.ears.wait(JobCancelled)
    assert (told.job_id, told.reason, told.detail) == (job["id"], "concurrency_limit", job["detail"])
    assert await shown(house, job) == job
    assert await claims(house) == 2


async def test_cancel_oldest_replaces_the_holder_after_its_clean_up(house: House) -> None:
    tidy = {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}
    pipeline = await house.pipeline(A, tidy, concurrency_key="k", concurrency={"when_full": "cancel_oldest"})
    old = await house.submit(pipeline_id=pipeline["id"])
    placed = scheduled(await house.queued(old, "a"))
    await house.say(placed)
    await house.say(started(placed))
    await house.ears.wait(JobStarted)
    middle = await house.submit(pipeline_id=pipeline["id"])
    [asked] = await house.ears.wait(TaskCancelRequested)
    assert (asked.job_id, asked.reason) == (old["id"], "superseded")
    new = await house.submit(pipeline_id=pipeline["id"])
    over = await house.over(middle)
    assert (over["status"], over["reason"]) == ("cancelled", "superseded")
    assert over["detail"] == f"job {new['id']} with the same concurrency key has taken its place"
    await house.say(finished(placed, "cancelled", exit_code=None))
    await house.queued(old, "tidy")
    assert not queued(house, new)
    await end(house, old, "tidy")
    await house.queued(new, "a")
    over = await shown(house, old)
    assert (over["status"], over["reason"]) == ("cancelled", "superseded")
    assert over["detail"] == f"job {middle['id']} with the same concurrency key has taken its place"


async def test_cancel_oldest_with_many_holders_and_waiters_keeps_the_newest(house: House) -> None:
    old = [await house.post("/api/v1/jobs", wish("queue", 3)) for _ in range(7)]
    placed = [scheduled(await house.queued(job)) for job in old[:3]]
    await house.say(*placed)
    await house.say(*map(started, placed))
    await house.ears.wait(JobStarted, 3)
    new = await house.post("/api/v1/jobs", wish("cancel_oldest", 3))
    assert new["status"] == "pending"
    asked = await house.ears.wait(TaskCancelRequested, 3)
    assert {one.job_id for one in asked} == {job["id"] for job in old[:3]}
    for job in old[3:5]:
        assert (await house.over(job))["reason"] == "superseded"
    assert not any(isinstance(one, JobAdmitted) for one in house.ears.heard)
    await house.say(*(finished(one, "cancelled", exit_code=None) for one in placed))
    admitted = await house.ears.wait(JobAdmitted, 3)
    assert {one.job_id for one in admitted} == {old[5]["id"], old[6]["id"], new["id"]}


async def test_cancel_oldest_within_one_batch_keeps_the_last_ones(house: House) -> None:
    jobs = await house.post("/api/v1/jobs/batch", [wish("cancel_oldest", 2)] * 5)
    assert [job["status"] for job in jobs] == ["cancelled"] * 3 + ["pending"] * 2
    assert [job["waiting_for"] for job in jobs[3:]] == [None, None]
    assert {job["reason"] for job in jobs[:3]} == {"superseded"}
    for job in jobs[3:]:
        await end(house, job)
        assert (await house.over(job))["status"] == "succeeded"
    assert await claims(house) == 0


@pytest.mark.parametrize("when_full", ["reject", "cancel_newest"])
async def test_at_its_run_at_a_job_that_must_not_wait_is_cancelled(house: House, when_full: str) -> None:
    holder = await house.post("/api/v1/jobs", wish("queue"))
    job = await house.post("/api/v1/jobs", wish(when_full, run_at=rfc3339(now() + timedelta(seconds=0.5))))
    assert job["status"] == "pending"
    over = await house.over(job)
    assert (over["status"], over["reason"]) == ("cancelled", "concurrency_limit")
    assert holder["id"] in over["detail"]


async def test_at_its_run_at_a_job_replaces_the_oldest(house: House) -> None:
    holder = await house.post("/api/v1/jobs", wish("queue"))
    job = await house.post("/api/v1/jobs", wish("cancel_oldest", run_at=rfc3339(now() + timedelta(seconds=0.5))))
    [asked] = await house.ears.wait(TaskCancelRequested)
    assert asked.job_id == holder["id"]
    await house.say(finished(scheduled(await house.queued(holder)), "cancelled", exit_code=None))
    await end(house, job)
    assert (await house.over(job))["status"] == "succeeded"


async def test_what_is_being_stopped_anyway_is_not_cancelled_twice(house: House) -> None:
    """A second cancel would end its clean-up."""
    tidy = {"name": "tidy", "command": "true", "depends_on": ["a"], "when": "always"}
    pipeline = await house.pipeline(A, tidy, concurrency_key="k")
    old = await house.submit(pipeline_id=pipeline["id"])
    placed = scheduled(await house.queued(old, "a"))
    await house.say(placed)
    await house.say(started(placed))
    await house.ears.wait(JobStarted)
    await house.post(f"/api/v1/jobs/{old['id']}/cancel", status=202)
    await house.say(finished(placed, "cancelled", exit_code=None))
    order = await house.queued(old, "tidy")
    new = await house.post("/api/v1/jobs", wish("cancel_oldest"))
    newer = await house.post("/api/v1/jobs", wish("cancel_oldest"))
    assert (await house.over(new))["reason"] == "superseded"
    await house.say(finished(scheduled(order)))
    await end(house, newer)
    over = await shown(house, old)
    assert (over["reason"], over["tasks"][1]["status"]) == ("cancelled", "succeeded")


# ---------------------------------------------------------------------- what is shown


async def test_a_job_that_cannot_be_read_does_not_hold_up_others(house: House) -> None:
    """As after an upgrade for which what is stored is not valid. It is first in line, and first to arrive."""
    holders = [await house.submit(concurrency_key=key) for key in ("k", "other")]
    soon = rfc3339(now() + timedelta(seconds=1))
    broken = [await house.submit(concurrency_key="k"), await house.submit(concurrency_key="late", run_at=soon)]
    for job in broken:
        spoil = 'update tasks set retry = \'{"max_attempts": "many"}\' where job_id = $1'
        await house.database.execute(spoil, job["id"])
    next_ones = [await house.submit(concurrency_key=key) for key in ("k", "other")]
    later = await house.submit(concurrency_key="later", run_at=soon)

    for job in holders:
        await end(house, job)

    for job in next_ones:
        await house.queued(job)
    await house.queued(later)
    assert not any(queued(house, job) for job in broken)


async def test_a_job_that_cannot_be_read_does_not_keep_others_from_their_deadlines(house: House) -> None:
    first, second = [await house.pipeline(A, timeout=seconds) for seconds in (1, 1.1)]
    broken = await house.submit(pipeline_id=first["id"])
    spoil = 'update tasks set retry = \'{"max_attempts": "many"}\' where job_id = $1'
    await house.database.execute(spoil, broken["id"])
    other = await house.submit(pipeline_id=second["id"])
    task = await house.queued(other)

    stopped = await house.ears.wait(TaskCancelRequested, where=lambda one: one.job_id == other["id"])

    assert stopped[0].task_id == task.task_id
    assert (await house.database.fetch_value("select stopping from jobs where id = $1", broken["id"])) is None


async def test_the_list_has_the_keys_with_their_holders(house: House) -> None:
    assert await house.get("/api/v1/concurrency") == []
    first = await house.submit(concurrency_key="a key", name="first", concurrency={"limit": 2})
    await house.submit(concurrency_key="a key", concurrency={"limit": 2})
    waits = await house.submit(concurrency_key="a key", concurrency={"limit": 2})
    await house.submit(concurrency_key="b", run_at=rfc3339(now() + timedelta(hours=1)))
    await house.submit(concurrency_key="c")
    [key, other] = await house.get("/api/v1/concurrency")
    assert (key["key"], key["limit"], key["holding"], key["waiting"]) == ("a key", 2, 2, 1)
    assert key["waiting_since"] == waits["created_at"]
    assert key["holders"][0] == {"job_id": first["id"], "job_name": "first", "since": first["created_at"]}
    assert len(key["holders"]) == 2
    assert (other["key"], other["waiting"], other["waiting_since"]) == ("c", 0, None)
    assert await house.get("/api/v1/concurrency?key=c") == [other]
    assert await house.get("/api/v1/concurrency?key=C") == []
    jobs = await house.get("/api/v1/jobs?concurrency_key=a%20key")
    assert [job["waiting_for"] for job in jobs] == ["the concurrency key a key", None, None]


async def test_the_list_has_pages_in_the_order_of_the_keys(house: House) -> None:
    keys = sorted([*(f"key {number:03}" for number in range(25)), "k" * 500, "k" * 499, "ü" * 300])
    for first in range(0, len(keys), 10):
        wishes = [{"command": "true", "concurrency_key": key} for key in keys[first : first + 10]]
        await house.post("/api/v1/jobs/batch", wishes)
    found = [one["key"] async for page in house.pages("/api/v1/concurrency?limit=4") for one in page]
    assert sorted(found) == keys
    await house.get("/api/v1/concurrency?cursor=x", status=422)


async def test_a_job_that_waits_names_the_holders_and_its_position(house: House) -> None:
    holder = await house.submit(concurrency_key="k", name="the holder")
    pipeline = await house.pipeline(A, B, concurrency_key="k")
    jobs = [await house.submit(pipeline_id=pipeline["id"], priority=name) for name in ("normal", "low", "high")]
    who = f"the concurrency key 'k' lets at most 1 job at a time run, and job {holder['id']} (the holder) holds it"
    for job, position in zip(jobs, (2, 3, 1), strict=True):
        wait = (await shown(house, job))["key_wait"]
        place = "it is the next one" if position == 1 else f"it is number {position} of 3 that wait"
        assert (wait["key"], wait["limit"], wait["holding"], wait["waiting"]) == ("k", 1, 1, 3)
        assert (wait["position"], wait["holders"][0]["job_id"]) == (position, holder["id"])
        assert wait["summary"] == f"waits: {who}; {place}"
        told = await ask(house.bus, TASK, TaskQuestion(task_id=job["tasks"][1]["id"]))
        assert told.waiting_for == wait["summary"]
    assert (await shown(house, holder))["key_wait"] is None
    far = await house.submit(concurrency_key="k", run_at="2060-01-01T00:00:00Z")
    wait = (await shown(house, far))["key_wait"]
    assert wait["position"] is None
    assert wait["summary"] == (
        "is not due before 2060-01-01T00:00:00.000000Z, and claims the concurrency key 'k' only then"
    )


async def test_metrics_count_holders_and_waiters(house: House) -> None:
    holder = await house.submit(concurrency_key="k")
    waits = await house.submit(concurrency_key="k")
    told = await metrics(house)
    assert "hodei_concurrency_holding 1.0" in told
    assert "hodei_concurrency_waiting 1.0" in told
    await end(house, holder)
    await end(house, waits)
    await house.over(waits)
    assert "hodei_concurrency_wait_seconds_count 1.0" in await metrics(house)


async def metrics(house: House) -> str:
    async with house.http.get(f"{house.url}/metrics") as answer:
        return await answer.text()


async def test_a_change_of_priority_changes_the_place_of_a_job_that_waits(house: House) -> None:
    holder = await house.submit(concurrency_key="k")
    jobs = [await house.submit(concurrency_key="k") for _ in range(3)]
    await house.call("PATCH", f"/api/v1/jobs/{jobs[2]['id']}", {"priority": "high"})
    assert (await shown(house, jobs[2]))["key_wait"]["position"] == 1
    await end(house, holder)
    [admitted] = await house.ears.wait(JobAdmitted)
    assert admitted.job_id == jobs[2]["id"]
    assert (await house.queued(jobs[2])).priority == "high"


async def test_a_job_without_a_key_does_not_touch_the_claims(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its creation nor its end, reruns and schedules included."""
    await house.part(Admission).stop()
    for name, method in vars(ClaimStore).items():
        if callable(method) and not name.startswith("_"):
            monkeypatch.setattr(ClaimStore, name, None)
    pipeline = await house.pipeline(A, B)
    job = await house.submit(pipeline_id=pipeline["id"])
    await end(house, job, "a")
    await end(house, job, "b")
    assert (await house.over(job))["status"] == "succeeded"
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun", {})
    await house.post(f"/api/v1/jobs/{again['id']}/cancel", status=202)
    target = JobTarget(pipeline_id=pipeline["id"])
    fired = ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target, due_at=now())
    await house.say(fired)
    await end(house, {"id": fired.job_id}, "a")


async def test_a_schedule_whose_key_is_full_is_refused_as_overlap_and_a_repetition_changes_nothing(
    house: House,
) -> None:
    holder = await house.submit(concurrency_key="k")
    spec = ConcurrencySpec(when_full="reject")
    target = JobTarget(command=CommandSpec(command="true"), concurrency_key="k", concurrency=spec)
    first = ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target, due_at=now())
    await house.say(first)
    [refused] = await house.ears.wait(ScheduleRefused)
    assert (refused.reason, holder["id"] in refused.detail) == ("overlap", True)
    await end(house, holder)
    await house.over(holder)
    second = first.model_copy(update={"job_id": new_id()})
    await house.say(second)
    await house.queued({"id": second.job_id})
    await house.say(second)  # it holds the key itself
    await house.ears.wait(ScheduleConfirmed, 2)
    assert len(await house.ears.wait(ScheduleRefused)) == 1
    await end(house, {"id": second.job_id})
    await house.over({"id": second.job_id})
    assert await claims(house) == 0


async def test_ten_thousand_jobs_wait_for_a_key_and_one_more_is_turned_away(house: House) -> None:
    await house.part(Admission).stop()
    await house.submit(concurrency_key="k")
    await house.database.execute(
        """
        insert into claims (job_id, space, key, slot_limit, when_full, rank, since, arrived)
        select gen_random_uuid(), 'key', 'k', 1, 'queue', 1, now(), true from generate_series(1, 9999)
        """
    )
    await house.submit(concurrency_key="k")
    for fields in ({}, {"run_at": "2060-01-01T00:00:00Z"}):
        body = {"command": "true", "concurrency_key": "k", **fields}
        async with house.http.post(f"{house.url}/api/v1/jobs", json=body) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (429, True)
            assert "10,000 jobs wait for the concurrency key 'k' already" in (await answer.json())["detail"]
    await house.post("/api/v1/jobs", wish("cancel_newest"))
    await house.post("/api/v1/jobs", wish("reject"), status=409)
    await house.submit(concurrency_key="K")
