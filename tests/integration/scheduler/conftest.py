"""The scheduler alone, on real servers: its own parts in this process, a bus to speak as the others do, fake agents."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import pytest

from scheduler.app import build
from scheduler.settings import SchedulerSettings
from schemas.agents import PROTOCOL, Drain, Heartbeat, Offer, Resume, Seek, Stop
from schemas.cloudevents import decode_batch, encode_batch
from schemas.events import EventData, ExecutionFinished, TaskQueued, TaskScheduled, WorkerRegistered
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus
from shared.bus import Bus
from shared.ids import new_id
from shared.postgres import Database, Leadership
from shared.service import start_all, stop_all
from shared.web import WebServer
from tests.fixtures.events import addressed

E = TypeVar("E", bound=EventData)
DEADLINE = 10.0


class Ears:
    """Everything that is said on the bus, kept once by its id, and waited for by type."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.heard: list[EventData] = []
        self._ids: set[str] = set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        for plural in ("tasks", "executions", "workers", "schedules"):
            await self._bus.subscribe(self._bus.catalogue.event(f"{plural}.>"), self._hear)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def wait(
        self, kind: type[E], count: int = 1, *, where: Callable[[E], bool] = lambda _: True, within: float = DEADLINE
    ) -> list[E]:
        """The first `count` events of a kind, once they have been heard."""
        async with asyncio.timeout(within):
            while True:
                self._changed.clear()
                found = [event for event in self.of(kind) if where(event)]
                if len(found) >= count:
                    return found
                await self._changed.wait()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        for event in decode_batch(self._bus.catalogue.event_type(subject), payload):
            if event.id not in self._ids:  # an event comes at least once
                self._ids.add(event.id)
                self.heard.append(event.data)
        self._changed.set()


@dataclass
class Agent:
    """A worker's agent that does what the test says."""

    bus: Bus
    slots: int = 2
    prefetch: int = 0
    id: str = field(default_factory=new_id)
    incarnation: str = field(default_factory=new_id)
    labels: dict[str, str] = field(default_factory=dict)
    stops: asyncio.Queue[Stop] = field(default_factory=asyncio.Queue)
    seeks: asyncio.Queue[Seek] = field(default_factory=asyncio.Queue)
    drains: asyncio.Queue[Drain] = field(default_factory=asyncio.Queue)
    resumes: asyncio.Queue[Resume] = field(default_factory=asyncio.Queue)

    async def listen(self) -> None:
        async def on_stop(_subject: str, payload: bytes, _reply: str) -> None:
            await self.stops.put(Stop.model_validate_json(payload))

        async def on_seek(_subject: str, payload: bytes, _reply: str) -> None:
            await self.seeks.put(Seek.model_validate_json(payload))

        async def on_drain(_subject: str, payload: bytes, _reply: str) -> None:
            await self.drains.put(Drain.model_validate_json(payload))

        async def on_resume(_subject: str, payload: bytes, _reply: str) -> None:
            await self.resumes.put(Resume.model_validate_json(payload))

        await self.bus.subscribe(self.bus.catalogue.agent(self.id, "resume"), on_resume)
        await self.bus.subscribe(self.bus.catalogue.agent(self.id, "stop"), on_stop)
        await self.bus.subscribe(self.bus.catalogue.agent(self.id, "seek"), on_seek)
        await self.bus.subscribe(self.bus.catalogue.agent(self.id, "drain"), on_drain)
        await self.bus.flush()

    def heartbeat(
        self,
        *,
        running: Sequence[str] = (),
        over: Sequence[str] = (),
        draining: bool = False,
        unhealthy: str | None = None,
        leaving: bool = False,
        sequence: int = 0,
    ) -> Heartbeat:
        return Heartbeat(
            protocol=PROTOCOL,
            worker_id=self.id,
            incarnation=self.incarnation,
            slots=self.slots,
            prefetch=self.prefetch,
            draining=draining,
            unhealthy=unhealthy,
            name=f"agent-{self.id[-4:]}",
            type="default",
            labels=self.labels,
            sent_at=datetime.now(UTC),
            running=list(running),
            over=list(over),
            leaving=leaving,
            sequence=sequence,
        )

    async def beat(self, **said: Any) -> None:
        """Send a heartbeat, with the arguments of `heartbeat`."""
        await self.bus.send(
            self.bus.catalogue.agent(self.id, "heartbeat"), self.heartbeat(**said).model_dump_json().encode()
        )

    async def offer(self, *, draining: bool = False, sequence: int = 0) -> None:
        offer = Offer(
            protocol=PROTOCOL,
            worker_id=self.id,
            incarnation=self.incarnation,
            slots=self.slots,
            prefetch=self.prefetch,
            draining=draining,
            sequence=sequence,
        )
        await self.bus.send(self.bus.catalogue.agent(self.id, "offer"), offer.model_dump_json().encode())


