"""What the agent publishes besides reports: the heartbeat that renews its lease, and offers.

Both go over core NATS, unacknowledged: the next one replaces a lost one. Offers follow the rate of executions that end,
but at least OFFER_GAP apart; while any prefetch is offered the rate is checked again, so that the offer falls when work
ends.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import structlog

from schemas.agents import MAX_NAMED, PROTOCOL, Heartbeat, Offer, Seek
from schemas.subjects import Catalogue
from shared.clock import now
from shared.errors import BusUnavailable
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.health import Health
from worker_manager.agent.identity import Identity
from worker_manager.agent.prefetch import Prefetch
from worker_manager.agent.runner import Runner

log = structlog.stdlib.get_logger(__name__)

LIFE: Final = 15
"""The least number of seconds for which the file `alive` holds good."""
OFFER_GAP: Final = 0.05
"""The least number of seconds between two offers."""
HURRIED_BEATS: Final = 5
HURRY: Final = 1.0
"""The most seconds between two beats, for a number of beats after the bus came back. Orders sent shortly before are
lost, and the scheduler learns it from the executions that a heartbeat does not name."""


class CoreBus(Protocol):
    """The part of the bus that the heartbeat uses."""

    @property
    def connected(self) -> bool: ...

    @property
    def catalogue(self) -> Catalogue: ...

    async def send(self, subject: str, payload: bytes) -> None: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...


class Heart:
    """Sends a heartbeat every `interval` seconds, at once and faster for a while when the bus comes back, and offers
    when the room changes.

    After each heartbeat that the bus took, it writes to the file `alive` for how many seconds the agent counts as
    alive, for a process that watches it from outside.
    """

    name = "heartbeat"

    def __init__(
        self,
        bus: CoreBus,
        identity: Identity,
        runner: Runner,
        prefetch: Prefetch,
        delivery: Delivery,
        health: Health,
        *,
        interval: float,
        version: str = "",
        alive: Path | None = None,
        credentials: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._identity = identity
        self._runner = runner
        self._prefetch = prefetch
        self._delivery = delivery
        self._health = health
        self._interval = interval
        self._version = version
        self._alive = alive
        self._credentials = credentials
        self._host = socket.gethostname()
        self._readiness: tuple[bool, str | None] = (False, None)
        """What was offered last: whether the worker drains, and why it is unhealthy."""
        self._offered_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._beat_now = asyncio.Event()
        self._hurried = 0
        """How many more beats come at the faster rate."""
        self._over: list[str] = []
        self._sequence = 0
        """How many heartbeats and offers were sent."""
        self._sending: set[asyncio.Task[bool]] = set()
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start the beats; the first announces the worker right after this returns, when it is ready to be stopped in
        order."""
        self._forget = self._bus.on_change(self._on_change)
        self._beat_now.set()
        self._task = asyncio.create_task(self._beat_forever(), name=self.name)

    async def stop(self) -> None:
        """Send no more heartbeats and offers."""
        self._forget()
        if self._look is not None:
            self._look.cancel()
        tasks: set[asyncio.Task[bool] | asyncio.Task[None]] = {
            *self._sending,
            *([self._task] if self._task is not None else []),
        }
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def say_exiting(self) -> None:
        """Announce at once that the worker stops on order: it may not have time for another heartbeat."""
        await self._send(self.beat())

    async def say_goodbye(self) -> None:
        """Send the last heartbeat. The executions that it names as running were ended without an outcome."""
        await self._send(self.beat(leaving=True))

    def _on_change(self, connected: bool) -> None:
        if connected:
            self._hurried = HURRIED_BEATS
            self._beat_now.set()

    def seek(self, seek: Seek) -> None:
        """Answer with a heartbeat at once if any of these executions is over here. One that never arrived may still
        come."""
        held = {*self._runner.running, *self._runner.waiting, *self._delivery.unsettled}
        self._over = [
            id
            for id in seek.execution_ids
            if id not in held and (self._runner.has_taken(id) or id in self._delivery.earlier)
        ]
        if self._over:
            self._beat_now.set()

    def beat(self, *, leaving: bool = False) -> Heartbeat:
        """The heartbeat to send now."""
        identity, runner = self._identity, self._runner
        over, self._over = self._over, []
        return Heartbeat(
            worker_id=identity.worker_id,
            incarnation=identity.incarnation,
            slots=runner.slots,
            prefetch=self._prefetch.offered,
            draining=runner.draining,
            unhealthy=self._health.reason,
            protocol=PROTOCOL,
            sequence=self._next(),
            name=identity.name,
            type=identity.type,
            labels=identity.labels,
            capacity=identity.capacity,
            credentials=self._credentials(),
            host=self._host,
            pid=os.getpid(),
            version=self._version,
            sent_at=now(),
            running=runner.lost if leaving else runner.running,
            waiting=runner.waiting,
            reporting=sorted(self._delivery.unsettled)[:MAX_NAMED],
            over=over,
            durable=identity.durable,
            stopped=list(identity.stopped),
            exiting=runner.exiting,
            leaving=leaving,
        )

    def look(self) -> None:
        """Publish a new offer if the room changed notably or the readiness changed."""
        readiness = (self._runner.draining, self._health.reason)
        same = readiness == self._readiness
        if self._look is not None and same and self._prefetch.offered:
            return  # under load every execution that ends calls this; the timer checks again soon anyway
        moment = time.monotonic()
        room = 0 if any(readiness) else self._prefetch.notable(moment)
        if same and (room is None or room == self._prefetch.offered):
            if self._prefetch.offered:
                self._look_again(OFFER_GAP)
            return
        if same and moment - self._offered_at < OFFER_GAP:
            self._look_again(OFFER_GAP)
            return
        self._readiness = readiness
        self._prefetch.offer(room or 0, moment)
        self._offered_at = moment
        self._spawn_offer()
        if room:
            self._look_again(OFFER_GAP)

    def _look_again(self, seconds: float) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(seconds, self._looked)

    def _looked(self) -> None:
        self._look = None
        self.look()

    def _spawn_offer(self) -> None:
        offer = Offer(
            worker_id=self._identity.worker_id,
            incarnation=self._identity.incarnation,
            slots=self._runner.slots,
            prefetch=self._prefetch.offered,
            draining=self._runner.draining,
            unhealthy=self._health.reason,
            protocol=PROTOCOL,
            sequence=self._next(),
        )
        task = asyncio.create_task(self._send(offer))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    async def _beat_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(min(HURRY, self._interval) if self._hurried else self._interval):
                    await self._beat_now.wait()
            except TimeoutError:
                self._hurried = max(0, self._hurried - 1)  # an ordinary beat
            self._beat_now.clear()
            if await self._send(self.beat()):
                self._show_life()

    def _show_life(self) -> None:
        if self._alive is None:
            return
        try:
            self._alive.write_text(f"{max(LIFE, round(3 * self._interval))}\n")
        except OSError as error:  # an outside watcher will take the agent for dead, which is no reason to stop
            log.warning("heartbeat.sign_not_given", folder=str(self._alive.parent), error=str(error))

    async def _send(self, word: Offer | Heartbeat) -> bool:
        verb: Final = "heartbeat" if isinstance(word, Heartbeat) else "offer"
        try:
            await self._bus.send(
                self._bus.catalogue.agent(self._identity.worker_id, verb),
                word.model_dump_json(exclude_none=True).encode(),
            )
        except BusUnavailable as error:
            log.debug("heartbeat.not_said", word=verb, error=str(error))
            return False
        return True
