"""The bus as services see it: one object that connects, declares, publishes, and makes consumers.

Here: `Bus`, the public face, and core subscriptions. Modules of this package do the work: `connection` (NATS),
`declare` (streams and consumers), `publish` (acknowledged publishing), `pull` and `consumer` (batches), `logs` (logs).
`schemas.subjects` lists the subjects.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as RawSubscription

from schemas.cloudevents import BATCH_CONTENT_TYPE, CloudEvent, decode_batch
from schemas.events import EventData
from schemas.subjects import CONSUMERS, FEED, LOGS, STREAMS, Catalogue, ConsumerSpec, Owner, StreamSpec
from shared.bus.admission import WORKERS, Admission
from shared.bus.answers import is_answer
from shared.bus.connection import Connection
from shared.bus.consumer import Consumer, ConsumerOptions
from shared.bus.declare import Declarations
from shared.bus.errors import BusError
from shared.bus.failures import Failures
from shared.bus.foreign import Foreign, ForeignKind
from shared.bus.gathering import Decode
from shared.bus.lag import Lag
from shared.bus.letters import Letters
from shared.bus.log_index import LogIndex, open_log_index
from shared.bus.logs import SETTLE, LogReader, Settle, has_log, logs_kept_since
from shared.bus.metrics import BusMetrics
from shared.bus.publish import DEADLINE, Publisher
from shared.bus.reading import EventReader, EventStreamState, Pace
from shared.errors import BusUnavailable, ConfigError
from shared.telemetry import TRACEPARENT, Metrics, inject

__all__ = ["Bus", "BusError", "Consumer", "LogReader", "Subscription"]

log = structlog.get_logger(__name__)

Event = CloudEvent[EventData]
Handler = Callable[[list[Event]], Awaitable[None]]
Callback = Callable[[str, bytes, str], Awaitable[None]]
T = TypeVar("T")

IDLE: Final = 10.0
"""Seconds after a publish for which its result still shows whether NATS stores messages."""
IDLE_WITH_PROBLEM: Final = 1.0
"""The same after a publish that failed: a server that froze for a moment recovers soon."""
PROBE_BYTES: Final = 4096
"""A block of most file systems: on a full disk a smaller message may still fit into the last block."""
PROBE_DEADLINE: Final = 1.5
"""Seconds; shorter than the deadline of a health check."""
LEAST_PAYLOAD: Final = 512 * 1024
"""The smallest `max_payload` of a server, in bytes, with which the platform works; the default of NATS is 1 MiB."""

_BATCH: Final[Mapping[str, str]] = {"Content-Type": BATCH_CONTENT_TYPE}


class Subscription:
    """A subscription to a core NATS subject, until `unsubscribe`."""

    def __init__(self, connection: Connection, raw: RawSubscription) -> None:
        self._connection = connection
        self._raw = raw

    async def unsubscribe(self) -> None:
        """End the subscription, after the callback has handled the messages that had already arrived."""
        await self._connection.release(self._raw)


class Bus:
    """The connection of one process to the bus; a service (start/stop).

    `url` may name several servers, separated by commas. `name` is the service's name, which decides which durable
    consumers it declares. `linger_ms` is how long its consumers wait after a batch. `ages` are the ages of messages in
    streams where they differ from the catalogue's (None: no limit). `ca` is the file of the authority
    that signed the servers' certificates; with it, or with `tls://` in `url`, the bus uses TLS only. `credentials` is
    the file of this user's credentials, for a NATS that asks for them. `inbox` names the user whose inboxes it hears,
    by default `name`. Only a process that `declares` creates streams. While NATS is unavailable, `connected` is False,
    every publish raises BusUnavailable, and consumers wait. Once NATS is available again, the bus reconnects and
    consumers continue.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        namespace: str = "hodei",
        start_deadline: float = 30.0,
        metrics: Metrics | None = None,
        linger_ms: float = 40,
        replicas: int = 1,
        ages: Mapping[StreamSpec, timedelta | None] | None = None,
        ca: Path | None = None,
        credentials: Path | None = None,
        inbox: Sequence[str] = (),
        declares: bool = True,
    ) -> None:
        self.name = name
        self.catalogue = Catalogue(namespace)
        self._start_deadline = start_deadline
        self._linger_ms = linger_ms
        metrics = metrics or Metrics()
        self._connection = Connection(
            url,
            name=f"{namespace}-{name}",
            start_deadline=start_deadline,
            metrics=BusMetrics(metrics),
            ca=ca,
            admission=Admission(credentials) if declares else Admission(credentials, WORKERS),
            inbox=self.catalogue.inbox(*(inbox or [name])),
        )
        self._lag = Lag(self._connection, self.catalogue, metrics)
        streams = [_aged(spec, (ages or {}).get(spec, timedelta(seconds=spec.max_age))) for spec in STREAMS]
        self._declarations = Declarations(self._connection, self.catalogue, replicas=replicas, streams=streams)
        self._failures: dict[str, Failures] = {}
        """By durable name. They outlive a consumer object, which a leader makes anew for each term."""
        missing = self._declarations.streams_again if declares else self._declarations.others_declare
        self._publisher = Publisher(self._connection, missing)
        self._one_probe = asyncio.Lock()
        self._events = EventStreamState(self._connection, self.catalogue)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes (headers included)."""
        return self._connection.max_payload

    async def healthy(self) -> bool:
        """For a health check: connected, and the last published message was stored. Publishes a probe first if nothing
        was published for IDLE seconds."""
        async with self._one_probe:
            age = IDLE if self._publisher.problem is None else IDLE_WITH_PROBLEM
            if self.connected and self._publisher.quiet > age:
                await self._probe()
        return self.connected and self._publisher.problem is None

    async def _probe(self) -> None:
        subject, probe = self.catalogue.probe(self.name), os.urandom(PROBE_BYTES)
        with suppress(BusUnavailable):  # the publisher has noted and logged it
            await self._publisher.publish(subject, probe, msg_id=f"probe-{probe[:16].hex()}", deadline=PROBE_DEADLINE)

    async def start(self) -> None:
        """Connect. Raises Unavailable when no server answers within the start deadline, and ConfigError when the
        server's `max_payload` is too small for batches and log chunks."""
        await self._connection.start()
        if self.max_payload < LEAST_PAYLOAD:
            await self._connection.stop()
            raise ConfigError(
                f"NATS takes messages of at most {self.max_payload:,} bytes; the platform needs {LEAST_PAYLOAD:,}: "
                "raise max_payload in the server's configuration"
            )
        await self._publisher.start()

    async def stop(self) -> None:
        """Close the connection. The caller stops consumers and subscriptions first."""
        await self._declarations.stop()
        if self._connection.connected:
            await self._publisher.stop()
        await self._connection.stop()

    @property
    def foreign(self) -> Foreign:
        """Counts what a worker's agent publishes that is not its own."""
        return self._connection.metrics.foreign

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call `listener(connected)` at each disconnect and reconnect. Returns a function that removes the listener."""
        return self._connection.on_change(listener)

    async def reconnect(self) -> None:
        """Connect anew, so that the server sees new credentials. Does nothing while disconnected. Consumers and
        subscriptions go on; core messages that arrive in between are lost.
        """
        await self._connection.reconnect()

    async def declare(self) -> None:
        """Declare all streams and this service's durable consumers. Idempotent, and safe to run concurrently.

        The feed declares its own consumer when it runs. Raises Unavailable when JetStream does not answer within the
        start deadline, BusError when it refuses.
        """
        owner = self.name.replace("-", "_")
        own = [spec for spec in CONSUMERS if spec.owner == owner and spec is not FEED]
        await self._declarations.declare(own, deadline=self._start_deadline)
        self._lag.follow(own)

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
    ) -> Coroutine[Any, Any, None]:
        """Publish a CloudEvents batch to JetStream, with the current trace context. The message is sent before this
        returns where possible; await the result to learn that it is stored. Many publishes may be in flight at once.

        Raises BusUnavailable at once while disconnected, or after `deadline` seconds without an acknowledgement. The
        message may be stored nevertheless: publish it again with the same `msg_id`, and the stream drops duplicates.
        Raises BusError when the message is larger than `max_payload`.
        """
        headers = _with_trace({**_BATCH, **headers} if headers else _BATCH)
        return self._publisher.publish(subject, payload, msg_id=msg_id, headers=headers, deadline=deadline)

    async def send(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send on core NATS, to current subscribers only. Raises BusUnavailable while disconnected."""
        await self._connection.publish(subject, payload, reply=reply, headers=_with_trace(headers))

    async def send_all(self, messages: Iterable[tuple[str, bytes, Mapping[str, str]]]) -> None:
        """Send many (subject, payload, headers) on core NATS, in order, as few writes. No trace context is added.

        Raises BusUnavailable while disconnected.
        """
        await self._connection.publish_all(messages)

    async def flush(self) -> None:
        """Wait until the server has received everything sent so far. Raises BusUnavailable."""
        await self._connection.flush()

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout: float,
    ) -> bytes:
        """Send on core NATS and wait for one answer. Raises BusUnavailable when none comes in `timeout`
        seconds.
        """
        return await self._connection.request(subject, payload, deadline=timeout)

    async def subscribe(self, subject: str, callback: Callback, *, queue: str = "") -> Subscription:
        """Subscribe to a core subject: `callback(subject, payload, reply)` gets one message at a time, in order.

        With `queue`, each message goes to one subscriber of that queue group. The subscription outlives reconnects, but
        messages published while disconnected are lost. An error of the callback is logged and counted, and the
        subscription continues. Answers of JetStream to publishes, which a worker may have sent anywhere, are dropped.
        """

        async def deliver(message: Msg) -> None:
            if is_answer(message.data):
                self.foreign.count(ForeignKind.ANSWER, None, detail=message.subject)
                return
            try:
                await callback(message.subject, message.data, message.reply)
            except Exception:
                self._connection.metrics.callback_failures.labels(subject).inc()
                log.exception("bus.callback_failed", subject=message.subject)

        return Subscription(self._connection, await self._connection.subscribe(subject, deliver, queue=queue))

    def consumer(
        self,
        durable: str,
        handler: Handler,
        *,
        linger_ms: float | None = None,
        patient: Callable[[], bool] = lambda: True,
    ) -> Consumer[Event]:
        """A service that hands the events of a durable consumer of the catalogue to `handler`, in batches.

        `patient` returns whether patient events may wait at the moment. Raises KeyError when the catalogue has no such
        consumer.
        """
        specs = {spec.durable: spec for spec in CONSUMERS}
        linger = self._linger_ms if linger_ms is None else linger_ms
        return self.consumer_of(specs[durable], handler, decode=decode_batch, linger_ms=linger, patient=patient)

    def consumer_of(
        self,
        spec: ConsumerSpec,
        handler: Callable[[list[T]], Awaitable[None]],
        *,
        decode: Decode[T],
        **options: Unpack[ConsumerOptions],
    ) -> Consumer[T]:
        """As `consumer`, for any specification, with a decoder and the options of `Consumer`."""
        self._lag.follow([spec])
        return Consumer(
            spec,
            handler,
            decode=decode,
            connection=self._connection,
            publisher=self._publisher,
            declarations=self._declarations,
            catalogue=self.catalogue,
            failures=self._failures.setdefault(spec.durable, Failures()),
            **options,
        )

    def read_log(
        self,
        execution_id: str,
        worker_id: str | None,
        *,
        after: int = 0,
        follow: bool = True,
        until_chunks: int | None = None,
        settle: Settle = SETTLE,
    ) -> LogReader:
        """Read the log of an execution that is placed on a worker, chunk by chunk; see `LogReader`. The caller closes
        it (`async with`)."""
        return LogReader(
            self._connection,
            self.catalogue,
            execution_id,
            worker_id,
            after=after,
            follow=follow,
            until_chunks=until_chunks,
            settle=settle,
        )

    def read_events(
        self,
        event_types: Sequence[str],
        *,
        after: int | None = None,
        since: datetime | None = None,
        follow: bool = True,
        pace: Pace | None = None,
    ) -> EventReader:
        """Read the stored events of these types, and those to come; see `EventReader`."""
        return EventReader(
            self._connection,
            self.catalogue,
            self._events,
            event_types,
            after=after,
            since=since,
            follow=follow,
            pace=pace,
        )

    async def log_index(self, execution_id: str, worker_id: str | None) -> LogIndex | None:
        """Random access to the log of an execution that is placed on a worker; None if its chunks do not state their
        place, or there are none. Raises BusUnavailable."""
        return await open_log_index(self._connection, self.catalogue, execution_id, worker_id)

    def letters(self, owner: Owner) -> Letters:
        """The dead letters of one service's consumers."""
        return Letters(self._connection, self.catalogue, owner=owner)

    async def has_log(self, execution_id: str, worker_id: str | None) -> bool:
        """Whether any chunk is stored of the log of an execution that is placed on a worker. Raises BusUnavailable."""
        return await has_log(self._connection, self.catalogue, execution_id, worker_id)

    async def logs_kept_since(self) -> datetime:
        """The time before which all logs have expired. Raises BusUnavailable."""
        return await logs_kept_since(self._connection, self.catalogue)

    async def delete_log(self, execution_id: str) -> None:
        """Delete the stored chunks of an execution's log, whichever worker wrote them. Raises BusUnavailable."""
        purge = f"STREAM.PURGE.{self.catalogue.stream(LOGS)}"
        for subject in self.catalogue.all_logs(execution_id):
            await self._connection.api(purge, {"filter": subject})


def _aged(spec: StreamSpec, age: timedelta | None) -> StreamSpec:
    return replace(spec, max_age=0 if age is None else int(age.total_seconds()))


def _with_trace(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    traceparent = inject()
    if traceparent is None or (headers and TRACEPARENT in headers):
        return headers
    return {**(headers or {}), TRACEPARENT: traceparent}
