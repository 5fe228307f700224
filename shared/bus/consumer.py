"""Consumers: the messages that have arrived are passed to a handler as one batch, and acknowledged when it returns.

Here: a consumer's life, and its loop from batch to batch. Not here: how messages arrive (`shared.bus.pull`) and make a
batch (`shared.bus.gathering`), calling the handler (`shared.bus.handling`), settling the messages
(`shared.bus.settling`, `shared.bus.dead_letters`), and the acknowledgements (`shared.bus.holding`).

A handler must be idempotent: it may get the same event again at any time. Events come in the order of the stream, but
redelivered messages are handled first and apart from new ones. Where the handler raises Unavailable or BusUnavailable,
the batch is kept and tried again, with growing pauses, for as long as it takes. Where it raises any other error, or is
TooSlow several times in a row, the batch is run again message by message, and a failing message event by event. The
message comes again after a growing delay; after `max_failures` failures in this process the failing events go to the
dead letters (those that were too slow, only while other events are not), and the rest of the message counts as handled.
A message that cannot be decoded goes to the dead letters at once.

The messages of a killed, frozen or disconnected process are redelivered after the consumer's short `ack_wait`; a living
process extends it several times while it handles them. Redeliveries are not failures of the handler
(`shared.bus.failures`). The growing delay is a NAK with a delay; delays of jobs are rows in SQL.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic, TypedDict, TypeVar

import structlog

from schemas.subjects import EVENTS, Catalogue, ConsumerSpec
from shared.bus.backlog import Backlog
from shared.bus.connection import Connection
from shared.bus.dead_letters import DeadLetters
from shared.bus.declare import Declarations
from shared.bus.errors import BusError
from shared.bus.failures import Failures, groups
from shared.bus.gathering import Decode, Gathering
from shared.bus.handling import Handling, Message, Stopping, trace_of
from shared.bus.holding import Holding
from shared.bus.metrics import ConsumerMetrics
from shared.bus.publish import Publisher
from shared.bus.pull import RENEWAL_REASONS, Pull, stored_at
from shared.bus.settling import Settling
from shared.errors import BusUnavailable
from shared.telemetry import trace_id_of

QUIET: Final = 8
"""Batches of at most so many events cause no pause: one job alone causes a few events at once, and must not wait."""

log = structlog.get_logger(__name__)

LONGEST_YIELD: Final = 0.5
ASK_AGAIN: Final = 0.1
"""Most seconds between two requests to the server for the number of unhandled messages."""

T = TypeVar("T")


class ConsumerOptions(TypedDict, total=False):
    """The options of a `Consumer` that have a default."""

    linger_ms: float
    yields: float
    patient: Callable[[], bool]
    max_events: int
    max_bytes: int
    pull_batch: int
    stop_deadline: float


class Consumer(Generic[T]):
    """A durable consumer, run as a service. `T` is the type of the items that `decode` returns.

    `linger_ms`: the pause after a batch of more than QUIET events, in which the next one gathers. `patient`: whether
    the patient events of the specification may wait at the moment. `yields`: the pause is at least so many times as
    long as the handler took, so that the consumer does not take more than its share of the process. `max_events` and
    `max_bytes` bound a batch (by whole messages: one message is always taken). Several consumers of one durable, in
    one process or many, share its messages.
    """

    def __init__(
        self,
        spec: ConsumerSpec,
        handler: Callable[[list[T]], Awaitable[None]],
        *,
        decode: Decode[T],
        connection: Connection,
        publisher: Publisher,
        declarations: Declarations,
        catalogue: Catalogue,
        failures: Failures,
        linger_ms: float = 40,
        yields: float = 0,
        patient: Callable[[], bool] = lambda: True,
        max_events: int = 2000,
        max_bytes: int = 4 << 20,
        pull_batch: int = 256,
        stop_deadline: float = 5.0,
    ) -> None:
        self.name = f"consumer {spec.durable}"
        self.spec = spec
        self._connection = connection
        self._declarations = declarations
        self._catalogue = catalogue
        self._linger = linger_ms / 1000
        self._yields = yields
        self._newest = (0.0, 0.0, 0)
        """When the newest handled message was stored and gathered (wall clock), and how many were pending then."""
        self._stop_deadline = stop_deadline
        self._durable = catalogue.durable(spec)
        self._metrics = ConsumerMetrics(connection.metrics, self._durable)
        self._handling = Handling(handler, durable=self._durable, metrics=self._metrics, pause=self._pause)
        self._failures = failures
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._forget: Callable[[], None] = lambda: None
        self._pull = Pull(
            connection,
            target=lambda: f"{catalogue.stream(EVENTS)}.{self._durable}",
            repair=self._repair,
            renewed=self._on_renewed,
            batch=pull_batch,
            expires=float(spec.ack_wait),
        )
        self._holding = Holding(
            self._pull.buffer,
            connection=connection,
            failures=failures,
            metrics=self._metrics,
            ack_wait=spec.ack_wait,
        )
        self._settling = Settling(
            spec,
            durable=self._durable,
            handling=self._handling,
            holding=self._holding,
            dead_letters=DeadLetters(self._durable, publisher=publisher, catalogue=catalogue, metrics=self._metrics),
            failures=failures,
            metrics=self._metrics,
            changed=self._notify,
        )
        self._gathering = Gathering(
            spec,
            decode=decode,
            undecodable=self._settling.bury_whole,
            pull=self._pull,
            holding=self._holding,
            catalogue=catalogue,
            failures=failures,
            metrics=self._metrics,
            stopping=self._stopping,
            pause=self._pause,
            patient=patient,
            max_events=max_events,
            max_bytes=max_bytes,
        )

    async def start(self) -> None:
        """Declare the durable consumer and begin. Raises Unavailable, or BusError, when that is impossible."""
        await self._declarations.declare([self.spec], deadline=10)
        try:
            await self._pull.start()
        except BaseException:
            await self._pull.close()  # a consumer that has not started is not stopped later
            raise
        self._forget = self._declarations.on_recreated(lambda: self._pull.remake("stream recreated"))
        self._tasks = [
            asyncio.create_task(self._run(), name=self.name),
            asyncio.create_task(self._holding.keep_alive(), name=f"{self.name} keep-alive"),
        ]

    async def stop(self) -> None:
        """Stop pulling, let the running handler finish within the stop deadline, and give back unhandled messages.

        Messages that are given back reach another consumer of the same durable at once. A cancelled stop cancels the
        handler, too.
        """
        self._stopping.set()
        self._forget()
        try:
            await self._pull.close()
            if self._tasks:
                _, unfinished = await asyncio.wait(self._tasks[:1], timeout=self._stop_deadline)
                if unfinished:
                    log.warning("consumer.handler_late", consumer=self._durable)
        finally:
            for task in self._tasks:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            self._tasks = []
        await self._holding.give_back()

    async def until(self, condition: Callable[[], bool], *, deadline: float = 10.0) -> None:
        """Wait until `condition()` holds. It is checked after every change of `handled`, `dead` or `idle`.

        Raises TimeoutError after `deadline` seconds.
        """
        async with asyncio.timeout(deadline):
            while not condition():
                await self._changed.wait()

    async def caught_up(self, within: float) -> bool:
        """Wait up to `within` seconds until all messages that the stream has for this consumer now are handled.

        Returns whether they are; False also if the server did not answer in that time.
        """
        backlog: Backlog | None = None
        try:
            async with asyncio.timeout(within):
                while True:
                    changed = self._changed
                    try:
                        if backlog is None:
                            backlog = await Backlog.now(self._connection, self._catalogue, deadline=within)
                        if await backlog.is_handled(self._connection, self._catalogue, self._durable, deadline=within):
                            return True
                    except (BusUnavailable, BusError) as error:
                        log.info("consumer.backlog_unknown", consumer=self._durable, error=str(error))
                    with suppress(TimeoutError):  # the server processes acknowledgements asynchronously
                        async with asyncio.timeout(ASK_AGAIN):
                            await changed.wait()
                            await asyncio.sleep(ASK_AGAIN / 10)
        except TimeoutError:
            return False

    @property
    def handled(self) -> int:
        """Events whose message was acknowledged after its handler returned, dead ones included."""
        return self._settling.handled

    @property
    def dead(self) -> int:
        """Events (or undecodable messages) moved to the dead letters."""
        return self._settling.dead

    def delay(self) -> float:
        """How far the consumer is behind: for how many seconds the last message of the last batch waited in the stream
        before it was gathered; 0 once it is handled and no message came after it."""
        stored, gathered, pending = self._newest
        return 0.0 if self.idle and not pending else max(0.0, gathered - stored)

    @property
    def idle(self) -> bool:
        """Whether no message that has arrived waits to be handled."""
        return self._holding.is_empty

    # -- the loop

    async def _run(self) -> None:
        while await self._pull.ready():
            await self._gathering.be_patient()
            started = time.perf_counter()
            messages: list[Message[T]] = []
            outcome = "handled"
            try:
                messages = await self._gathering.gather()
                if messages:
                    self._metrics.delivery_seconds.observe(max(0.0, time.time() - stored_at(messages[0].raw.reply)))
                    last = messages[-1]
                    self._newest = stored_at(last.raw.reply), time.time(), last.position.pending
                # Redelivered messages are handled apart, so that a poisonous one fails no other batch.
                handled_together = groups(messages)
                if handled_together and self._failures.deadly(handled_together[0][0].position):
                    await self._settling.bury_unhandled(handled_together.pop(0)[0])
                    outcome = "failed"
                for group in handled_together:
                    if not await self._settling.handle(group):
                        outcome = "failed"
            except Stopping:
                return
            except Exception:
                outcome = "given_back"
                log.exception("consumer.batch_given_back", consumer=self._durable)
                await self._holding.all_again()
            finally:
                self._notify()
            count = sum(len(message.items) for message in messages)
            if messages:
                self._log_batch(messages, count, outcome, time.perf_counter() - started)
            if count > QUIET and self._linger:
                await self._pause(max(self._linger, min(self._yields * self._handling.took, LONGEST_YIELD)))

    def _log_batch(self, messages: list[Message[T]], count: int, outcome: str, seconds: float) -> None:
        """Log one line for a batch: none when idle, and few under load, because batches grow."""
        traced = {} if (trace := trace_id_of(trace_of(messages))) is None else {"trace_id": trace}
        again = sum(message.position.deliveries > 1 for message in messages)
        log.info(
            "event_batch",
            consumer=self._durable,
            events=count,
            messages=len(messages),
            types=sorted({message.event_type for message in messages}),
            outcome=outcome,
            redeliveries=again,
            duration_ms=round(seconds * 1000, 3),
            **traced,
        )

    async def _repair(self, reason: str) -> None:
        log.error("consumer.declared_again", consumer=self._durable, reason=reason)
        await self._declarations.streams()
        await self._declarations.consumer(self.spec)

    def _on_renewed(self, reason: str) -> None:
        self._metrics.renewed(reason if reason in RENEWAL_REASONS else "refused")

    async def _pause(self, seconds: float) -> bool:
        """Sleep, or return early when the consumer stops. Returns whether it stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