@dataclass
class House:
    """One scheduler at work and everything around it."""

    url: str
    bus: Bus
    ears: Ears
    http: aiohttp.ClientSession
    database: Database
    settings: SchedulerSettings
    stack: AsyncExitStack

    async def say(self, *data: EventData, at: datetime | None = None) -> None:
        """One message with all of them, as another service or an agent would send it."""
        subject, events = addressed(self.bus, data, time=at)
        await self.bus.publish(subject, encode_batch(events), msg_id=str(uuid.uuid4()))

    async def agent(self, *, slots: int = 2, labels: dict[str, str] | None = None) -> Agent:
        """An agent whose first heartbeat was heard."""
        agent = Agent(self.bus, slots=slots, labels=labels or {})
        await agent.listen()
        await self.until_heard(agent)
        return agent

    async def until_heard(self, agent: Agent) -> None:
        """Send heartbeats until the scheduler has heard one: a heartbeat comes at most once."""
        heard = asyncio.ensure_future(self.ears.wait(WorkerRegistered, where=lambda event: event.worker_id == agent.id))
        while not heard.done():
            await agent.beat()
            await asyncio.wait({heard}, timeout=1.0)
        heard.result()

    async def get(self, path: str, status: int = 200) -> object:
        async with self.http.get(self.url + path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None)

    async def metric(self, sample: str) -> float:
        """One sample of its metrics, named with its labels; 0 if it was never set."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            values = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[:1] != "#")
        return float(values.get(sample, 0))

    async def post(self, path: str, body: object = None, status: int = 200, **headers: str) -> dict[str, object]:
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            found: dict[str, object] = await answer.json(content_type=None)
            return found

    async def explained_in_queue(self, task_id: str) -> Any:
        """Why a task waits, once it is in the queue."""
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.http.get(f"{self.url}/api/v1/tasks/{task_id}/explain") as answer:
                    if answer.status == 200:
                        return await answer.json()
                await asyncio.sleep(0.02)

    async def patch(self, path: str, body: object, status: int = 200) -> dict[str, Any]:
        async with self.http.patch(self.url + path, json=body) as answer:
            assert answer.status == status, await answer.text()
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def delete(self, path: str, status: int = 204) -> None:
        async with self.http.delete(self.url + path) as answer:
            assert answer.status == status, await answer.text()


Opener = Callable[..., Awaitable[House]]


@asynccontextmanager
async def scheduler_process(settings: SchedulerSettings) -> AsyncIterator[str]:
    """All parts of the scheduler, leading; its address."""
    services = build(settings)
    started: list[object] = []
    try:
        await start_all(services, started)  # type: ignore[arg-type]
        for service in services:
            if isinstance(service, Leadership):
                async with asyncio.timeout(DEADLINE):
                    await service.led()
            if isinstance(service, WebServer):
                url = f"http://127.0.0.1:{service.port}"
        yield url
    finally:
        await stop_all(started, deadline=10)  # type: ignore[arg-type]


@pytest.fixture
async def house(nats_url: str, migrated_database_url: str, namespace: str) -> AsyncIterator[Opener]:
    """Opens the house: `await house(lease=15)`, on a NATS of one's own with `nats=`."""
    async with AsyncExitStack() as stack:

        async def open_house(*, lease: float = 15.0, nats: str = nats_url, worker_ttl: float | None = None) -> House:
            settings = SchedulerSettings(
                nats_url=nats,
                database_url=migrated_database_url,
                namespace=namespace,
                port=0,
                lease_seconds=lease,
                worker_ttl=worker_ttl,
                database_pool=4,
                start_deadline=10,
                linger_ms=2,
            )
            bus = Bus(nats, name="test", namespace=namespace, start_deadline=10)
            await bus.start()
            stack.push_async_callback(bus.stop)
            await bus.declare()
            ears = Ears(bus)
            await ears.start()
            database = Database(migrated_database_url, schema="scheduler", name="test", min_size=1, max_size=2)
            await database.start()
            stack.push_async_callback(database.stop)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            inner = await stack.enter_async_context(AsyncExitStack())
            url = await inner.enter_async_context(scheduler_process(settings))
            return House(url, bus, ears, http, database, settings, inner)

        yield open_house


def queued(**changes: object) -> TaskQueued:
    now = datetime.now(UTC)
    values: dict[str, object] = {
        "task_id": new_id(),
        "job_id": new_id(),
        "attempt": 1,
        "name": "step",
        "run": RunSpec(command="true"),
        "queued_at": now,
    }
    return TaskQueued.model_validate(values | changes)


def finished(placed: TaskScheduled) -> ExecutionFinished:
    return ExecutionFinished(
        execution_id=placed.execution_id,
        task_id=placed.task_id,
        job_id=placed.job_id,
        attempt=placed.attempt,
        worker_id=placed.worker_id,
        incarnation=placed.incarnation,
        status=ExecutionStatus.SUCCEEDED,
        exit_code=0,
        finished_at=datetime.now(UTC),
    )
