"""Reads the log of one execution from JetStream: first the stored chunks, then new ones as they arrive, in order.

Here: `LogReader`, one ordered reading for one viewer; any number may read the same log at the same time. Not here: how
lines become chunks (in the agent) and how chunks become JSON, text or server-sent events.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Self

import structlog

from schemas.cloudevents import MalformedEvents, decode_batch
from schemas.events import LogChunk
from schemas.subjects import LOGS, Catalogue
from shared.bus.connection import Connection
from shared.bus.declare import NANOS
from shared.bus.errors import BusError
from shared.bus.foreign import ForeignKind
from shared.bus.log_index import Messages
from shared.bus.pull import Position, Pull
from shared.bus.spans import Spans
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

BATCH: Final = 16
"""Chunks that may be in flight to one viewer of one log; a chunk has some 64 KB, and a viewer may read many logs."""
OUT_OF_ORDER: Final = 16
"""Chunks that are held back for an earlier one that may still arrive."""
FOREIGN_AT_MOST: Final = 16
"""Chunks of other workers after which a reader requests only those of the execution's own."""
INACTIVE: Final = 60
"""Seconds without a pull after which the server deletes a reader's consumer."""
NO_STREAM: Final = 10059
SETTLE: Final = 5.0
"""Seconds without a chunk after which a log that is over, or not followed, counts as fully read."""
Settle = float | Callable[[], float]
"""Seconds, or a function that returns them when a wait begins."""


