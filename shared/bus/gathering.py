"""Gathers a consumer's batch: all messages that have arrived, decoded, within bounds.

Here: the short wait for more messages while all events are patient, decoding, and dropping copies of settled messages.
Not here: the pause after a batch (`shared.bus.consumer`), and how messages arrive (`shared.bus.pull`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from nats.aio.msg import Msg

from schemas.cloudevents import ForeignEvents
from schemas.subjects import Catalogue, ConsumerSpec
from shared.bus.answers import is_answer
from shared.bus.failures import Failures
from shared.bus.foreign import ForeignKind
from shared.bus.handling import Message
from shared.bus.holding import Holding
from shared.bus.metrics import ConsumerMetrics
from shared.bus.pull import Position, Pull, stored_at

T = TypeVar("T")
Decode = Callable[[str, bytes, str | None], Sequence[T]]
"""A function that decodes a message, from its event type, its payload, and the worker whose agent published it (None
for a service). It returns one item for each event. It raises ValueError for a message that it cannot decode."""


class Gathering(Generic[T]):
    """Gathers the batches of one consumer. Its parameters are the consumer's parts and parameters of `Consumer`.

    `undecodable(raw, position, error)` gets each message of a service that `decode` refuses. `pause(seconds)` sleeps,
    and returns True when the consumer must stop.
    """

    def __init__(
        self,
        spec: ConsumerSpec,
        *,
        decode: Decode[T],
        undecodable: Callable[[Msg, Position, Exception], Awaitable[None]],
        pull: Pull,
        holding: Holding,
        catalogue: Catalogue,
        failures: Failures,
        metrics: ConsumerMetrics,
        stopping: asyncio.Event,
        pause: Callable[[float], Awaitable[bool]],
        patient: Callable[[], bool],
        max_events: int,
        max_bytes: int,
    ) -> None:
        self._decode = decode
        self._undecodable = undecodable
        self._pull = pull
        self._holding = holding
        self._catalogue = catalogue
        self._failures = failures
        self._metrics = metrics
        self._stopping = stopping
        self._pause = pause
        self._may_wait = patient
        self._patience = spec.patience
        self._patient = frozenset(spec.patient)
        self._all_patient = set(spec.patient) == set(spec.event_types)
        self._max_events = max_events
        self._max_bytes = max_bytes

    async def be_patient(self) -> None:
        """Wait a moment for more messages, while all that have arrived are patient."""
        if not self._patient or not self._may_wait():
            return
        if self._all_patient:  # no message of this consumer needs to be checked
            if len(self._pull.buffer) < self._pull.room // 2:
                await self._pause(self._patience)
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        buffer, seen = self._pull.buffer, 0
        while not self._stopping.is_set() and len(buffer) < self._pull.room // 2:
            if not self._patient.issuperset(map(self._type_of, islice(buffer, seen, None))):
                return
            seen = len(buffer)
            left = until - loop.time()
            if left <= 0:
                return
            await self._pull.more(left)

    async def gather(self) -> list[Message[T]]:
        """Take and decode all messages that have arrived, within the bounds."""
        buffer = self._pull.buffer
        messages: list[Message[T]] = []
        done: list[Msg] = []
        events = size = 0
        while buffer and events < self._max_events:
            if messages and size + len(buffer[0].data) > self._max_bytes:
                break
            raw = self._holding.take()
            size += len(raw.data)
            position = Position.of(raw.reply)
            event_type = self._type_of(raw)
            if position.deliveries > 1:
                self._metrics.redeliveries.inc()
                if self._failures.settled(position.stream_seq, stored_at(raw.reply)):
                    self._holding.drop(raw)
                    done.append(raw)
                    continue
            worker_id = self._catalogue.worker(raw.subject)
            try:
                items = self._decode(event_type, raw.data, worker_id)
            except ValueError as error:
                if self._is_of_no_use(raw, worker_id, error):
                    self._holding.drop(raw)
                    done.append(raw)
                else:
                    await self._undecodable(raw, position, error)
                continue
            messages.append(Message(raw, position, event_type, items))
            events += len(items)
        await self._holding.acknowledge(done)
        await self._pull.top_up()
        return messages

    def _is_of_no_use(self, raw: Msg, worker_id: str | None, error: ValueError) -> bool:
        """Whether a worker, and no service, caused an undecodable message. These are counted, and not kept as dead
        letters: a worker could fill the stream with them."""
        if worker_id is not None:
            kind = ForeignKind.BATCH if isinstance(error, ForeignEvents) else ForeignKind.UNREADABLE
            self._metrics.foreign.count(kind, worker_id, detail=str(error))
            return True
        if is_answer(raw.data):
            self._metrics.foreign.count(ForeignKind.ANSWER, None, detail=raw.subject)
            return True
        return False

    def _type_of(self, raw: Msg) -> str:
        return self._catalogue.event_type(raw.subject)
