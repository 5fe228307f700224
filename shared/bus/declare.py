"""Creates and updates the streams and durable consumers of the catalogue; any service may start first.

Here: create, update when the configuration changed, retry until a deadline. Not here: their configuration, which is in
`schemas.subjects`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog

from schemas.subjects import EVENTS, STREAMS, Catalogue, ConsumerSpec, StreamSpec
from shared.bus.admission import CREDENTIALS
from shared.bus.connection import Connection
from shared.bus.errors import BusError
from shared.errors import BusUnavailable, ConfigError, NotPermitted, Unavailable

log = structlog.get_logger(__name__)

NANOS: Final = 1_000_000_000
RETRY_WAIT: Final = 0.2

STREAM_EXISTS: Final = 10058
"""A stream of this name has another configuration."""
NO_STORAGE: Final = 10047
"""The server cannot reserve `max_bytes` of the stream."""
NO_STREAM: Final = 10059
SMALLEST_SHARE: Final = 4096
"""A stream is never declared with less than 1/4096 of the catalogue's `max_bytes`: 1 MiB of 4 GiB."""


class Declarations:
    """Declares streams and consumers over one connection."""

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        *,
        replicas: int = 1,
        streams: Sequence[StreamSpec] = STREAMS,
    ) -> None:
        self._streams = tuple(streams)
        self._connection = connection
        self._catalogue = catalogue
        self._replicas = replicas
        self._again: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    async def declare(self, consumers: Iterable[ConsumerSpec], *, deadline: float) -> None:
        """Declare all streams and these consumers. Safe to run concurrently with other services.

        Raises Unavailable when JetStream does not answer within `deadline` seconds, BusError when it refuses, and
        ConfigError when the credentials are not those of a service that may declare them.
        """
        consumers = tuple(consumers)
        until = time.monotonic() + deadline
        while True:
            try:
                await self.streams()
                for spec in consumers:
                    await self.consumer(spec)
                return
            except NotPermitted as error:
                raise ConfigError(
                    f"{CREDENTIALS}: these are another user's, or of an earlier version: {error}"
                ) from error
            except BusUnavailable as error:
                if time.monotonic() + RETRY_WAIT > until:
                    raise Unavailable(f"JetStream ({error})") from error
                log.info("bus.waiting_for_jetstream", error=str(error))
                await asyncio.sleep(RETRY_WAIT)

    async def streams(self, *, update: bool = True) -> bool:
        """Declare every stream of the catalogue, as any service may publish to any stream. Returns whether one had to
        be created. Without `update`, those that exist stay as they are.

        If the server has less storage than all streams may take, all are declared smaller in proportion, so that logs
        do not take the storage of events.
        """
        share, created = 1, False
        while True:
            try:
                for spec in self._streams:
                    created |= await self._stream(self._stream_config(spec, share), update=update)
            except BusError as error:
                if error.code != NO_STORAGE or share >= SMALLEST_SHARE:
                    raise
                share *= 2
            else:
                if share > 1:
                    log.warning("streams.declared_smaller", share=f"1/{share}")
                return created

    def on_recreated(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener()` after `streams_again` had to create a stream: the stream's consumers are gone. Returns a
        function that removes the listener.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def streams_again(self) -> None:
        """Declare the streams again after a publish found a stream missing. Concurrent callers share one task."""
        if self._again is None or self._again.done():
            log.error("stream.missing")
            self._again = asyncio.create_task(self._patiently(), name="bus-declare-again")
        await asyncio.shield(self._again)

    async def others_declare(self) -> None:
        """Wait a moment after a publish found a stream missing, in a process that declares none: the services do."""
        log.warning("stream.missing")
        await asyncio.sleep(RETRY_WAIT)

    async def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()

    async def consumer(self, spec: ConsumerSpec) -> None:
        """Declare one durable consumer of the events stream. An existing one keeps its position and gets the changed
        configuration.

        `max_deliver` is unlimited, because the server would drop a message silently. Consumers count failures
        themselves and move a message that keeps failing to the dead letters.
        """
        stream, durable = self._catalogue.stream(EVENTS), self._catalogue.durable(spec)
        await self._connection.api(
            f"CONSUMER.CREATE.{stream}.{durable}",
            {
                "stream_name": stream,
                "config": {
                    "name": durable,
                    "durable_name": durable,
                    "filter_subjects": self._catalogue.filters(spec),
                    "ack_policy": "explicit",
                    "deliver_policy": "all",
                    "replay_policy": "instant",
                    "ack_wait": spec.ack_wait * NANOS,
                    "max_ack_pending": spec.max_ack_pending,
                    "max_deliver": -1,
                    "max_waiting": 512,
                },
            },
        )

    async def _patiently(self) -> None:
        try:
            if await self.streams(update=False):
                for listener in list(self._listeners):
                    listener()
        except (BusUnavailable, BusError) as error:
            log.error("stream.not_declared", error=str(error))
        await asyncio.sleep(RETRY_WAIT)

    async def _stream(self, config: dict[str, Any], *, update: bool) -> bool:
        """Create a stream, or (with `update`) update an existing one, but never to less than it holds. Returns whether
        it was created.

        Raises BusError with NO_STORAGE when the server has no storage for a new stream.
        """
        name = config["name"]
        try:
            answer = await self._connection.api(f"STREAM.CREATE.{name}", config)
            return bool(answer.get("did_create"))
        except BusError as error:
            if error.code not in (STREAM_EXISTS, NO_STORAGE):
                raise
            there = await self._there(name)
            if there is None:
                raise
            if not update:
                return False
        if there["state"]["bytes"] > config["max_bytes"]:
            config = {**config, "max_bytes": there["config"]["max_bytes"]}
        try:
            await self._connection.api(f"STREAM.UPDATE.{name}", config)
            log.info("stream.updated", stream=name)
        except BusError as error:
            if error.code != NO_STORAGE:
                raise
            log.warning("stream.not_enlarged", stream=name)
        return False

    async def _there(self, name: str) -> dict[str, Any] | None:
        """The server's info of a stream; None when the stream does not exist."""
        try:
            return await self._connection.api(f"STREAM.INFO.{name}", {})
        except BusError as error:
            if error.code == NO_STREAM:
                return None
            raise

    def _stream_config(self, spec: StreamSpec, share: int = 1) -> dict[str, Any]:
        return {
            "name": self._catalogue.stream(spec),
            "subjects": self._catalogue.stream_subjects(spec),
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "num_replicas": self._replicas,
            "max_age": spec.max_age * NANOS,
            "max_bytes": spec.max_bytes // share,
            "duplicate_window": spec.duplicate_window * NANOS,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": spec.per_subject,
            "max_msg_size": -1,
            "allow_direct": True,
        }
