"""Consumers: what has arrived is handed to a handler as one batch, and acknowledged when the handler has returned.

Here: gathering, lingering, acknowledging, and what becomes of a message whose handler failed. Not here: how messages
arrive (`shared.bus.pull`), calling the handler (`shared.bus.handling`), and dead letters (`shared.bus.dead_letters`).

A handler is idempotent: it may be given the same event again at any time. Events come in the order of the stream, but
redelivered messages are handled first and apart from new ones. Where the handler raises Unavailable or BusUnavailable,
the batch is kept and tried again, with growing pauses, for as long as it takes. Where it raises any other error, or is
TooSlow several times in a row, the batch is run again message by message, and a failing message event by event. The
message comes again after a growing delay; after `max_failures` failures in this process the failing events go to the
dead letters (those that were too slow, only while other events are not), and the rest of the message counts as handled.
A message that cannot be decoded goes to the dead letters at once.

A killed, frozen or disconnected process's messages come again after the consumer's short `ack_wait`; a living process
tells the server several times within it that it still works on them. Redeliveries are not failures of the handler
(`shared.bus.failures`). The growing delay is a NAK with a pause; a job's own delays are rows in SQL.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, Generic, TypeVar

import orjson
import structlog
from nats.aio.msg import Msg

from schemas.subjects import EVENTS, Catalogue, ConsumerSpec
from shared.bus.backlog import Backlog
from shared.bus.connection import Connection
from shared.bus.dead_letters import DeadLetters
from shared.bus.declare import NANOS, Declarations
from shared.bus.errors import BusError
from shared.bus.failures import Failures, HandedOutTooOften, groups
from shared.bus.handling import Handling, Message, Stopping, trace_of
from shared.bus.metrics import ConsumerMetrics
from shared.bus.publish import Publisher
from shared.bus.pull import RENEWAL_REASONS, Position, Pull, stored_at
from shared.errors import BusUnavailable, TooSlow
from shared.telemetry import trace_id_of

QUIET: Final = 8
"""A batch of so few events is no load: one job alone causes some of them together, and its next step must not wait."""

log = structlog.get_logger(__name__)

ACK: Final = b"+ACK"
NAK: Final = b"-NAK"
IN_PROGRESS: Final = b"+WPI"

NAK_FIRST_DELAY: Final = 0.1
NAK_LONGEST_DELAY: Final = 10.0
LONGEST_YIELD: Final = 0.5
ASK_AGAIN: Final = 0.1
"""Seconds between two questions to the server whether all was handled, at the most."""
SIGNS_OF_LIFE: Final = 4
"""How often within `ack_wait` the server is told that we still work on what we hold: two may come late or get lost."""

T = TypeVar("T")


class Consumer(Generic[T]):
    """One durable consumer at work: a service. `T` is what `decode(event_type, payload)` makes of an event.

    `linger_ms`: the pause after a batch of more than QUIET events, in which the next one gathers. `patient`: whether
    the patient events of the specification may wait just now. `yields`: the pause is at least so many times as long as
    the handler took, so that the consumer never has more than its share of the process. `max_events` and `max_bytes`
    bound a batch (by whole messages: one message is always taken). Several consumers of one durable, in one process or
    many, share its messages.
    """

    def __init__(
        self,
        spec: ConsumerSpec,
        handler: Callable[[list[T]], Awaitable[None]],
        *,
        decode: Callable[[str, bytes], Sequence[T]],
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
        self.handled = 0
        """Events whose message was acknowledged after its handler returned, dead ones included."""
        self._decode = decode
        self._connection = connection
        self._declarations = declarations
        self._catalogue = catalogue
        self._linger = linger_ms / 1000
        self._yields = yields
        self._newest = (0.0, 0.0, 0)
        """When the newest message handled was stored, and when it was gathered, by the wall clock."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._stop_deadline = stop_deadline
        self._durable = catalogue.durable(spec)
        self._may_wait = patient
        self._patient = frozenset(catalogue.event(event_type) for event_type in spec.patient)
        self._all_patient = set(spec.patient) == set(spec.event_types)
        self._metrics = ConsumerMetrics(connection.metrics, self._durable)
        self._handling = Handling(handler, durable=self._durable, metrics=self._metrics, pause=self._pause)
        self._dead_letters = DeadLetters(self._durable, publisher=publisher, catalogue=catalogue, metrics=self._metrics)
        self._held: dict[str, Msg] = {}
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

    async def start(self) -> None:
        """Declare the durable consumer and begin. Raises Unavailable, or BusError, when that is impossible."""
        await self._declarations.declare([self.spec], deadline=10)
        try:
            await self._pull.start()
        except BaseException:
            await self._pull.close()  # nobody is going to stop what has not started
            raise
        self._forget = self._declarations.on_recreated(lambda: self._pull.remake("stream recreated"))
        self._tasks = [
            asyncio.create_task(self._run(), name=self.name),
            asyncio.create_task(self._keep_alive(), name=f"{self.name} keep-alive"),
        ]

    async def stop(self) -> None:
        """Take nothing more, let the running handler finish within the stop deadline, give back what is not
        done.

        What is given back reaches another consumer of the same durable at once. A stop that is cancelled cancels the
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
        await self._give_back()

    async def until(self, condition: Callable[[], bool], *, deadline: float = 10.0) -> None:
        """Wait until `condition()` holds, looked at after every change of `handled`, `dead` or `idle`.

        Raises TimeoutError after `deadline` seconds.
        """
        async with asyncio.timeout(deadline):
            while not condition():
                await self._changed.wait()

    async def caught_up(self, within: float) -> bool:
        """Wait until what the stream holds for this consumer by now has been handled, `within` seconds at the most.
        Tells whether it was; False, too, when the server did not say so in that time."""
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
                    with suppress(TimeoutError):  # the server works acknowledgements off in its own time
                        async with asyncio.timeout(ASK_AGAIN):
                            await changed.wait()
                            await asyncio.sleep(ASK_AGAIN / 10)
        except TimeoutError:
            return False

    @property
    def dead(self) -> int:
        """Events (or undecodable messages) moved to the dead letters."""
        return self._dead_letters.sent

    def delay(self) -> float:
        """How far it is behind: seconds that the last message of the last batch had waited in the stream before it was
        gathered; 0 once that was handled and nothing came after it."""
        stored, gathered, pending = self._newest
        return 0.0 if self.idle and not pending else max(0.0, gathered - stored)

    @property
    def idle(self) -> bool:
        """Nothing that has arrived waits to be handled."""
        return not self._held and not self._pull.buffer

    # -- the loop

    async def _run(self) -> None:
        while await self._pull.ready():
            await self._be_patient()
            started = time.perf_counter()
            messages: list[Message[T]] = []
            outcome = "handled"
            try:
                messages = await self._gather()
                if messages:
                    self._metrics.delivery_seconds.observe(max(0.0, time.time() - stored_at(messages[0].raw.reply)))
                    last = messages[-1]
                    self._newest = stored_at(last.raw.reply), time.time(), last.position.pending
                # What comes again is handled apart, so that poison spoils no other batch.
                handled_together = groups(messages)
                if handled_together and self._failures.deadly(handled_together[0][0].position):
                    await self._bury_unhandled(handled_together.pop(0)[0])
                    outcome = "failed"
                for group in handled_together:
                    if not await self._handle(group):
                        outcome = "failed"
            except Stopping:
                return
            except Exception:
                outcome = "given_back"
                log.exception("consumer.batch_given_back", consumer=self._durable)
                for raw in list(self._held.values()):
                    await self._again(raw, Position.of(raw.reply))
            finally:
                self._notify()
            count = sum(len(message.items) for message in messages)
            if messages:
                self._tell(messages, count, outcome, time.perf_counter() - started)
            if count > QUIET and self._linger:
                await self._pause(max(self._linger, min(self._yields * self._handling.took, LONGEST_YIELD)))

    async def _be_patient(self) -> None:
        """While all that has arrived may wait, give it a moment to get company."""
        if not self._patient or not self._may_wait():
            return
        if self._all_patient:  # nothing that may come has to be looked at
            if len(self._pull.buffer) < self._pull.room // 2:
                await self._pause(self.spec.patience)
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self.spec.patience
        buffer, seen = self._pull.buffer, 0
        while not self._stopping.is_set() and len(buffer) < self._pull.room // 2:
            if any(message.subject not in self._patient for message in islice(buffer, seen, None)):
                return
            seen = len(buffer)
            left = until - loop.time()
            if left <= 0:
                return
            await self._pull.more(left)

    async def _gather(self) -> list[Message[T]]:
        """Everything that has arrived, decoded, within the bounds."""
        buffer = self._pull.buffer
        messages: list[Message[T]] = []
        copies: list[Msg] = []
        events = size = 0
        while buffer and events < self._max_events:
            if messages and size + len(buffer[0].data) > self._max_bytes:
                break
            raw = buffer.popleft()
            size += len(raw.data)
            self._held[raw.reply] = raw
            position = Position.of(raw.reply)
            event_type = self._catalogue.event_type(raw.subject)
            if position.deliveries > 1:
                self._metrics.redeliveries.inc()
                if self._failures.settled(position.stream_seq, stored_at(raw.reply)):
                    copies.append(self._held.pop(raw.reply))
                    continue
            try:
                items = self._decode(event_type, raw.data)
            except ValueError as error:
                await self._bury_whole(raw, position, error)
                continue
            messages.append(Message(raw, position, event_type, items))
            events += len(items)
        await self._reply(copies, ACK)
        await self._pull.top_up()
        return messages

    def _tell(self, messages: list[Message[T]], count: int, outcome: str, seconds: float) -> None:
        """The one line that a batch leaves in the log: quiet when idle, and few lines under load, for batches grow."""
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

    async def _handle(self, messages: list[Message[T]]) -> bool:
        """Tell whether the handler took all of them at once."""
        error = await self._handling.attempt(messages)
        if error is None:
            await self._settle(messages)
            return True
        log.warning("consumer.handler_failed", consumer=self._durable, messages=len(messages), exc_info=error)
        for message in messages:
            alone = error if len(messages) == 1 else await self._handling.attempt([message])
            if alone is None:
                await self._settle([message])
            else:
                await self._isolate(message, alone)
        return False

    async def _settle(self, messages: Sequence[Message[T]]) -> None:
        for message in messages:
            count = len(message.items)
            self.handled += count
            self._metrics.handled(message.event_type, count)
            self._held.pop(message.raw.reply, None)
            self._failures.settle(message.position.stream_seq, stored_at(message.raw.reply))
        await self._reply([message.raw for message in messages], ACK)

    # -- failures

    async def _isolate(self, message: Message[T], error: Exception) -> None:
        """Run a failing message event by event; bury the culprits if they have had their chances."""
        culprits = [(0, error)]
        if len(message.items) > 1:
            culprits = []
            for index, item in enumerate(message.items):
                failed = await self._handling.call([item])
                if failed is not None:
                    culprits.append((index, failed))
        too_slow = any(isinstance(failed, TooSlow) for _, failed in culprits)
        last = self._failures.of(message.position.stream_seq) + 1 >= self.spec.max_failures
        if culprits and (not last or (too_slow and not self._handling.works())):
            await self._again(message.raw, message.position)
        else:
            await self._bury(message, culprits)

    async def _bury_unhandled(self, message: Message[T]) -> None:
        """Of the messages that are left after so many deliveries, the first; the others get their turn alone."""
        error = HandedOutTooOften(message.position.deliveries)
        await self._bury(message, [(index, error) for index in range(len(message.items))])

    async def _bury(self, message: Message[T], culprits: Sequence[tuple[int, Exception]]) -> None:
        """Move the culprits of a message to the dead letters, by their place in it; the rest counts as handled."""
        try:
            for index, failed in culprits:
                await self._dead_letters.bury(message.raw, index, failed)
        except (BusUnavailable, BusError) as away:
            log.warning("dead_letter.not_sent", consumer=self._durable, error=str(away))
            await self._again(message.raw, message.position)
            return
        await self._settle([message])

    async def _again(self, raw: Msg, position: Position) -> None:
        failures = self._failures.note(position.stream_seq)
        delay = min(NAK_FIRST_DELAY * 2 ** (failures - 1), NAK_LONGEST_DELAY)
        self._held.pop(raw.reply, None)
        await self._reply([raw], NAK + b" " + orjson.dumps({"delay": int(delay * NANOS)}))

    async def _give_back(self) -> None:
        """Let go of all that is here: it comes again, and not through any fault of its own."""
        messages = [*self._held.values(), *self._pull.buffer]
        self._held.clear()
        self._pull.buffer.clear()
        for raw in messages:
            self._failures.spare(Position.of(raw.reply).stream_seq)
        await self._reply(messages, NAK)

    async def _bury_whole(self, raw: Msg, position: Position, error: Exception) -> None:
        try:
            await self._dead_letters.bury_whole(raw, error)
        except (BusUnavailable, BusError) as away:
            log.warning("dead_letter.not_sent", consumer=self._durable, error=str(away))
            await self._again(raw, position)
            return
        self._held.pop(raw.reply, None)
        await self._reply([raw], ACK)
        self._notify()

    # -- keeping things going

    async def _keep_alive(self) -> None:
        """Tell the server that what is held is still being worked on, so that it is not delivered to
        another.
        """
        while True:
            await asyncio.sleep(self.spec.ack_wait / SIGNS_OF_LIFE)
            if not self._connection.connected:
                continue  # it would only pile up; what was held comes again
            await self._reply([*self._held.values(), *self._pull.buffer], IN_PROGRESS)

    async def _reply(self, messages: Sequence[Msg], word: bytes) -> None:
        if not messages:
            return
        try:
            await self._connection.post_all([message.reply for message in messages], word)
        except (BusUnavailable, BusError) as error:
            self._metrics.lost_replies.inc()
            log.warning("consumer.reply_lost", error=str(error))

    async def _repair(self, reason: str) -> None:
        log.error("consumer.declared_again", consumer=self._durable, reason=reason)
        await self._declarations.streams()
        await self._declarations.consumer(self.spec)

    def _on_renewed(self, reason: str) -> None:
        self._metrics.renewed(reason if reason in RENEWAL_REASONS else "refused")

    async def _pause(self, seconds: float) -> bool:
        """Sleep, unless the consumer is to stop. Returns whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
