"""Makes the server's streams and durable consumers what the catalogue says, whoever starts first.

Here: create, update when the configuration changed, retry until a deadline. Not here: what they are; that is
`schemas.subjects`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from schemas.subjects import EVENTS, STREAMS, Catalogue, ConsumerSpec, StreamSpec
from shared.bus.connection import Connection
from shared.bus.errors import BusError
from shared.errors import BusUnavailable, Unavailable

log = structlog.get_logger(__name__)

NANOS: Final = 1_000_000_000
RETRY_WAIT: Final = 0.2

STREAM_EXISTS: Final = 10058
"""A stream of this name has another configuration."""
NO_STORAGE: Final = 10047
"""The server cannot set aside as many bytes as the stream may grow to."""
NO_STREAM: Final = 10059
SMALLEST_SHARE: Final = 4096
"""The least that a stream is declared with is this part of what the catalogue names: a MiB of four GiB."""


class Declarations:
    """Declares streams and consumers over one connection."""

    def __init__(self, connection: Connection, catalogue: Catalogue, *, replicas: int = 1) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._replicas = replicas
        self._again: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    async def declare(self, consumers: Iterable[ConsumerSpec], *, deadline: float) -> None:
        """All the streams, and these consumers. Safe while other services do the same.

        Raises Unavailable when JetStream did not answer within `deadline` seconds, BusError when it refuses.
        """
        consumers = tuple(consumers)
        until = time.monotonic() + deadline
        while True:
            try:
                await self.streams()
                for spec in consumers:
                    await self.consumer(spec)
                return
            except BusUnavailable as error:
                if time.monotonic() + RETRY_WAIT > until:
                    raise Unavailable(f"JetStream ({error})") from error
                log.info("bus.waiting_for_jetstream", error=str(error))
                await asyncio.sleep(RETRY_WAIT)

    async def streams(self) -> bool:
        """Every stream of the catalogue: any service may publish to any of them. True if one had to be
        created.

        On a server with less room than they may take, all are smaller in proportion: logs leave their share to events.
        """
        share, created = 1, False
        while True:
            try:
                for spec in STREAMS:
                    created |= await self._stream(self._stream_config(spec, share))
            except BusError as error:
                if error.code != NO_STORAGE or share >= SMALLEST_SHARE:
                    raise
                share *= 2
            else:
                if share > 1:
                    log.warning("streams.declared_smaller", share=f"1/{share}")
                return created

    def on_recreated(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener()` called when `streams_again` had to create a stream, whose consumers are gone
        with the old one; returns the way to end that.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def streams_again(self) -> None:
        """The streams have gone while we were publishing. One task does it for all who notice at the same
        time.
        """
        if self._again is None or self._again.done():
            log.error("stream.missing")
            self._again = asyncio.create_task(self._patiently(), name="bus-declare-again")
        await asyncio.shield(self._again)

    async def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()

    async def consumer(self, spec: ConsumerSpec) -> None:
        """One durable consumer of the events; keeps its position when it exists, and takes a changed
        configuration.

        The server is told no `max_deliver`: it would drop a message in silence. Our consumers count
        failures themselves and move what they cannot digest to the dead letters.
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
            if await self.streams():
                for listener in list(self._listeners):
                    listener()
        except (BusUnavailable, BusError) as error:
            log.error("stream.not_declared", error=str(error))
        await asyncio.sleep(RETRY_WAIT)

    async def _stream(self, config: dict[str, Any]) -> bool:
        """Create a stream, or make an existing one what it should be; it is not made smaller than what it holds.

        Raises BusError with NO_STORAGE when the server has no room for a new one.
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
        """What the server tells of a stream; None when there is no such stream."""
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