class LogReader:
    """An asynchronous iterator over the chunks of one execution's log, each once, in order of `seq`.

    Only the chunks of the worker that the execution is placed on are read, and those that earlier versions stored on a
    subject without a worker. Chunks that other workers published are counted and left out. Chunks may be missing: the
    stream drops the oldest. `after` is the `seq` of the last chunk that the viewer already has. With `follow`, the
    reader waits for more until it is closed, or until `finish(chunks)` has given the total and the last chunk was read
    (or none came for `settle` seconds). Without `follow`, it ends after the stored chunks. A wait may be cancelled
    (`async with asyncio.timeout(…)`) without loss. Raises BusUnavailable when a log that is over, or not followed,
    cannot be read for `settle` seconds.
    """

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        execution_id: str,
        worker_id: str | None,
        *,
        after: int = 0,
        follow: bool = True,
        until_chunks: int | None = None,
        settle: Settle = SETTLE,
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._execution_id = execution_id
        self._worker_id = worker_id
        self._foreign = 0
        """How many chunks of other workers were left out."""
        self._after = after
        self._follow = follow
        self._total = until_chunks
        self._settle = settle
        self._stream = catalogue.stream(LOGS)
        self._consumer = ""
        self._expected = 1
        self._last_seq = 0
        self._drained = False
        self._started = False
        self._closed = False
        self._seen = Spans()
        self._newest = 0
        self._next = after + 1
        self._held: list[tuple[int, int, LogChunk]] = []
        self._chunks: deque[LogChunk] = deque()
        self._pull = Pull(
            connection,
            target=lambda: f"{self._stream}.{self._consumer}",
            repair=self._repair,
            renewed=lambda _reason: None,
            batch=BATCH,
            fresh=True,
        )

    def skip_to(self, stream_seq: int) -> None:
        """Read from this number of the stream on. The chunks that are stored before it must not be wanted."""
        self._last_seq = stream_seq - 1

    def finish(self, chunks: int, *, settle: Settle | None = None) -> None:
        """Note that the log is over and has this many chunks. The reader waits `settle` seconds for missing ones."""
        self._total = chunks
        if settle is not None:
            self._settle = settle
        self._pull.wake()

    async def aclose(self) -> None:
        """Stop reading, and delete the consumer on the server."""
        if self._closed:
            return
        self._closed = True
        if self._started:
            await self._pull.close()
            await self._forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogChunk:
        while not self._chunks:
            await self._advance()
            if self._closed:
                raise StopAsyncIteration
        return self._chunks.popleft()

    async def _advance(self) -> None:
        """Take one step: begin, decode arrived messages, wait for more, or close at the end."""
        if self._closed:
            return
        if not self._started:
            await self._begin()
            await self._pull.start()
            self._started = True
        while self._pull.buffer and not self._chunks:
            self._take()
        self._release()
        await self._pull.top_up()
        if self._chunks:
            return
        if self._over():
            await self.aclose()
            return
        try:
            async with asyncio.timeout(self._patience()):
                await self._pull.ready()
        except TimeoutError:
            if not self._connection.connected:
                raise BusUnavailable(f"the log of execution {self._execution_id} cannot be read") from None
            await self.aclose()

    def _patience(self) -> float | None:
        """Seconds that the next wait may take."""
        if self._follow and self._total is None:
            return None
        if not self._drained:
            return SETTLE  # the stream has more chunks, and they come as fast as they can
        return self._settle if isinstance(self._settle, float | int) else self._settle()

    def _over(self) -> bool:
        if self._total is not None and self._seen.count >= self._total:
            return True
        last_is_read = self._total is not None and self._newest >= self._total
        return self._drained and (last_is_read or not self._follow)

    def _take(self) -> None:
        raw = self._pull.buffer.popleft()
        if f".{self._consumer}." not in raw.reply:
            return  # from an earlier consumer of this reader
        position = Position.of(raw.reply)
        if position.consumer_seq != self._expected:
            self._expected = 0  # no message fits until there is a new consumer
            self._pull.remake("gap")
            return
        self._expected += 1
        self._last_seq = position.stream_seq
        self._drained = position.pending == 0
        worker_id = self._catalogue.worker(raw.subject)
        if worker_id not in (None, self._worker_id):
            self._leave_out(worker_id)
            return
        try:
            events = decode_batch(LogChunk.event_type, raw.data)
        except MalformedEvents as error:
            metrics = self._connection.metrics
            metrics.foreign.count(ForeignKind.UNREADABLE, worker_id, ids=[self._execution_id], detail=str(error))
            return
        for chunk in (event.data for event in events):
            if not isinstance(chunk, LogChunk):
                continue
            last = chunk.seq + chunk.stands_for - 1
            if self._seen.add(chunk.seq, last):
                self._newest = max(self._newest, last)
                if last > self._after:
                    heapq.heappush(self._held, (chunk.seq, last, chunk))
                    self._release()

    def _leave_out(self, worker_id: str | None) -> None:
        """Count a chunk of another worker. After a few of them only the chunks that count are requested, so that a
        flood of others does not delay the viewer."""
        self._connection.metrics.foreign.count(ForeignKind.LOG, worker_id, ids=[self._execution_id])
        self._foreign += 1
        if self._foreign == FOREIGN_AT_MOST:
            self._pull.remake("foreign")

    def _subjects(self) -> list[str]:
        if self._foreign < FOREIGN_AT_MOST:
            return self._catalogue.all_logs(self._execution_id)
        return self._catalogue.own_logs(self._execution_id, self._worker_id)

    def _release(self) -> None:
        """Release the next chunks, also over a gap once the missing chunk is not expected any more."""
        while self._held and (self._held[0][0] <= self._next or self._drained or len(self._held) > OUT_OF_ORDER):
            _, last, chunk = heapq.heappop(self._held)
            self._next = max(self._next, last + 1)
            self._chunks.append(chunk)

    async def _repair(self, reason: str) -> None:
        log.info("log_reader.anew", execution_id=self._execution_id, reason=reason)
        await self._begin()

    async def _begin(self) -> None:
        """Create a new consumer that starts after the last read message; the server keeps no position for it."""
        if self._consumer:
            await self._forget()
        name = "log-" + self._connection.new_inbox().rpartition(".")[2]
        start = (
            {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last_seq + 1}
            if self._last_seq
            else {"deliver_policy": "all"}
        )
        answer = await self._create(
            name,
            {
                "stream_name": self._stream,
                "config": {
                    "name": name,
                    "filter_subjects": self._subjects(),
                    "ack_policy": "none",
                    "replay_policy": "instant",
                    "inactive_threshold": INACTIVE * NANOS,
                    "mem_storage": True,
                    "num_replicas": 1,
                    **start,
                },
            },
        )
        self._consumer = name
        self._expected = 1
        self._drained = not answer.get("num_pending")
        self._pull.wake()

    async def _create(self, name: str, request: dict[str, object]) -> dict[str, Any]:
        try:
            return await self._connection.api(f"CONSUMER.CREATE.{self._stream}.{name}", request)
        except BusError as error:
            if error.code != NO_STREAM:
                raise
            raise BusUnavailable("the stream of logs does not exist; it is created again with the next log") from error

    async def _forget(self) -> None:
        try:
            await self._connection.api(f"CONSUMER.DELETE.{self._stream}.{self._consumer}", {}, deadline=1)
        except (BusUnavailable, BusError):
            log.debug("log_reader.left_behind", consumer=self._consumer)


async def has_log(connection: Connection, catalogue: Catalogue, execution_id: str, worker_id: str | None) -> bool:
    """Whether any chunk is stored of the log of an execution that is placed on a worker. Raises BusUnavailable."""
    for subject in catalogue.own_logs(execution_id, worker_id):
        if await Messages(connection, catalogue.stream(LOGS), subject).last() is not None:
            return True
    return False


async def logs_kept_since(connection: Connection, catalogue: Catalogue) -> datetime:
    """The time before which all logs have expired: when the oldest message was stored, if there is one.

    Raises BusUnavailable.
    """
    try:
        answer = await connection.api(f"STREAM.INFO.{catalogue.stream(LOGS)}", {})
    except BusError as error:
        if error.code != NO_STREAM:
            raise
        return datetime.now(UTC)
    state = answer["state"]
    if state["messages"]:
        return datetime.fromisoformat(state["first_ts"])
    return datetime.now(UTC) if state["last_seq"] else datetime.fromisoformat(answer["created"])
