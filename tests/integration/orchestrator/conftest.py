"""The orchestrator alone, on real servers: its own parts in this process, and a bus to speak as the others do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import aiohttp
import pytest

from orchestrator.app import build
from orchestrator.settings import OrchestratorSettings
from schemas.cloudevents import decode_batch, encode_batch, wrap
from schemas.events import (
    EventData,
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    LogChunk,
    LogLine,
    LogSummary,
    TaskQueued,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.questions import SCHEDULED_JOBS, JobsQuestion, ScheduledJobs
from schemas.states import Reason
from shared.bus import Answering, Bus, Consumer, answer, questions_asked
from shared.errors import Unavailable
from shared.ids import new_id
from shared.postgres import Database
from shared.service import Service, start_all, stop_all
from shared.telemetry import Metrics
from shared.web import WebServer
from tests.fixtures.events import addressed
from tests.fixtures.servers import with_password

E = TypeVar("E", bound=EventData)
S = TypeVar("S")
DEADLINE = 10.0
Outcome = Literal["succeeded", "failed", "cancelled", "timed_out"]


class Ears:
    """Everything that is said on the bus, kept, and waited for by type."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.heard: list[EventData] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        for plural in ("pipelines", "jobs", "tasks", "executions", "schedules"):
            await self._bus.subscribe(self._bus.catalogue.event(f"{plural}.>"), self._hear)
        await self._bus.flush()

    async def wait(self, kind: type[E], count: int = 1, *, where: Callable[[E], bool] = lambda _: True) -> list[E]:
        """The first `count` events of a kind, once they have been heard."""
        async with asyncio.timeout(DEADLINE):
            while True:
                self._changed.clear()
                found = [event for event in self.heard if isinstance(event, kind) and where(event)]
                if len(found) >= count:
                    return found
                await self._changed.wait()

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        self.heard += [event.data for event in decode_batch(self._bus.catalogue.event_type(subject), payload)]
        self._changed.set()


