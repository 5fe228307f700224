"""What the scheduler hears of agents is held against the bounds that were signed for their workers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from scheduler.bounds import WorkerBounds
from scheduler.consumers import AgentNews
from scheduler.domain.desk import Desk
from scheduler.domain.worker import KnownWorker
from scheduler.leader import Leader
from schemas.agents import PROTOCOL, Heartbeat, Offer
from schemas.states import WorkerStatus
from shared.bus import Bus
from shared.keys import NATS, make, service_credentials
from shared.telemetry import Metrics
from tests.unit.scheduler.making import START, at, desk

WORKER, LIFE = "01a20000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000002"


class Listening:
    """A leader that applies what it hears to a desk, without tables."""

    def __init__(self) -> None:
        self.desk: Desk = desk()

    async def hear(self, news: Heartbeat | Offer) -> None:
        if isinstance(news, Heartbeat):
            self.desk.heartbeat(news, at(0))
        else:
            self.desk.offer(news, at(0))

    @property
    def workers(self) -> list[KnownWorker]:
        return list(self.desk.roster)


class Agents:
    """Agent news of a scheduler whose credentials are in `credentials`."""

    def __init__(self, credentials: Path | None) -> None:
        self.metrics = Metrics()
        self.leader = Listening()
        bus = Bus("nats://unused", name="test", metrics=self.metrics)
        refused = self.metrics.counter("agent_messages_refused_total", "Refused.")
        self.news = AgentNews(bus, cast(Leader, self.leader), refused, WorkerBounds(credentials))

    async def heartbeat(self, *, protocol: int = PROTOCOL, labels: dict[str, str]) -> None:
        beat = Heartbeat(
            worker_id=WORKER, incarnation=LIFE, slots=1, name="w", type="default", labels=labels, sent_at=START,
            protocol=protocol,
        )  # fmt: skip
        await self.news._heartbeat(f"hodei.agents.{WORKER}.heartbeat", beat.model_dump_json().encode(), "")

    async def offer(self, *, protocol: int) -> None:
        offer = Offer(worker_id=WORKER, incarnation=LIFE, slots=8, protocol=protocol)
        await self.news._offer(f"hodei.agents.{WORKER}.offer", offer.model_dump_json().encode(), "")


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    make(tmp_path)
    return tmp_path / NATS / service_credentials("scheduler")


@pytest.mark.parametrize("protocol", [1, PROTOCOL])
async def test_an_earlier_protocol_is_no_way_around_the_bounds(credentials: Path, protocol: int) -> None:
    agents = Agents(credentials)
    with capture_logs() as lines:
        for _ in range(20):
            await agents.heartbeat(protocol=protocol, labels={"zone": "secret"})
    await agents.offer(protocol=PROTOCOL)
    assert agents.leader.workers == []
    assert agents.metrics.value("hodei_agent_messages_refused_total") == 20
    logged = [line["unlogged"] for line in lines if line["event"] == "agent.out_of_bounds"]
    assert (logged[0], len(logged) < 20) == (0, True), "a flood of messages is no flood of lines"


async def test_an_offer_of_this_protocol_does_not_make_an_agent_of_an_earlier_one_healthy() -> None:
    agents = Agents(None)
    await agents.heartbeat(protocol=1, labels={})
    await agents.offer(protocol=PROTOCOL)
    [worker] = agents.leader.workers
    assert (worker.status, worker.slots) == (WorkerStatus.UNHEALTHY, 8)
    await agents.heartbeat(protocol=PROTOCOL, labels={})
    assert worker.status is WorkerStatus.ONLINE


async def test_a_heartbeat_that_no_table_can_store_does_not_reach_the_leader() -> None:
    """The leader would fail to write it, and would have to read all its tables again: at each such heartbeat."""
    agents = Agents(None)
    await agents.heartbeat(labels={"zone": "a\0"})
    assert agents.leader.workers == []
    assert agents.metrics.value("hodei_agent_messages_refused_total") == 1
    await agents.heartbeat(labels={"zone": "a\\u0000"})
    assert [worker.labels for worker in agents.leader.workers] == [{"zone": "a\\u0000"}]
