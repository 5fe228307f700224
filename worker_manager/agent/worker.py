"""The worker as a service: receives orders on core NATS, and starts and stops in order.

`runner` executes the orders; `heartbeat` publishes the worker's state.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from schemas.agents import Dispatch, Drain, Resume, Seek, Stop
from schemas.subjects import AgentVerb
from shared.bus import Bus, Subscription
from worker_manager.agent.heartbeat import Heart
from worker_manager.agent.identity import Identity
from worker_manager.agent.reporter import Reporter
from worker_manager.agent.runner import Runner

log = structlog.stdlib.get_logger(__name__)

O = TypeVar("O", bound=BaseModel)  # noqa: E741

_MARGIN: Final = 3.0
"""Seconds of the stop deadline that are reserved for killing what still runs and for the last reports."""


class Worker:
    """One worker's subscriptions and life cycle. `patience` is the stop deadline in seconds.

    `leave` is called when a drain with `exit` has nothing left to wait for. `note_stop` is called with the incarnation
    when the worker begins to stop: if its last heartbeat is lost, the next start reports that this was not a crash.
    """

    name = "worker"

    def __init__(
        self,
        bus: Bus,
        identity: Identity,
        runner: Runner,
        reporter: Reporter,
        heart: Heart,
        *,
        patience: float,
        leave: Callable[[], None],
        note_stop: Callable[[str], None],
    ) -> None:
        self._bus = bus
        self._identity = identity
        self._runner = runner
        self._reporter = reporter
        self._heart = heart
        self._patience = max(patience - _MARGIN, patience / 2)
        self._leave = leave
        self._note_stop = note_stop
        self._leaving: asyncio.Task[None] | None = None
        self._subscriptions: Sequence[Subscription] = ()

    async def start(self) -> None:
        """Subscribe to orders, then announce the worker: from then on it may get work."""
        self._subscriptions = [
            await self._hear("run", Dispatch, self._runner.dispatch),
            await self._hear("stop", Stop, self._runner.stop),
            await self._hear("seek", Seek, self._heart.seek),
            await self._hear("drain", Drain, self._drain),
            await self._hear("resume", Resume, self._runner.resume),
        ]
        await self._bus.flush()
        await self._heart.start()
        log.info("worker.ready", worker_id=self._identity.worker_id, incarnation=self._identity.incarnation)

    async def stop(self) -> None:
        """Give back what waits, let what runs end while there is time, kill the rest, and send the last heartbeat."""
        self._note_stop(self._identity.incarnation)
        self._runner.drain(Drain(exit=True))
        await self._heart.say_exiting()
        if self._leaving is not None:
            self._leaving.cancel()
        if not await self._idle(self._patience):
            self._runner.abandon()
            log.warning("worker.executions_abandoned", execution_ids=self._runner.lost)
            if not await self._idle(1.0):
                log.error("worker.executions_still_running", execution_ids=self._runner.running)
        await self._reporter.settle()
        await self._heart.stop()
        await self._heart.say_goodbye()
        if self._bus.connected:
            await self._bus.flush()
        for subscription in self._subscriptions:
            await subscription.unsubscribe()

    async def _idle(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout(deadline):
                await self._runner.idle.wait()
        except TimeoutError:
            return False
        return True

    async def _hear(self, verb: AgentVerb, kind: type[O], obey: Callable[[O], None]) -> Subscription:
        async def deliver(subject: str, payload: bytes, _reply: str) -> None:
            try:
                order = kind.model_validate_json(payload)
            except ValidationError as error:
                log.warning("order.unreadable", subject=subject, error=str(error).splitlines()[0])
                return
            obey(order)

        return await self._bus.subscribe(self._bus.catalogue.agent(self._identity.worker_id, verb), deliver)

    def _drain(self, drain: Drain) -> None:
        self._runner.drain(drain)
        if drain.exit and self._leaving is None:
            self._leaving = asyncio.create_task(self._leave_when_idle(), name="leave when idle")

    async def _leave_when_idle(self) -> None:
        await self._runner.idle.wait()
        self._leave()