@dataclass
class House:
    """An orchestrator at work, and everything around it."""

    url: str
    bus: Bus
    ears: Ears
    http: aiohttp.ClientSession
    database: Database
    services: Sequence[Service] = ()
    settings: OrchestratorSettings = field(default_factory=OrchestratorSettings)

    def part(self, kind: type[S]) -> S:
        """One of the orchestrator's own parts."""
        return next(one for one in self.services if isinstance(one, kind))

    def consumer(self, durable: str) -> Consumer[Any]:
        return next(one for one in self.services if isinstance(one, Consumer) and one.spec.durable == durable)

    async def healthy(self) -> bool:
        """Whether its health is as good as can be."""
        async with self.http.get(f"{self.url}/health") as answer:
            return answer.status == 200 and (await answer.json())["status"] == "healthy"

    async def until_waiting(self, durable: str) -> None:
        """Return once the handler of a consumer has found its database away, and waits for it."""
        async with asyncio.timeout(DEADLINE):
            while True:
                async with self.http.get(f"{self.url}/metrics") as answer:
                    for line in (await answer.text()).splitlines():
                        if (
                            line.startswith(f'hodei_bus_handler_waits_total{{consumer="{durable}"}}')
                            and line[-3:] != "0.0"
                        ):
                            return
                await asyncio.sleep(0.05)  # nothing tells of it but this number

    async def metric(self, sample: str) -> float:
        """One sample of its metrics, named with its labels; 0 if it was never set."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            values = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[:1] != "#")
        return float(values.get(sample, 0))

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request; the answer's JSON, if it has any."""
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status, f"{method} {path}: {answer.status} {text}"
            return await answer.json(content_type=None) if text else None

    async def get(self, path: str, **options: Any) -> Any:
        return await self.call("GET", path, **options)

    async def pages(self, path: str, *, headers: Mapping[str, str] | None = None) -> AsyncIterator[list[Any]]:
        """The pages of a list, at most 100, by following its links."""
        for _ in range(100):
            async with self.http.get(self.url + path, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                page, links = await answer.json(), answer.links
            yield page
            if "next" not in links:
                return
            path = str(links["next"]["url"].relative())

    async def post(self, path: str, body: object = None, *, status: int = 201, **options: Any) -> Any:
        return await self.call("POST", path, body, status=status, **options)

    async def submit(self, **fields: object) -> Any:
        """A job, as it is answered."""
        return await self.post("/api/v1/jobs", {"command": "true"} | fields if "pipeline_id" not in fields else fields)

    async def pipeline(self, *steps: dict[str, object], **fields: object) -> Any:
        """A pipeline, as it is answered."""
        return await self.post("/api/v1/pipelines", {"name": "build", "steps": list(steps), **fields})

    async def say(self, *data: EventData) -> None:
        """One message with all of them, as another service would send it; a report is one that it repeats."""
        events = [wrap(one, id=str(uuid.uuid4()), source="/hodei/test", time=datetime.now(UTC)) for one in data]
        subject = self.bus.catalogue.event(data[0].event_type)
        await self.bus.publish(subject, encode_batch(events), msg_id=str(uuid.uuid4()))

    async def report(self, *data: EventData) -> None:
        """One message with all of them, as the agent of their worker sends it."""
        subject, events = addressed(self.bus, data)
        await self.bus.publish(subject, encode_batch(events), msg_id=str(uuid.uuid4()))

    async def queued(self, job: Mapping[str, Any], name: str | None = None, attempt: int = 1) -> TaskQueued:
        """The order to run a task of a job."""
        [order, *_] = await self.ears.wait(
            TaskQueued,
            where=lambda one: one.job_id == job["id"] and one.attempt == attempt and name in (None, one.name),
        )
        return order

    async def cancelled(self, job: Mapping[str, Any]) -> Any:
        """The job in detail, cancelled while it waits for a worker."""
        order = await self.queued(job)
        await self.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
        await self.say(TaskWithdrawn(task_id=order.task_id, job_id=order.job_id, attempt=order.attempt))
        return await self.over(job)

    async def over(self, job: Mapping[str, Any]) -> Any:
        """The job in detail, once it is over."""
        state = await self.get(f"/api/v1/jobs/{job['id']}/status?wait={DEADLINE:g}")
        assert state["status"] in ("succeeded", "failed", "cancelled"), state
        return await self.get(f"/api/v1/jobs/{job['id']}")


@pytest.fixture
def own_settings() -> dict[str, Any]:
    """The settings in which a module's orchestrator differs from that of the others."""
    return {}


@pytest.fixture
async def house(
    nats_url: str, migrated_database_url: str, namespace: str, own_settings: dict[str, Any]
) -> AsyncIterator[House]:
    settings = OrchestratorSettings(
        nats_url=with_password(nats_url),
        database_url=migrated_database_url,
        namespace=namespace,
        port=0,
        database_pool=4,
        start_deadline=10,
        linger_ms=2,
        feed="off",
        **own_settings,
    )
    bus = Bus(nats_url, name="test", namespace=namespace, start_deadline=10)
    database = Database(migrated_database_url, schema="orchestrator", name="test", min_size=1, max_size=2)
    await bus.start()
    await database.start()
    await bus.declare()
    ears = Ears(bus)
    await ears.start()
    services = build(settings)
    started: list[Service] = []
    try:
        await start_all(services, started)
        [web] = [service for service in services if isinstance(service, WebServer)]
        async with aiohttp.ClientSession() as http:
            yield House(f"http://127.0.0.1:{web.port}", bus, ears, http, database, services, settings)
    finally:
        await stop_all(started, deadline=10)
        await database.stop()
        await bus.stop()


@dataclass
class Scheduler:
    """The scheduler, which is asked whether a schedule will run a job again."""

    needs: set[str] = field(default_factory=set)
    away: bool = False

    async def answer(self, asked: JobsQuestion) -> ScheduledJobs:
        if self.away:
            raise Unavailable("database")
        return ScheduledJobs(scheduled=[one for one in asked.job_ids if one in self.needs])


@pytest.fixture
async def scheduler(house: House) -> AsyncIterator[Scheduler]:
    one = Scheduler()
    answering = Answering(house.bus, questions_asked(Metrics()), [answer(SCHEDULED_JOBS, one.answer)])
    await answering.start()
    await house.bus.flush()
    yield one
    await answering.stop()


def scheduled(order: TaskQueued, *, execution_id: str | None = None, worker_id: str | None = None) -> TaskScheduled:
    return TaskScheduled(
        task_id=order.task_id,
        job_id=order.job_id,
        attempt=order.attempt,
        name=order.name,
        execution_id=execution_id or new_id(),
        worker_id=worker_id or new_id(),
        incarnation=new_id(),
        run=order.run,
        scheduled_at=datetime.now(UTC),
    )


def _of(placed: TaskScheduled) -> dict[str, Any]:
    names = ("execution_id", "task_id", "job_id", "attempt", "worker_id", "incarnation")
    return {name: getattr(placed, name) for name in names}


def started(placed: TaskScheduled) -> ExecutionStarted:
    return ExecutionStarted(**_of(placed), started_at=datetime.now(UTC))


def finished(
    placed: TaskScheduled,
    status: Outcome = "succeeded",
    *,
    exit_code: int | None = 0,
    reason: Reason | None = None,
    chunks: int = 0,
    outputs: dict[str, str] | None = None,
) -> ExecutionFinished:
    moment = datetime.now(UTC)
    return ExecutionFinished.model_validate(
        _of(placed)
        | {
            "status": status,
            "exit_code": exit_code,
            "reason": reason,
            "started_at": moment,
            "finished_at": moment,
            "log": LogSummary(chunks=chunks, lines=chunks),
            "outputs": outputs,
        }
    )


def lost(placed: TaskScheduled) -> ExecutionLost:
    return ExecutionLost(**_of(placed), detail="its worker is gone", lost_at=datetime.now(UTC))


def chunk(placed: TaskScheduled, seq: int, *messages: str) -> LogChunk:
    moment = datetime.now(UTC)
    lines = [LogLine(timestamp=moment, stream="stdout", message=message) for message in messages]
    return LogChunk(execution_id=placed.execution_id, seq=seq, lines=lines)
