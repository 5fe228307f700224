"""Gathers a consumer's batch: all messages that have arrived, decoded, within bounds.

Here: the short wait for more messages while all events are patient, decoding, and dropping copies of settled messages.
Not here: the pause after a batch (`shared.bus.consumer`), and how messages arrive (`shared.bus.pull`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from nats.aio.msg import Msg

from schemas.subjects import Catalogue, ConsumerSpec
from shared.bus.failures import Failures
from shared.bus.handling import Message
from shared.bus.holding import Holding
from shared.bus.metrics import ConsumerMetrics
from shared.bus.pull import Position, Pull, stored_at

T = TypeVar("T")


class Gathering(Generic[T]):
    """Gathers the batches of one consumer. Its parameters are the consumer's parts and parameters of `Consumer`.

    `undecodable(raw, position, error)` gets each message that `decode` refuses. `pause(seconds)` sleeps, and returns
    True when the consumer must stop.
    """

    def __init__(
        self,
        spec: ConsumerSpec,
        *,
        decode: Callable[[str, bytes], Sequence[T]],
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
        self._patient = frozenset(catalogue.event(event_type) for event_type in spec.patient)
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
            if any(message.subject not in self._patient for message in islice(buffer, seen, None)):
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
        copies: list[Msg] = []
        events = size = 0
        while buffer and events < self._max_events:
            if messages and size + len(buffer[0].data) > self._max_bytes:
                break
            raw = self._holding.take()
            size += len(raw.data)
            position = Position.of(raw.reply)
            event_type = self._catalogue.event_type(raw.subject)
            if position.deliveries > 1:
                self._metrics.redeliveries.inc()
                if self._failures.settled(position.stream_seq, stored_at(raw.reply)):
                    self._holding.drop(raw)
                    copies.append(raw)
                    continue
            try:
                items = self._decode(event_type, raw.data)
            except ValueError as error:
                await self._undecodable(raw, position, error)
                continue
            messages.append(Message(raw, position, event_type, items))
            events += len(items)
        await self._holding.acknowledge(copies)
        await self._pull.top_up()
        return messages
