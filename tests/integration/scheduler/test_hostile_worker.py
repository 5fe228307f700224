"""A worker that speaks for others at the scheduler."""

from __future__ import annotations

from schemas.events import TaskScheduled
from shared.ids import new_id
from tests.integration.scheduler.conftest import House, Opener, finished, queued


async def foreign(house: House, kind: str) -> float:
    return await house.metric(f'hodei_foreign_reports_total{{kind="{kind}"}}')


async def test_the_outcome_of_another_worker_frees_no_slot(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    first, second = queued(), queued()
    await here.say(first)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(second)
    await here.say(finished(placed.model_copy(update={"worker_id": new_id()})))
    await here.say(finished(placed))
    _, after = await here.ears.wait(TaskScheduled, 2)
    assert (after.task_id, after.worker_id) == (second.task_id, agent.id)
    assert await foreign(here, "report") == 1


async def test_a_heartbeat_for_another_worker_is_not_heard(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    victim = await here.agent()
    forged = victim.heartbeat(leaving=True)
    later = victim.heartbeat(unhealthy="forged", sequence=1_000_000)
    await here.bus.send(here.bus.catalogue.agent(agent.id, "heartbeat"), forged.model_dump_json().encode())
    await here.bus.send(here.bus.catalogue.agent(agent.id, "offer"), later.model_dump_json().encode())
    await here.say(queued())
    await here.ears.wait(TaskScheduled)  # its turn comes after both
    shown = await here.get(f"/api/v1/workers/{victim.id}")
    assert isinstance(shown, dict)
    assert shown["status"] == "online"
    assert await foreign(here, "heartbeat") == 2
