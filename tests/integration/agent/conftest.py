"""A control plane of one: sends an agent its orders and hears what it says, on a real NATS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from schemas.agents import Assignment, Dispatch, Drain, Heartbeat, Offer, Seek, Stop
from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData, ExecutionFinished, ExecutionReturned, ExecutionStarted, LogChunk, LogLine
from schemas.specs import RunSpec
from schemas.states import Reason
from shared.bus import Bus
from shared.ids import new_id
from shared.service import stop_all
from worker_manager.agent.app import Agent
from worker_manager.agent.settings import AgentSettings

E = TypeVar("E", bound=EventData)
PATIENCE = 20.0


class ControlPlane:
    """Speaks to one agent; everything heard is kept, and waited for with a deadline."""

    def __init__(self, bus: Bus, agent: Agent, closing: AsyncExitStack) -> None:
        self.bus = bus
        self.agent = agent
        self._closing = closing
        self.worker_id = agent.identity.worker_id
        self.events: list[EventData] = []
        self.heartbeats: list[Heartbeat] = []
        self.offers: list[Offer] = []
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        catalogue = self.bus.catalogue
        for event_type in ("executions.started", "executions.finished", "executions.returned"):
            await self.bus.subscribe(catalogue.report(event_type, "*"), self._on_events)
        await self.bus.subscribe(catalogue.logs("*", "*"), self._on_events)
        await self.bus.subscribe(catalogue.agent(self.worker_id, "heartbeat"), self._on_heartbeat)
        await self.bus.subscribe(catalogue.agent(self.worker_id, "offer"), self._on_offer)
        await self.bus.flush()

    async def catch_up(self) -> None:
        """Hear from the stream what was said while we were not listening; some of it for the second time."""
        consumer = self.bus.consumer("orchestrator-runs", self._on_stored)
        await consumer.start()
        self._closing.push_async_callback(consumer.stop)

    async def stored_log(self, execution_id: str) -> list[str]:
        """The whole log of a finished execution, as it is stored."""
        chunks = (await self.finished(execution_id)).log.chunks
        async with (
            asyncio.timeout(PATIENCE),
            self.bus.read_log(execution_id, self.worker_id, until_chunks=chunks) as reader,
        ):
            return [line.message async for chunk in reader for line in chunk.lines]

    async def _on_stored(self, events: list[CloudEvent[EventData]]) -> None:
        async with self._news:
            self.events += [event.data for event in events]
            self._news.notify_all()

    async def _on_events(self, subject: str, payload: bytes, _reply: str) -> None:
        catalogue = self.bus.catalogue
        events = decode_batch(catalogue.event_type(subject), payload, catalogue.worker(subject))
        async with self._news:
            self.events += [event.data for event in events]
            self._news.notify_all()

    async def _on_heartbeat(self, _subject: str, payload: bytes, _reply: str) -> None:
        heartbeat = Heartbeat.model_validate_json(payload)
        if heartbeat.worker_id != self.worker_id:
            return  # we have turned to another agent since
        async with self._news:
            self.heartbeats.append(heartbeat)
            self._news.notify_all()

    async def _on_offer(self, _subject: str, payload: bytes, _reply: str) -> None:
        async with self._news:
            self.offers.append(Offer.model_validate_json(payload))
            self._news.notify_all()

    def said(self, kind: type[E], execution_id: str | None = None) -> list[E]:
        """The events of one type heard so far."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and execution_id in (None, event.execution_id)  # type: ignore[attr-defined]
        ]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was heard fulfils the condition."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    async def finished(self, execution_id: str) -> ExecutionFinished:
        await self.until(lambda: bool(self.said(ExecutionFinished, execution_id)))
        return self.said(ExecutionFinished, execution_id)[-1]

    async def started(self, execution_id: str) -> ExecutionStarted:
        await self.until(lambda: bool(self.said(ExecutionStarted, execution_id)))
        return self.said(ExecutionStarted, execution_id)[-1]

    async def returned(self, execution_id: str) -> ExecutionReturned:
        await self.until(lambda: bool(self.said(ExecutionReturned, execution_id)))
        return self.said(ExecutionReturned, execution_id)[-1]

    async def log(self, execution_id: str) -> list[LogLine]:
        """The whole log of a finished execution, in order."""
        chunks = (await self.finished(execution_id)).log.chunks

        def by_seq() -> dict[int, LogChunk]:
            return {chunk.seq: chunk for chunk in self.said(LogChunk, execution_id)}

        await self.until(lambda: len(by_seq()) >= chunks)
        assert sorted(by_seq()) == list(range(1, chunks + 1))
        return [line for seq in sorted(by_seq()) for line in by_seq()[seq].lines]

    async def printed(self, execution_id: str, text: str) -> None:
        """Wait until the execution has written a line that contains `text`."""
        await self.until(
            lambda: any(text in line.message for chunk in self.said(LogChunk, execution_id) for line in chunk.lines)
        )

    def assignment(self, run: RunSpec | str, **fields: str) -> Assignment:
        spec = RunSpec(command=run) if isinstance(run, str) else run
        given = {"execution_id": new_id(), "task_id": new_id(), "job_id": new_id(), **fields}
        return Assignment.model_validate({**given, "attempt": 1, "run": spec})

    async def dispatch(self, *assignments: Assignment, incarnation: str | None = None) -> None:
        order = Dispatch(incarnation=incarnation or self.agent.identity.incarnation, assignments=list(assignments))
        await self._order("run", order.model_dump_json())

    async def run(self, run: RunSpec | str) -> str:
        """Dispatch one execution; its id."""
        assignment = self.assignment(run)
        await self.dispatch(assignment)
        return assignment.execution_id

    async def stop(self, *execution_ids: str, reason: Reason = Reason.CANCELLED) -> None:
        await self._order("stop", Stop(execution_ids=list(execution_ids), reason=reason).model_dump_json())

    async def stop_as(self, execution_id: str, reason: str) -> None:
        """Order a stop as a platform of another version may."""
        await self._order("stop", json.dumps({"execution_ids": [execution_id], "reason": reason}))

    async def seek(self, *execution_ids: str) -> None:
        await self._order("seek", Seek(execution_ids=list(execution_ids)).model_dump_json())

    async def drain(self, drain: Drain) -> None:
        await self._order("drain", drain.model_dump_json())

    async def _order(self, verb: str, payload: str) -> None:
        await self.bus.send(self.bus.catalogue.agent(self.worker_id, verb), payload.encode())  # type: ignore[arg-type]


