"""Orders go out to agents, reports come in: what the table says afterwards."""

import asyncio
from itertools import permutations

import pytest

from schemas.agents import PROTOCOL, Dispatch, Heartbeat, Stop
from schemas.events import (
    EventData,
    ExecutionCompleted,
    ExecutionRefused,
    ExecutionRequested,
    TaskExpired,
    TaskWithdrawn,
)
from schemas.refusals import RefusalReason
from schemas.states import ExecutionStatus
from shared.ids import new_id
from tests.integration.worker_manager.conftest import Platform, Running, events_in
from tests.unit.worker_manager.events import LATER, NOON, Script
from worker_manager.heartbeat_listener import HeartbeatListener


async def test_orders_of_one_batch_reach_each_worker_as_one_message(platform: Platform, manager: Running) -> None:
    worker, incarnation = new_id(), new_id()
    scripts = [Script(worker, incarnation) for _ in range(5)]
    agent = await platform.listen_to_agent(worker, "run")

    await platform.say(*(script.scheduled() for script in scripts))

    dispatch = Dispatch.model_validate_json(await agent.next())
    assert [one.execution_id for one in dispatch.assignments] == [script.execution_id for script in scripts]
    assert dispatch.incarnation == incarnation
    await manager.recorded(5)
    row = await platform.row(scripts[0].execution_id)
    assert (row["status"], str(row["worker_id"]), row["exit_code"]) == ("pending", worker, None)
    assert "secret" in row["assignment"]


async def test_a_cancelled_execution_is_stopped_at_its_worker(platform: Platform, manager: Running) -> None:
    script = Script()
    agent = await platform.listen_to_agent(script.worker_id, "stop")

    await platform.say(script.scheduled(), script.cancel())

    assert Stop.model_validate_json(await agent.next()).execution_ids == [script.execution_id]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_in_whatever_order_the_reports_come_the_outcome_is_the_same(
    platform: Platform, manager: Running, order: tuple[int, ...]
) -> None:
    script = Script()
    story: list[EventData] = [
        script.scheduled(),
        script.started(),
        script.finished(ExecutionStatus.FAILED, exit_code=7),
    ]

    for number in order:
        await platform.say(story[number])
        await manager.recorded(order.index(number) + 1)

    shown = await manager.call("GET", f"/executions/{script.execution_id}")
    assert (shown["status"], shown["exit_code"], shown["worker_id"]) == ("failed", 7, script.worker_id)
    assert shown["started_at"] == "2026-11-24T12:00:00.000000Z"
    assert shown["finished_at"] == "2026-11-24T12:00:03.000000Z"
    told = (await manager.metrics()).splitlines()
    assert 'hodei_executions_total{outcome="failed"} 1.0' in told
    assert 'hodei_execution_run_seconds_sum{outcome="failed"} 3.0' in told


