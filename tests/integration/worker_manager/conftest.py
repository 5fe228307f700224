"""A worker manager on real servers, and the rest of the platform played by the test over the bus."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schemas.cloudevents import decode_batch, encode_batch
from schemas.events import EventData
from shared.bus import Bus, Consumer
from shared.ids import new_id
from shared.keys import ISSUER
from shared.postgres import Database
from shared.service import Service, stop_all
from shared.web import WebServer
from tests.fixtures.events import addressed
from tests.fixtures.guarded import GuardedNats
from tests.unit.worker_manager.events import NOON, said
from worker_manager.app import build
from worker_manager.fleet import Fleet
from worker_manager.redelivery import Redelivery
from worker_manager.settings import WorkerManagerSettings

DEADLINE = 15.0
STUB = "tests.integration.worker_manager.stub_agent"


def stub(mode: str) -> list[str]:
    """The command line of a worker that only pretends."""
    return [sys.executable, "-P", "-m", STUB, mode]


class Ears:
    """Everything said on one subject, as it comes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.heard.get(), DEADLINE)


class Platform:
    """The other services' voice and ears, and what is in the worker manager's tables."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus = bus
        self.database = database

    async def report(self, *reports: EventData) -> None:
        """Put reports on the bus, each in a message of its own, as the agents of their workers do."""
        for one in reports:
            subject, wrapped = addressed(self.bus, [one], time=NOON)
            await self.bus.publish(subject, encode_batch(wrapped), msg_id=new_id())

    async def say(self, *events: EventData) -> None:
        """Put events on the bus as services do, one batch per run of one type, in order."""
        batch: list[EventData] = []
        for event in [*events, None]:
            if batch and (event is None or type(event) is not type(batch[0])):
                payload = encode_batch([said(one) for one in batch])
                await self.bus.publish(self.bus.catalogue.event(batch[0].event_type), payload, msg_id=new_id())
                batch = []
            if event is not None:
                batch.append(event)

    async def listen(self, subject: str) -> Ears:
        ears = Ears()

        async def hear(_subject: str, payload: bytes, _reply: str) -> None:
            ears.heard.put_nowait(payload)

        await self.bus.subscribe(subject, hear)
        await self.bus.flush()
        return ears

    async def listen_to_agent(self, worker_id: str, verb: Any) -> Ears:
        return await self.listen(self.bus.catalogue.agent(worker_id, verb))

    async def listen_to(self, kind: type[EventData]) -> Ears:
        return await self.listen(self.bus.catalogue.events(kind.event_type)[-1])

    async def row(self, execution_id: str) -> Any:
        return await self.database.fetch_one("select * from executions where id = $1", execution_id)


class Running:
    """One worker manager process's parts, inside the test."""

    def __init__(self, services: Sequence[Service], session: aiohttp.ClientSession) -> None:
        self._services = services
        self._session = session
        self.stopped = False
        self.url = f"http://127.0.0.1:{self.part(WebServer).port}"

    def part(self, kind: type[Any]) -> Any:
        return next(service for service in self._services if isinstance(service, kind))

    def consumer(self, durable: str) -> Consumer[Any]:
        return next(one for one in self._services if isinstance(one, Consumer) and one.spec.durable == durable)

    @property
    def fleet(self) -> Fleet:
        return next(service for service in self._services if isinstance(service, Fleet))

    @property
    def redelivery(self) -> Redelivery:
        return next(service for service in self._services if isinstance(service, Redelivery))

    async def recorded(self, count: int) -> None:
        """Wait until so many orders and reports have been recorded."""
        consumer = self.consumer("worker-manager-executions")
        await consumer.until(lambda: consumer.handled >= count, deadline=DEADLINE)

    async def call(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        """One HTTP call; the JSON of its answer."""
        async with self._session.request(method, f"{self.url}/api/v1{path}", **options) as answer:
            assert answer.status == expect, await answer.text()
            return await answer.json(content_type=None)

    def request(self, method: str, path: str, **options: Any) -> Any:
        return self._session.request(method, f"{self.url}/api/v1{path}", **options)

    async def metrics(self) -> str:
        async with self._session.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    async def document(self) -> Any:
        async with self._session.get(f"{self.url}/openapi.json") as answer:
            return await answer.json()

    async def stop(self) -> None:
        self.stopped = True
        await stop_all(self._services, deadline=DEADLINE)


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def platform(nats_url: str, namespace: str, database_url: str) -> AsyncIterator[Platform]:
    database = Database(database_url, schema="worker_manager", name="test", min_size=1, max_size=2)
    bus = Bus(nats_url, name="test", namespace=namespace)
    await bus.start()
    await bus.declare()
    await database.start()
    try:
        yield Platform(bus, database)
    finally:
        await database.stop()
        await bus.stop()


@pytest.fixture
async def start(
    nats_url: str, namespace: str, database_url: str, platform: Platform, tmp_path: Path
) -> AsyncIterator[Start]:
    """Starts a worker manager; all are stopped in the end, and every agent they started is ended."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        running: list[Running] = []

        async def start(
            *,
            agent: Sequence[str] | None = None,
            folder: Path | None = None,
            issuer: Path | None = None,
            first_join_tokens: Path | None = None,
            guarded: GuardedNats | None = None,
        ) -> Running:
            settings = WorkerManagerSettings(
                nats_url=guarded.url if guarded else nats_url,
                nats_credentials=guarded.credentials("worker_manager") if guarded else None,
                database_url=database_url,
                namespace=guarded.catalogue.namespace if guarded else namespace,
                port=0,
                data_dir=folder or tmp_path,
                issuer_dir=guarded.keys / ISSUER if guarded else issuer,
                bootstrap_join_tokens=first_join_tokens,
                linger_ms=0,
            )
            services = build(settings) if agent is None else build(settings, agent=agent)
            started: list[Service] = []
            try:
                for service in services:
                    await service.start()
                    started.append(service)
            except BaseException:
                await stop_all(started, deadline=DEADLINE)
                raise
            one = Running(services, session)
            running.append(one)
            return one

        async def end_all() -> None:
            for one in running:
                if one.stopped:
                    continue
                for worker in await one.call("GET", "/workers"):
                    if worker["status"] in ("starting", "running", "draining"):
                        await one.call("DELETE", f"/workers/{worker['id']}?force=true")
                await one.stop()

        stack.push_async_callback(end_all)
        yield start


@pytest.fixture
async def manager(start: Start) -> Running:
    """A worker manager whose agents only pretend."""
    return await start(agent=stub("normal"))


def events_in(payload: bytes, kind: type[EventData]) -> list[Any]:
    """The data of a batch heard on a bus subject."""
    return [event.data for event in decode_batch(kind.event_type, payload)]
