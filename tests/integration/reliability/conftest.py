"""All three services on real servers, each of which can be away while a message is lost; the test plays a worker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
import orjson
import pytest

import orchestrator.app
import scheduler.app
import worker_manager.app
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from schemas.agents import PROTOCOL, Assignment, Dispatch, Heartbeat, Stop
from schemas.cloudevents import decode_batch, encode_batch
from schemas.events import EventData, ExecutionFinished, ExecutionReturned, ExecutionStarted
from schemas.subjects import EVENTS
from shared.bus import Bus, Consumer
from shared.ids import new_id
from shared.postgres import Database, Leadership
from shared.service import Service, start_all, stop_all
from shared.web import WebServer
from tests.fixtures.events import addressed
from worker_manager.settings import WorkerManagerSettings

E = TypeVar("E", bound=EventData)
ServiceName = Literal["orchestrator", "scheduler", "worker_manager"]
NAMES: tuple[ServiceName, ...] = ("orchestrator", "scheduler", "worker_manager")
DEADLINE = 30.0
SHORT = 1.0
"""The lease of those who wait for news."""
LEASE = 5.0
"""The lease of workers: long enough for heartbeats on a busy machine."""


class Ears:
    """Everything that is said on the bus, kept, and waited for by type."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.heard: list[EventData] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        for plural in ("jobs", "tasks", "executions", "workers", "schedules"):
            await self._bus.subscribe(self._bus.catalogue.event(f"{plural}.>"), self._hear)
        await self._bus.flush()

    async def wait(self, kind: type[E], count: int = 1, *, where: Callable[[E], bool] = lambda _: True) -> E:
        """The event of a kind that is its `count`th, once it has been heard."""
        async with asyncio.timeout(DEADLINE):
            while True:
                self._changed.clear()
                found = [event for event in self.heard if isinstance(event, kind) and where(event)]
                if len(found) >= count:
                    return found[count - 1]
                await self._changed.wait()

    def count(self, kind: type[EventData]) -> int:
        return sum(isinstance(event, kind) for event in self.heard)

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        self.heard += [event.data for event in decode_batch(self._bus.catalogue.event_type(subject), payload)]
        self._changed.set()