async def test_an_order_is_kept_only_until_its_worker_has_it(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.say(script.scheduled())
    await manager.recorded(1)

    await platform.say(script.started())
    await manager.recorded(2)

    assert (await platform.row(script.execution_id))["assignment"] is None


async def test_what_comes_with_its_outcome_is_written_once_and_remembers_when_it_was_placed(
    platform: Platform, manager: Running
) -> None:
    script = Script()

    await platform.say(script.scheduled(), script.started(), script.finished())
    await manager.recorded(3)

    shown = await manager.call("GET", f"/executions/{script.execution_id}")
    assert (shown["status"], shown["created_at"]) == ("succeeded", "2026-11-24T12:00:00.000000Z")
    assert (await platform.row(script.execution_id))["assignment"] is None


async def test_a_late_report_changes_nothing_and_is_counted(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.say(script.lost())
    await manager.recorded(1)

    await platform.say(script.finished())
    await manager.recorded(2)

    assert (await manager.call("GET", f"/executions/{script.execution_id}"))["status"] == "lost"
    told = (await manager.metrics()).splitlines()
    assert "hodei_stale_reports_total 1.0" in told
    assert 'hodei_executions_total{outcome="lost"} 1.0' in told
    assert 'hodei_executions_total{outcome="succeeded"} 0.0' in told


async def test_an_order_that_its_worker_does_not_speak_of_is_sent_again(platform: Platform, manager: Running) -> None:
    unheard, held, other = Script(), Script(), Script()
    held.worker_id, held.incarnation = unheard.worker_id, unheard.incarnation
    other.worker_id = unheard.worker_id  # of an earlier incarnation: the scheduler's business
    await platform.say(unheard.scheduled(), held.scheduled(), other.scheduled())
    await manager.recorded(3)
    await platform.database.execute("update executions set sent_at = now() - interval '6 seconds'")
    agent = await platform.listen_to_agent(unheard.worker_id, "run")

    heartbeat = Heartbeat(
        protocol=PROTOCOL,
        worker_id=unheard.worker_id,
        incarnation=unheard.incarnation,
        slots=1,
        name="w",
        type="t",
        sent_at=NOON,
        waiting=[held.execution_id],
    )
    subject = platform.bus.catalogue.agent(unheard.worker_id, "heartbeat")
    await platform.bus.send(subject, heartbeat.model_dump_json().encode())

    again = Dispatch.model_validate_json(await agent.next())
    assert [one.execution_id for one in again.assignments] == [unheard.execution_id]
    assert again.assignments[0].run.env == {"TOKEN": "secret"}
    manager.redelivery.hear(heartbeat)
    assert await manager.redelivery.run_once() == {"redelivered": 0}  # not again at once


async def test_an_order_lost_at_the_end_of_an_outage_is_sent_again_soon(platform: Platform, manager: Running) -> None:
    lost = Script()
    await platform.say(lost.scheduled())
    await manager.recorded(1)
    await platform.database.execute("update executions set sent_at = now() - interval '2 seconds'")
    heartbeat = Heartbeat(
        protocol=PROTOCOL,
        worker_id=lost.worker_id,
        incarnation=lost.incarnation,
        slots=1,
        name="w",
        type="t",
        sent_at=NOON,
    )
    manager.redelivery.hear(heartbeat)
    assert await manager.redelivery.run_once() == {"redelivered": 0}
    ears = await platform.listen_to_agent(lost.worker_id, "run")

    manager.part(HeartbeatListener)._bus._connection._tell(True)
    manager.redelivery.hear(heartbeat)
    await manager.redelivery.next_run()

    again = Dispatch.model_validate_json(await ears.next())
    assert [one.execution_id for one in again.assignments] == [lost.execution_id]


@pytest.mark.smoke
async def test_a_requested_execution_gets_its_worker_and_its_outcome(platform: Platform, manager: Running) -> None:
    requests = await platform.listen(platform.bus.catalogue.event("executions.requested"))
    made = await manager.call("POST", "/execute", expect=201, data='{"command": "echo hi"}')
    assert (made["status"], made["worker_id"], made["attempt"]) == ("pending", None, 1)
    assert made["id"].encode() in await requests.next()

    script = Script(execution_id=made["id"], task_id=made["task_id"], job_id=made["job_id"])
    await platform.say(script.scheduled())
    await manager.recorded(1)
    placed = await manager.call("GET", f"/executions/{made['id']}")
    assert (placed["status"], placed["worker_id"]) == ("pending", script.worker_id)

    await platform.say(script.started(), script.finished())
    await manager.recorded(3)
    assert (await manager.call("GET", f"/executions/{made['id']}"))["status"] == "succeeded"


async def test_a_requested_execution_that_its_worker_gave_back_names_the_one_that_took_its_place(
    platform: Platform, manager: Running
) -> None:
    made = await manager.call("POST", "/execute", expect=201, json={"command": "true"})
    ids = {"task_id": made["task_id"], "job_id": made["job_id"]}
    promised, second, third = Script(execution_id=made["id"], **ids), Script(**ids), Script(**ids)

    await platform.say(promised.scheduled(), promised.returned())
    await manager.recorded(2)
    back = await manager.call("GET", f"/executions/{made['id']}")
    assert (back["status"], back["reason"], back["continued_as"]) == ("cancelled", "returned", None)

    await platform.say(second.scheduled(), second.returned(), third.scheduled(), third.finished())
    await manager.recorded(6)
    for given_back in (promised, second):
        shown = await manager.call("GET", f"/executions/{given_back.execution_id}")
        assert shown["continued_as"] == third.execution_id
    end = await manager.call("GET", f"/executions/{third.execution_id}")
    assert (end["status"], end["continued_as"]) == ("succeeded", None)


@pytest.mark.parametrize(("event", "status"), [(TaskExpired, "failed"), (TaskWithdrawn, "cancelled")])
async def test_a_requested_execution_whose_task_leaves_the_queue_is_closed(
    platform: Platform, manager: Running, event: type[TaskExpired | TaskWithdrawn], status: str
) -> None:
    made = await manager.call("POST", "/execute", expect=201, json={"command": "true"})

    await platform.say(event(task_id=made["task_id"], job_id=made["job_id"], attempt=1))
    await manager.recorded(1)

    assert (await manager.call("GET", f"/executions/{made['id']}"))["status"] == status


async def test_an_execution_with_nothing_to_run_is_answered_as_succeeded(platform: Platform, manager: Running) -> None:
    requests = await platform.listen(platform.bus.catalogue.event("executions.requested"))
    answering = asyncio.create_task(manager.call("POST", "/execute", expect=201, json={"job_id": new_id()}))

    [asked] = events_in(await requests.next(), ExecutionRequested)
    ids = {"execution_id": asked.execution_id, "task_id": asked.task_id, "job_id": asked.job_id, "attempt": 1}
    await platform.say(ExecutionCompleted(**ids, finished_at=LATER))

    answered = await answering
    assert (answered["id"], answered["status"], answered["reason"]) == (asked.execution_id, "succeeded", None)
    await manager.recorded(1)
    assert await manager.call("GET", f"/executions/{asked.execution_id}") == answered
    assert (await manager.call("GET", f"/executions/{asked.execution_id}/logs"))["logs"] == []


async def test_an_unknown_job_is_not_found_and_leaves_nothing(platform: Platform, manager: Running) -> None:
    requests = await platform.listen(platform.bus.catalogue.event("executions.requested"))
    job_id = new_id()
    headers = {"Idempotency-Key": "k"}
    answering = asyncio.create_task(
        manager.call("POST", "/execute", expect=404, json={"job_id": job_id}, headers=headers)
    )

    [asked] = events_in(await requests.next(), ExecutionRequested)
    ids = {"execution_id": asked.execution_id, "task_id": asked.task_id, "job_id": asked.job_id, "attempt": 1}
    await platform.say(ExecutionRefused(**ids, reason=RefusalReason.NOT_FOUND, detail="there is no such job"))

    assert (await answering)["detail"] == f"there is no job {job_id}"
    await manager.recorded(1)
    assert await manager.call("GET", "/executions") == []
    assert await platform.database.fetch_value("select count(*) from idempotency_keys") == 0


async def test_lists_page_without_skipping_or_repeating(platform: Platform, manager: Running) -> None:
    worker = new_id()
    scripts = [Script(worker) for _ in range(7)]
    await platform.say(*(script.scheduled() for script in scripts), *(script.finished() for script in scripts[:3]))
    await manager.recorded(10)

    seen: list[str] = []
    path = f"/executions?worker_id={worker}&limit=3"
    while path:
        async with manager.request("GET", path) as answer:
            seen += [one["id"] for one in await answer.json()]
            path = str(answer.links["next"]["url"].relative()).removeprefix("/api/v1") if answer.links else ""
        extra = Script(worker)
        await platform.say(extra.scheduled())

    assert seen == sorted((script.execution_id for script in scripts), reverse=True)
    for query, count in (
        ("status=succeeded", 3),
        (f"status=succeeded&worker_id={worker}", 3),
        (f"job_id={scripts[0].job_id}", 1),
        (f"task_id={scripts[0].task_id}&status=failed", 0),
        (f"task_id={scripts[0].task_id}&job_id={scripts[0].job_id}", 1),
        ("job_id=nonsense", 0),
        (f"worker_id={worker}&exit_code=0", 3),
        (f"worker_id={worker}&exit_code=1", 0),
        (f"worker_id={worker}&attempt=1&status=succeeded", 3),
        (f"worker_id={worker}&attempt=2", 0),
        (f"worker_id={worker}&reason=timeout", 0),
    ):
        assert len(await manager.call("GET", f"/executions?{query}")) == count, query
