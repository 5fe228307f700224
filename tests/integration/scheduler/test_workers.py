"""What is known of a worker outlasts its process and the scheduler's, for as long as it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from scheduler.counters import Counters
from scheduler.leader import Leader
from scheduler.store.turns import TurnStore
from scheduler.traces import Traces
from schemas.agents import MAX_NAMED
from schemas.events import (
    ExecutionLost,
    TaskScheduled,
    WorkerDraining,
    WorkerForgotten,
    WorkerOffline,
    WorkerRegistered,
    WorkerResumed,
)
from schemas.states import Reason
from shared.ids import new_id
from shared.outbox import Outbox
from shared.postgres import load_queries
from shared.telemetry import Metrics, Tracing
from tests.integration.scheduler.conftest import DEADLINE, Agent, House, Opener, queued, scheduler_process

Alone = tuple[House, Leader]


@pytest.fixture
async def alone(house: Opener) -> AsyncIterator[Alone]:
    """A house whose scheduler has stopped, and a leader that hears only what the test tells it."""
    here = await house()
    await here.stack.aclose()
    store = TurnStore(here.database, Outbox(here.database, here.bus, source="scheduler"))
    leader = Leader(store, here.bus, Counters(Metrics()), Traces(Tracing("scheduler")), lease=15, patience=19)
    await leader.start()
    yield here, leader
    await leader.stop()


async def shown(url: str, here: House, agent: Agent) -> dict[str, object]:
    async with here.http.get(f"{url}/api/v1/workers/{agent.id}") as answer:
        found: dict[str, object] = await answer.json()
        return found


async def test_a_drain_lasts_over_restarts_of_the_worker_and_of_the_scheduler_until_it_is_lifted(
    house: Opener,
) -> None:
    here = await house()
    agent = await here.agent()
    assert (await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202))["drained"] is True
    await here.ears.wait(WorkerDraining, where=lambda event: event.ordered)
    await agent.beat(draining=True, leaving=True)
    await here.ears.wait(WorkerOffline)
    await here.stack.aclose()
    async with scheduler_process(here.settings) as url:
        agent.incarnation = new_id()
        await agent.beat()
        [again] = await here.ears.wait(WorkerRegistered, where=lambda event: event.incarnation == agent.incarnation)
        assert again.draining
        assert (await shown(url, here, agent))["status"] == "draining"
        await here.say(queued())
        async with asyncio.timeout(DEADLINE):
            while not agent.drains.empty():
                agent.drains.get_nowait()
            await agent.beat()
            await agent.drains.get()
        assert here.ears.of(TaskScheduled) == []

        async with here.http.post(f"{url}/api/v1/workers/{agent.id}/resume") as answer:
            assert answer.status == 202
        await here.ears.wait(WorkerResumed)
        await agent.beat()
        [placed] = await here.ears.wait(TaskScheduled)
        assert placed.worker_id == agent.id
        assert (await shown(url, here, agent))["drained"] is False


async def test_an_agent_is_told_that_its_drain_is_lifted(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await here.post(f"/api/v1/workers/{agent.id}/drain", None, 202)
    await here.ears.wait(WorkerDraining)
    await agent.beat(draining=True)
    lifted = await here.post(f"/api/v1/workers/{agent.id}/resume", None, 202)
    again = await here.post(f"/api/v1/workers/{agent.id}/resume", None, 202)
    assert [(one["status"], one["drained"]) for one in (lifted, again)] == [("online", False)] * 2
    async with asyncio.timeout(DEADLINE):
        await agent.resumes.get()
    await agent.beat(draining=True)
    async with asyncio.timeout(DEADLINE):
        await agent.resumes.get()
    assert (await shown(here.url, here, agent))["status"] == "online"
    await here.post(f"/api/v1/workers/{new_id()}/resume", None, 404)


async def test_a_drain_of_which_the_leader_never_heard_is_found_in_the_tables(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await here.database.execute("update workers set drained = true where id = $1", agent.id)
    await agent.beat()
    async with asyncio.timeout(DEADLINE):
        assert not (await agent.drains.get()).exit


async def test_a_drain_by_the_agents_own_signal_is_not_lifted_and_does_not_last(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await agent.beat(draining=True)
    await here.ears.wait(WorkerDraining)
    await here.post(f"/api/v1/workers/{agent.id}/resume", None, 409)
    await agent.beat(draining=True, leaving=True)
    await here.ears.wait(WorkerOffline)
    agent.incarnation = new_id()
    await agent.beat()
    registered = await here.ears.wait(WorkerRegistered, 2)
    assert [event.draining for event in registered] == [False, False]


async def test_a_worker_without_an_agent_is_drained_and_resumed_too(house: Opener) -> None:
    here = await house()
    id = (await here.post("/api/v1/workers", {"type": "rust"}, 200))["id"]
    assert (await here.post(f"/api/v1/workers/{id}/drain", None, 202))["status"] == "draining"
    assert (await here.post(f"/api/v1/workers/{id}/resume", None, 202))["status"] == "online"
    assert (await here.post(f"/api/v1/workers/{id}/resume", None, 202))["status"] == "online"


async def test_what_a_stopped_worker_ran_is_lost_by_order_and_at_once(house: Opener) -> None:
    here = await house(lease=600)
    agent = await here.agent()
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    await agent.beat(running=[placed.execution_id], draining=True, leaving=True)
    [lost] = await here.ears.wait(ExecutionLost)
    assert (lost.execution_id, lost.reason) == (placed.execution_id, Reason.WORKER_STOPPED)


async def test_workers_that_are_gone_are_forgotten_and_explanations_sum_them_up(house: Opener) -> None:
    here = await house(worker_ttl=3600)
    for _ in range(3):
        agent = await here.agent()
        await agent.beat(leaving=True)
    rest = (await here.post("/api/v1/workers", {"type": "rust"}, 200))["id"]
    await here.ears.wait(WorkerOffline, 3)
    task = queued()
    await here.say(task)
    waits = await here.explained_in_queue(task.task_id)
    assert [worker["worker_id"] for worker in waits["workers"]] == [rest]
    assert waits["others"] == [{"count": 3, "refusal": "is offline"}]
    assert waits["summary"] == "waits: the only worker that is online has no agent"


async def test_a_worker_that_is_offline_for_longer_than_the_setting_is_forgotten(house: Opener) -> None:
    here = await house(worker_ttl=1)
    agent = await here.agent()
    rest = (await here.post("/api/v1/workers", {"type": "rust"}, 200))["id"]
    await here.database.execute(
        "update workers set status = 'offline', last_heartbeat = now() - interval '1 hour' where id = $1", rest
    )
    await agent.beat(leaving=True)
    forgotten = await here.ears.wait(WorkerForgotten, 2)
    assert {event.worker_id for event in forgotten} == {agent.id, rest}
    assert await here.get("/api/v1/workers") == []
    agent.incarnation = new_id()
    await agent.beat()
    await here.ears.wait(WorkerRegistered, where=lambda event: event.incarnation == agent.incarnation)


async def test_a_heartbeat_that_an_offer_overtook_does_not_take_the_offer_back(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await agent.offer(draining=True, sequence=3)
    await here.ears.wait(WorkerDraining)
    await agent.beat(draining=False, sequence=2)
    await here.agent()  # its heartbeat comes after that one
    assert (await shown(here.url, here, agent))["status"] == "draining"
    async with here.http.get(f"{here.url}/metrics") as answer:
        assert "hodei_stale_reports_total 1.0" in await answer.text()


async def test_a_drain_in_the_tables_is_not_overwritten_by_a_leader_that_has_not_heard_of_it(alone: Alone) -> None:
    """Between the request and its event, the leader may write the worker for another reason."""
    here, leader = alone
    agent = Agent(here.bus)
    sql = load_queries("scheduler")

    async def row() -> tuple[str, bool]:
        [found] = await here.database.fetch("select status, drained from workers")
        return found["status"], found["drained"]

    await leader.hear(agent.heartbeat())
    await here.database.execute(sql["drain_worker"], agent.id, None)
    agent.slots = 3
    await leader.hear(agent.heartbeat())
    assert await row() == ("draining", True)
    await leader.set_drained(agent.id, True)
    await leader.hear(agent.heartbeat(draining=True))

    await here.database.execute(sql["resume_worker"], agent.id)
    agent.slots = 4
    await leader.hear(agent.heartbeat(draining=True))
    assert await row() == ("online", False)
    await leader.set_drained(agent.id, False)
    assert await row() == ("online", False)
    await leader.hear(agent.heartbeat())
    await leader.hear(agent.heartbeat(draining=True))
    assert await row() == ("draining", False), "by the agent's own signal"

    await here.database.execute(sql["drain_worker"], agent.id, None)
    await leader.hear(agent.heartbeat(draining=True, leaving=True))
    assert await row() == ("offline", True)
    agent.incarnation = new_id()
    await leader.hear(agent.heartbeat())
    assert await row() == ("draining", True), "known to be drained, though the leader has still not heard of it"


async def test_a_removed_worker_is_not_made_anew_by_a_leader_that_has_not_heard_of_it(alone: Alone) -> None:
    """The agent that was told to end is often faster than the event."""
    here, leader = alone
    agent = Agent(here.bus)
    await leader.hear(agent.heartbeat())
    await here.database.execute(load_queries("scheduler")["delete_worker"], agent.id)
    await leader.hear(agent.heartbeat(draining=True))
    assert await here.database.fetch("select id from workers") == []

    await leader.note_heartbeats(0)  # without the event, too, it is noticed
    await leader.hear(agent.heartbeat())
    assert await here.database.fetch("select id from workers") == []
    agent.incarnation = new_id()
    await leader.hear(agent.heartbeat())
    assert await here.database.fetch_value("select status from workers") == "online", "it was started again"


async def test_a_worker_that_was_removed_and_started_again_has_its_row(alone: Alone) -> None:
    """Also when the leader has not heard of the removal in between."""
    here, leader = alone
    agent = Agent(here.bus)
    await leader.hear(agent.heartbeat())
    await here.database.execute(load_queries("scheduler")["delete_worker"], agent.id)
    agent.incarnation = new_id()
    await leader.hear(agent.heartbeat())
    assert await here.database.fetch_value("select incarnation::text from workers") == agent.incarnation


async def test_what_no_agent_says_is_refused_and_counted(house: Opener) -> None:
    here = await house()
    nameless, endless = Agent(here.bus, id="one"), Agent(here.bus)
    await nameless.beat()
    many = "[" + ",".join(['"e"'] * (MAX_NAMED + 1)) + "]"
    beat = endless.heartbeat().model_dump_json().replace('"running":[]', f'"running":{many}')
    await here.bus.send(here.bus.catalogue.agent(endless.id, "heartbeat"), beat.encode())
    await here.agent()  # its heartbeat comes after those
    await here.get(f"/api/v1/workers/{endless.id}", 404)
    async with here.http.get(f"{here.url}/metrics") as answer:
        assert "hodei_agent_messages_refused_total 2.0" in await answer.text()


async def test_a_removal_that_only_the_tables_know_leaves_what_is_placed_to_the_lease(alone: Alone) -> None:
    here, leader = alone
    agent = Agent(here.bus)
    await leader.hear(agent.heartbeat())
    async with leader.turn() as turn:
        turn.desk.arrive(queued(), turn.now)
    await here.database.execute(load_queries("scheduler")["delete_worker"], agent.id)
    await leader.note_heartbeats(0)
    assert await here.database.fetch_value("select status from tasks") == "placed"