@dataclass
class Worker:
    """A worker's agent that runs nothing: what it was told to run, and what it says of it."""

    bus: Bus
    slots: int = 4
    id: str = field(default_factory=new_id)
    incarnation: str = field(default_factory=new_id)
    orders: dict[str, Assignment] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    draining: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Listen, and beat until cancelled."""
        agent = self.bus.catalogue.agent
        await self.bus.subscribe(agent(self.id, "run"), self._on_run)
        await self.bus.subscribe(agent(self.id, "stop"), self._on_stop)
        await self.bus.subscribe(agent(self.id, "drain"), self._on_drain)
        await self.bus.subscribe(agent(self.id, "resume"), self._on_resume)
        while True:
            beat = Heartbeat(
                protocol=PROTOCOL,
                worker_id=self.id, incarnation=self.incarnation, slots=self.slots, name="played", type="default",
                sent_at=datetime.now(UTC), running=sorted(self.running), draining=self.draining,
            )  # fmt: skip
            await self.bus.send(agent(self.id, "heartbeat"), beat.model_dump_json().encode())
            await asyncio.sleep(0.3)  # a heartbeat is a matter of time

    async def ordered(self, count: int = 1) -> Assignment:
        """The `count`th order, once it has come. It runs from now on."""
        await self.until(lambda: len(self.orders) >= count)
        order = list(self.orders.values())[count - 1]
        self.running.add(order.execution_id)
        return order

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def started(self, order: Assignment) -> ExecutionStarted:
        return ExecutionStarted(**self._ids(order), started_at=datetime.now(UTC))

    def finished(
        self, order: Assignment, *, exit_code: int = 7, status: str = "failed", outputs: dict[str, str] | None = None
    ) -> ExecutionFinished:
        """Its outcome; it does not run any more."""
        self.running.discard(order.execution_id)
        outcome = {"status": status, "exit_code": exit_code, "finished_at": datetime.now(UTC), "outputs": outputs}
        return ExecutionFinished.model_validate(self._ids(order) | outcome)

    def returned(self, order: Assignment) -> ExecutionReturned:
        self.running.discard(order.execution_id)
        return ExecutionReturned(**self._ids(order), detail="no room")

    def _ids(self, order: Assignment) -> dict[str, Any]:
        names = ("execution_id", "task_id", "job_id", "attempt")
        mine = {"worker_id": self.id, "incarnation": self.incarnation}
        return {name: getattr(order, name) for name in names} | mine

    async def _on_run(self, _subject: str, payload: bytes, _reply: str) -> None:
        for order in Dispatch.model_validate_json(payload).assignments:
            self.orders.setdefault(order.execution_id, order)
        self.news.set()

    async def _on_stop(self, _subject: str, payload: bytes, _reply: str) -> None:
        self.stopped.update(Stop.model_validate_json(payload).execution_ids)
        self.news.set()

    async def _on_drain(self, _subject: str, _payload: bytes, _reply: str) -> None:
        self.draining = True
        self.news.set()

    async def _on_resume(self, _subject: str, _payload: bytes, _reply: str) -> None:
        self.draining = False
        self.news.set()


class House:
    """The platform: each service can be taken away and come back."""

    def __init__(
        self, bus: Bus, http: aiohttp.ClientSession, database: Database, settings: dict[ServiceName, Any]
    ) -> None:
        self.bus = bus
        self.database = database
        self.http = http
        self.ears = Ears(bus)
        self._settings = settings
        self._running: dict[ServiceName, list[Service]] = {}
        self.urls: dict[ServiceName, str] = {}

    async def start(self, *names: ServiceName) -> None:
        for name in names:
            build: Any = {
                "orchestrator": orchestrator.app.build,
                "scheduler": scheduler.app.build,
                "worker_manager": worker_manager.app.build,
            }[name]
            services = build(self._settings[name])
            self._running[name] = []
            await start_all(services, self._running[name])
            for service in services:
                if isinstance(service, Leadership):
                    async with asyncio.timeout(DEADLINE):
                        await service.led()
                if isinstance(service, WebServer):
                    self.urls[name] = f"http://127.0.0.1:{service.port}"

    async def stop(self, *names: ServiceName) -> None:
        for name in names:
            await stop_all(self._running.pop(name, []), deadline=10)

    def change(self, name: ServiceName, **settings: object) -> None:
        """Change the settings with which a service starts the next time."""
        self._settings[name] = self._settings[name].model_copy(update=settings)

    async def stop_everything(self) -> None:
        await self.stop(*NAMES)

    @asynccontextmanager
    async def away(self, *names: ServiceName) -> AsyncIterator[None]:
        """These services are away for the block; whatever they would have heard meanwhile is lost."""
        await self.stop(*names)
        yield
        await self.lose()
        await self.start(*names)

    async def lose(self) -> None:
        """Have JetStream forget every event that it stores."""
        stream = self.bus.catalogue.stream(EVENTS)
        answer = orjson.loads(await self.bus.request(f"$JS.API.STREAM.PURGE.{stream}", b"", timeout=5))
        assert answer["success"], answer

    async def say(self, *data: EventData) -> None:
        """Publish events, each in a message of its own."""
        for one in data:
            subject, events = addressed(self.bus, [one])
            await self.bus.publish(subject, encode_batch(events), msg_id=str(uuid.uuid4()))

    async def call(self, service: ServiceName, method: str, path: str, body: object = None) -> Any:
        async with self.http.request(method, f"{self.urls[service]}/api/v1{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            return orjson.loads(text) if text else None

    async def submit(self, **fields: object) -> Any:
        return await self.call("orchestrator", "POST", "/jobs", {"command": "true"} | fields)

    async def over(self, job: Any) -> Any:
        """The job in detail, once it is over."""
        await self.call("orchestrator", "GET", f"/jobs/{job['id']}/status?wait={DEADLINE:g}")
        return await self.call("orchestrator", "GET", f"/jobs/{job['id']}")

    async def execution(self, id: str, *, until: str) -> Any:
        """An execution as the worker manager shows it, once it has come to a status."""
        return await self._look("worker_manager", f"/executions/{id}", lambda found: found["status"] == until)

    async def task(self, job: Any, *, until: str) -> Any:
        """The job of one task in detail, once that has come to a status."""
        return await self._look(
            "orchestrator", f"/jobs/{job['id']}", lambda found: found["tasks"][0]["status"] == until
        )

    async def schedule(self, schedule: Any, *, until: str) -> Any:
        """A schedule, once it has come to a status."""
        return await self._look("scheduler", f"/scheduled/{schedule['id']}", lambda found: found["status"] == until)

    async def until_queued(self, job: Any) -> None:
        """Return once the scheduler has the job's task in its queue."""
        await self._look("scheduler", "/queue", lambda found: job["id"] in [one["job_id"] for one in found])

    async def until_known(self, worker: Worker) -> None:
        """Return once the scheduler has heard of the worker."""
        await self._look("scheduler", f"/workers/{worker.id}", lambda found: found["status"] == "online")

    async def until_free(self, worker: Worker) -> None:
        """Return once the scheduler counts nothing on the worker."""
        await self._look("scheduler", f"/workers/{worker.id}", lambda found: found["busy"] == 0)

    async def until_row(self, query: str, *args: object) -> None:
        """Return once a query of the scheduler's tables is true."""
        async with asyncio.timeout(DEADLINE):
            while not await self.database.fetch_value(query, *args):  # noqa: ASYNC110 - tables tell nobody
                await asyncio.sleep(0.1)

    async def until_handled(self, durable: str, count: int) -> None:
        """Return once a consumer of a running service has handled so many events."""
        [consumer] = [
            one
            for services in self._running.values()
            for one in services
            if isinstance(one, Consumer) and one.spec.durable == durable
        ]
        await consumer.until(lambda: consumer.handled >= count, deadline=DEADLINE)

    async def until_gone(self, service: ServiceName, path: str) -> None:
        """Return once a service does not find something any more."""
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.http.get(f"{self.urls[service]}/api/v1{path}") as answer:
                    if answer.status == 404:
                        return
                await asyncio.sleep(0.1)

    async def _look(self, service: ServiceName, path: str, condition: Callable[[Any], bool]) -> Any:
        """What a service shows, once a condition holds: nobody is told when it has written something."""
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.http.get(f"{self.urls[service]}/api/v1{path}") as answer:
                    if answer.status == 200 and condition(found := await answer.json(content_type=None)):
                        return found
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def worker(self, *, slots: int = 4) -> AsyncIterator[Worker]:
        worker = Worker(self.bus, slots)
        living = asyncio.create_task(worker.live())
        try:
            yield worker
        finally:
            living.cancel()
            await asyncio.wait({living})


@pytest.fixture
async def house(nats_url: str, migrated_database_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[House]:
    common = {
        "nats_url": nats_url, "database_url": migrated_database_url, "namespace": namespace, "port": 0,
        "database_pool": 4, "start_deadline": 20, "linger_ms": 2, "feed": "off",
    }  # fmt: skip
    settings: dict[ServiceName, Any] = {
        "orchestrator": OrchestratorSettings.model_validate(common | {"lease_seconds": SHORT}),
        "scheduler": SchedulerSettings.model_validate(common | {"lease_seconds": LEASE}),
        "worker_manager": WorkerManagerSettings.model_validate(common | {"lease_seconds": SHORT, "data_dir": tmp_path}),
    }
    async with AsyncExitStack() as stack:
        bus = Bus(nats_url, name="test", namespace=namespace, start_deadline=20)
        await bus.start()
        stack.push_async_callback(bus.stop)
        await bus.declare()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        database = Database(migrated_database_url, schema="scheduler", name="test", min_size=1, max_size=2)
        await database.start()
        stack.push_async_callback(database.stop)
        one = House(bus, http, database, settings)
        await one.ears.start()
        stack.push_async_callback(one.stop_everything)
        await one.start(*NAMES)
        yield one