Hire = Callable[..., Awaitable[ControlPlane]]


@pytest.fixture
async def hire(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[ControlPlane]]]:
    """Starts agents in this process, each with its control plane; stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start(url: str, namespace: str, **settings: object) -> ControlPlane:
            agent = Agent(
                AgentSettings.model_validate(
                    {
                        "nats_url": url,
                        "namespace": namespace,
                        "state_dir": tmp_path / "state",
                        "slots": 4,
                        "grace": 0.3,
                        "heartbeat": 0.2,
                        "stop_deadline": 4,
                        **settings,
                    }
                )
            )
            bus = Bus(url, name="orchestrator", namespace=namespace)
            await bus.start()
            stack.push_async_callback(bus.stop)
            await bus.declare()
            control = ControlPlane(bus, agent, stack)
            await control.listen()
            for service in agent.services:
                await service.start()
            stack.push_async_callback(_dismiss, control)
            await control.until(lambda: bool(control.heartbeats))
            return control

        yield start


async def _dismiss(control: ControlPlane) -> None:
    services, control.agent.services = list(control.agent.services), ()
    await stop_all(services, deadline=20)


@pytest.fixture
async def control(hire: Hire, nats_url: str, namespace: str) -> ControlPlane:
    """A worker of four slots and its control plane."""
    return await hire(nats_url, namespace)
