"""Every route of the scheduler, over HTTP, with exactly the statuses that the contract names."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

from openapi_spec_validator import validate

from schemas.events import (
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFired,
    ScheduleRefused,
    TaskCancelRequested,
    TaskScheduled,
    TaskWithdrawn,
    WorkerDraining,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerUnhealthy,
)
from schemas.model import rfc3339
from schemas.refusals import RefusalReason
from schemas.rest.schedules import Explanation, QueuedTask, Schedule
from schemas.rest.workers import RegisteredWorker
from shared.ids import new_id
from tests.integration.scheduler.conftest import DEADLINE, House, Opener, queued

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


async def rows(house: House, path: str) -> list[dict[str, object]]:
    found = await house.get(path)
    assert isinstance(found, list)
    return found


async def pages(house: House, path: str) -> list[dict[str, object]]:
    """All rows, by following the links."""
    found: list[dict[str, object]] = []
    following: str | None = path
    while following is not None:
        async with house.http.get(house.url + following) as answer:
            assert answer.status == 200, await answer.text()
            found += await answer.json()
            link = answer.links.get("next")
            following = None if link is None else link["url"].raw_path_qs
    return found


# ------------------------------------------------------------------ schedules


async def test_a_command_that_is_scheduled_for_now_fires_at_once_and_once(house: Opener) -> None:
    here = await house()
    made = await here.post("/api/v1/schedule", {"command": "true", "name": "one"}, 201)
    shown = Schedule.model_validate(made)
    assert shown.status == "scheduled"
    assert TIME.match(str(made["next_run_at"]))
    [created] = await here.ears.wait(ScheduleCreated)
    [fired] = await here.ears.wait(ScheduleFired)
    assert created.schedule_id == fired.schedule_id == shown.id
    assert fired.target.command is not None
    assert fired.target.command.command == "true"
    after = Schedule.model_validate(await here.get(f"/api/v1/scheduled/{shown.id}"))
    assert (after.status, after.next_run_at, after.last_job_id) == ("completed", None, fired.job_id)
    assert len(here.ears.of(ScheduleFired)) == 1


async def test_a_later_schedule_fires_at_its_time(house: Opener) -> None:
    here = await house()
    due = datetime.now(UTC) + timedelta(milliseconds=300)
    await here.post("/api/v1/schedule", {"command": ["echo", "x"], "run_at": rfc3339(due)}, 201)
    [fired] = await here.ears.wait(ScheduleFired)
    assert fired.due_at == due
    assert datetime.now(UTC) >= due


async def test_a_removed_schedule_does_not_fire(house: Opener) -> None:
    here = await house()
    later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    made = await here.post("/api/v1/schedule", {"command": "true", "run_at": later}, 201)
    await here.delete(f"/api/v1/scheduled/{made['id']}")
    await here.ears.wait(ScheduleDeleted)
    await here.delete(f"/api/v1/scheduled/{made['id']}", 404)
    await here.get(f"/api/v1/scheduled/{made['id']}", 404)
    assert await rows(here, "/api/v1/scheduled") == []


async def test_a_job_that_does_not_exist_is_not_found(house: Opener) -> None:
    here = await house()
    job_id = new_id()
    asking = asyncio.create_task(here.post("/api/v1/schedule", {"job_id": job_id}, 404, **{"Idempotency-Key": "one"}))
    [created] = await here.ears.wait(ScheduleCreated)
    await here.say(
        ScheduleRefused(
            schedule_id=created.schedule_id, reason=RefusalReason.NOT_FOUND, detail=f"there is no job {job_id}"
        )
    )
    assert job_id in str((await asking)["detail"])
    await here.ears.wait(ScheduleDeleted)
    assert await rows(here, "/api/v1/scheduled") == []
    await here.post("/api/v1/schedule", {"pipeline_id": "nonsense"}, 404)


async def test_a_job_that_exists_is_confirmed(house: Opener) -> None:
    here = await house()
    asking = asyncio.create_task(here.post("/api/v1/schedule", {"pipeline_id": new_id()}, 201))
    [created] = await here.ears.wait(ScheduleCreated)
    await here.say(ScheduleConfirmed(schedule_id=created.schedule_id))
    assert (await asking)["id"] == created.schedule_id


async def test_a_firing_that_is_refused_has_failed(house: Opener) -> None:
    here = await house()
    made = await here.post("/api/v1/schedule", {"command": "true"}, 201)
    [fired] = await here.ears.wait(ScheduleFired)
    refusal = ScheduleRefused(
        schedule_id=fired.schedule_id, job_id=fired.job_id, reason=RefusalReason.INVALID, detail="not so"
    )
    await here.say(refusal)
    async with asyncio.timeout(DEADLINE):
        while True:
            shown = Schedule.model_validate(await here.get(f"/api/v1/scheduled/{made['id']}"))
            if shown.status == "failed":
                break
    assert shown.last_error == "not so"


async def test_the_same_key_schedules_once(house: Opener) -> None:
    here = await house()
    body = {"command": "true", "run_at": rfc3339(datetime.now(UTC) + timedelta(hours=1))}
    first = await here.post("/api/v1/schedule", body, 201, **{"Idempotency-Key": "k"})
    assert await here.post("/api/v1/schedule", body, 201, **{"Idempotency-Key": "k"}) == first
    assert len(await rows(here, "/api/v1/scheduled")) == 1


async def test_schedules_are_listed_newest_first_in_pages_and_by_filter(house: Opener) -> None:
    here = await house()
    later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    made = [await here.post("/api/v1/schedule", {"command": "true", "run_at": later}, 201) for _ in range(5)]
    ids = [one["id"] for one in reversed(made)]
    assert [one["id"] for one in await pages(here, "/api/v1/scheduled?limit=2")] == ids
    assert [one["id"] for one in await pages(here, "/api/v1/scheduled?limit=2&status=scheduled")] == ids
    assert await rows(here, "/api/v1/scheduled?status=failed") == []
    assert await rows(here, "/api/v1/scheduled?job_id=nonsense") == []
    await here.get("/api/v1/scheduled?cursor=nonsense", 422)


# ------------------------------------------------------------------ workers


async def test_a_worker_without_an_agent_is_listed_and_never_sent_anything(house: Opener) -> None:
    here = await house()
    made = await here.post("/api/v1/workers", {"type": "rust"}, 200)
    shown = RegisteredWorker.model_validate(made)
    assert (shown.type, shown.status, shown.has_agent, shown.slots) == ("rust", "online", False, 0)
    [registered] = await here.ears.wait(WorkerRegistered)
    assert not registered.has_agent
    one = queued(requires={"type": "rust"})
    await here.say(one)
    agent = await here.agent()
    other = queued()
    await here.say(other)
    assert [event.task_id for event in await here.ears.wait(TaskScheduled)] == [other.task_id]
    found = Explanation.model_validate(await here.get(f"/api/v1/tasks/{one.task_id}/explain"))
    refusals = {verdict.worker_id: verdict.refusal for verdict in found.workers}
    assert refusals[shown.id] == "has no agent"
    assert refusals[agent.id] == "has type=default, the task requires type=rust"


async def test_its_lease_ends_without_heartbeats_and_one_brings_it_back(house: Opener) -> None:
    here = await house(lease=1)
    id = (await here.post("/api/v1/workers", {"type": "rust"}, 200))["id"]
    await here.ears.wait(WorkerOffline, where=lambda event: event.worker_id == id)
    assert [one["id"] for one in await rows(here, "/api/v1/workers?status=offline")] == [id]
    back = await here.post(f"/api/v1/workers/{id}/heartbeat", {"labels": {"zone": "b"}}, 200)
    assert (back["status"], back["labels"]) == ("online", {"zone": "b"})
    await here.post(f"/api/v1/workers/{id}/heartbeat", None, 200)
    await here.post(f"/api/v1/workers/{new_id()}/heartbeat", {}, 404)


async def test_a_drained_worker_gets_nothing_new_and_its_agent_is_told(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    drained = await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202)
    assert drained["status"] == "draining"
    await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202)
    async with asyncio.timeout(DEADLINE):
        assert not (await agent.drains.get()).exit
    await agent.beat(draining=True)
    other = await here.agent()
    tasks = [queued() for _ in range(2)]
    await here.say(*tasks)
    assert {event.worker_id for event in await here.ears.wait(TaskScheduled, 2)} == {other.id}
    await agent.beat(draining=True, leaving=True)
    await here.ears.wait(WorkerOffline)
    assert [event.worker_id for event in here.ears.of(WorkerDraining)] == [agent.id]
    await here.post(f"/api/v1/workers/{agent.id}/drain", None, 409)


async def test_a_drain_that_the_agent_begins_is_told_of_once_and_an_ordered_one_besides(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await agent.beat(draining=True)
    [told] = await here.ears.wait(WorkerDraining)
    assert (told.worker_id, told.incarnation) == (agent.id, agent.incarnation)
    shown = RegisteredWorker.model_validate(await here.get(f"/api/v1/workers/{agent.id}"))
    assert shown.status == "draining"
    await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202)
    await agent.beat(draining=True, leaving=True)
    await here.ears.wait(WorkerOffline)
    assert [event.ordered for event in here.ears.of(WorkerDraining)] == [False, True]


async def test_an_unhealthy_worker_is_shown_with_its_reason_and_gets_nothing(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await agent.beat(unhealthy="the disk is full")
    [told] = await here.ears.wait(WorkerUnhealthy)
    assert (told.worker_id, told.incarnation, told.detail) == (agent.id, agent.incarnation, "the disk is full")
    [shown] = await rows(here, "/api/v1/workers?status=unhealthy")
    assert (shown["id"], shown["reason"]) == (agent.id, "the disk is full")
    task, other = queued(), queued()
    await here.say(task, other)
    await here.say(TaskCancelRequested(task_id=other.task_id, job_id=other.job_id, attempt=1))
    await here.ears.wait(TaskWithdrawn)  # so that both have arrived
    found = Explanation.model_validate(await here.get(f"/api/v1/tasks/{task.task_id}/explain"))
    assert [verdict.refusal for verdict in found.workers] == ["is unhealthy: the disk is full"]
    async with here.http.get(f"{here.url}/metrics") as answer:
        assert 'hodei_scheduler_workers{status="unhealthy"} 1.0' in await answer.text()
    await agent.beat()
    await here.ears.wait(WorkerRecovered)
    [order] = await here.ears.wait(TaskScheduled)
    assert order.worker_id == agent.id
    assert RegisteredWorker.model_validate(await here.get(f"/api/v1/workers/{agent.id}")).reason is None
    await agent.beat(unhealthy="the disk is full")
    await here.ears.wait(WorkerUnhealthy, 2)
    assert (await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202))["status"] == "draining"


async def test_a_worker_is_removed_unless_something_is_placed_there(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await here.say(queued())
    await here.ears.wait(TaskScheduled)
    await here.delete(f"/api/v1/workers/{agent.id}", 409)
    idle = await here.agent()
    await here.delete(f"/api/v1/workers/{idle.id}")
    await here.delete(f"/api/v1/workers/{idle.id}", 404)
    async with asyncio.timeout(DEADLINE):
        assert (await idle.drains.get()).exit
    assert [one["id"] for one in await rows(here, "/api/v1/workers")] == [agent.id]


async def test_workers_are_listed_newest_first_in_pages_and_by_filter(house: Opener) -> None:
    here = await house()
    made = [await here.post("/api/v1/workers", {"type": "rust", "name": f"n{n}"}, 200) for n in range(3)]
    await here.post("/api/v1/workers", {}, 200)
    ids = [one["id"] for one in reversed(made)]
    assert [one["id"] for one in await pages(here, "/api/v1/workers?limit=1&type=rust")] == ids
    assert [one["id"] for one in await rows(here, "/api/v1/workers?name=n1")] == [made[1]["id"]]
    labelled = await here.post("/api/v1/workers", {"type": "go", "labels": {"zone": "north", "disk": "ssd"}})
    for query, found in (
        ("label=zone=north&label=disk=ssd", [labelled["id"]]),
        ("label=zone=south", []),
        ("type=go&has_agent=false&drained=false", [labelled["id"]]),
        ("type=go&has_agent=true", []),
        ("type=go&drained=true", []),
    ):
        assert [one["id"] for one in await rows(here, f"/api/v1/workers?{query}")] == found, query
    named = await here.post("/api/v1/schedule", {"command": "true", "name": "nightly"}, status=201)
    assert [one["id"] for one in await rows(here, "/api/v1/scheduled?name=nightly")] == [named["id"]]
    assert await rows(here, "/api/v1/scheduled?name=daily") == []


# ------------------------------------------------------------------ queue


async def test_the_queue_is_shown_in_the_order_in_which_it_would_run(house: Opener) -> None:
    here = await house()
    now = datetime.now(UTC)
    late = queued(name="late", run_at=now + timedelta(hours=1), priority="critical")
    later = queued(name="later", run_at=now + timedelta(hours=2))
    tasks = [
        queued(name="low", priority="low", queued_at=now - timedelta(seconds=9)),
        queued(name="second", queued_at=now - timedelta(seconds=1)),
        queued(name="first", queued_at=now - timedelta(seconds=2), requires={"zone": "a"}),
        queued(name="critical", priority="critical", queued_at=now),
        late,
        later,
    ]
    await here.say(*tasks)
    async with asyncio.timeout(DEADLINE):
        while len(await rows(here, "/api/v1/queue")) < len(tasks):
            pass
    names = ["critical", "first", "second", "low", "late", "later"]
    for limit in (1, 2, 4, 100):
        found = [QueuedTask.model_validate(one) for one in await pages(here, f"/api/v1/queue?limit={limit}")]
        assert [one.name for one in found] == names
        assert [one.position for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one["name"] for one in await rows(here, "/api/v1/queue?priority=critical")] == ["critical", "late"]
    assert [one["name"] for one in await rows(here, f"/api/v1/queue?job_id={late.job_id}")] == ["late"]
    agent = await here.agent(slots=10)
    placed = await here.ears.wait(TaskScheduled, 3)
    assert [one.name for one in placed] == ["critical", "second", "low"]
    found = Explanation.model_validate(await here.get(f"/api/v1/tasks/{tasks[2].task_id}/explain"))
    assert [verdict.refusal for verdict in found.workers] == ["lacks the label zone=a"]
    assert found.workers[0].worker_id == agent.id
    due = Explanation.model_validate(await here.get(f"/api/v1/tasks/{late.task_id}/explain"))
    assert (due.position, due.summary.startswith("is not due before")) == (None, True)


async def test_what_nobody_knows_is_not_found(house: Opener) -> None:
    here = await house()
    for path in ("workers/{}", "scheduled/{}"):
        await here.get(f"/api/v1/{path.format(new_id())}", 404)
        await here.get(f"/api/v1/{path.format('nonsense')}", 404)


async def test_the_openapi_document_is_valid_and_names_every_route(house: Opener) -> None:
    here = await house()
    document = await here.get("/openapi.json")
    assert isinstance(document, dict)
    validate(document)
    assert {
        "/api/v1/schedule",
        "/api/v1/scheduled",
        "/api/v1/scheduled/{id}",
        "/api/v1/workers",
        "/api/v1/workers/{id}",
        "/api/v1/workers/{id}/heartbeat",
        "/api/v1/workers/{id}/drain",
        "/api/v1/workers/{id}/resume",
        "/api/v1/queue",
        "/api/v1/tasks/{id}/explain",
    } <= set(document["paths"])


async def test_the_metrics_tell_of_queue_and_workers(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await here.say(queued(priority="high"), queued(priority="high"), queued(run_at=tomorrow))
    await here.ears.wait(TaskScheduled)
    async with here.http.get(f"{here.url}/metrics") as answer:
        text = await answer.text()
    for line in (
        'hodei_scheduler_queue_depth{priority="high"} 1.0',
        'hodei_scheduler_workers{status="online"} 1.0',
        "hodei_scheduler_slots 1.0",
        "hodei_scheduler_slots_busy 1.0",
        "hodei_scheduler_slots_free 0.0",
        "hodei_scheduler_queue_delayed 1.0",
        'hodei_scheduler_queue_wait_seconds_count{priority="high"} 1.0',
        'hodei_scheduler_queue_wait_seconds_count{priority="low"} 0.0',
        'hodei_leader{role="scheduler"} 1.0',
        'hodei_health_check_up{check="database"} 1.0',
        'hodei_bus_consumer_pending_messages{consumer="scheduler-placement"} 0.0',
        "hodei_scheduler_placements_total 1.0",
    ):
        assert line in text.splitlines()
