"""Delivers reports and logs to the bus, and keeps them in a lane while the bus does not take them.

Reports and log chunks have a lane each, on disk or, while the disk cannot be written, in memory. While a lane holds
messages, new ones queue behind them, so the messages of one execution keep their order. Logs wait until all reports are
published, because outcomes free slots and logs do not. When `deliver` returns, the message is on the bus, kept, or
logged as lost.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import structlog

from schemas.cloudevents import MalformedEvents
from schemas.subjects import Catalogue
from shared.errors import BusUnavailable, HodeiError, MessageTooLarge
from worker_manager.agent.apart import Part, parts
from worker_manager.agent.lane import Lane, NoRoom
from worker_manager.agent.spool import Message, Segment, Spool

log = structlog.stdlib.get_logger(__name__)

PUBLISH_DEADLINE: Final = 3.0
"""Seconds to wait for the acknowledgement of a message before it is kept and tried again from the lane."""
LAST_DEADLINE: Final = 0.5
"""The same for an agent that is about to stop: a kept message is safe on disk, and the next start publishes it."""
REPORTS_IN_MEMORY: Final = 64 << 20
LOGS_IN_MEMORY: Final = 16 << 20
"""The most bytes of log messages that wait in memory while the disk cannot be written."""
EARLIER_NAMED: Final = 60.0
"""Seconds for which the heartbeat still names outcomes of an earlier start after they are published. A scheduler may
receive this start's first heartbeat before it reads the stream, and takes executions that are not named for lost."""
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class MessageBus(Protocol):
    """The part of the bus that delivery uses."""

    @property
    def connected(self) -> bool: ...

    @property
    def catalogue(self) -> Catalogue: ...

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = ...) -> None: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...


class Delivery:
    """The only way out for reports and logs. As a service, it publishes kept messages when the bus is back.

    Messages that an earlier version kept on disk are published on the subjects of `worker_id`.
    """

    name = "delivery"

    def __init__(self, bus: MessageBus, *, worker_id: str, reports: Spool, logs: Spool) -> None:
        self._bus = bus
        self._worker_id = worker_id
        self._reports = Lane(reports, memory=REPORTS_IN_MEMORY)
        self._logs = Lane(logs, memory=LOGS_IN_MEMORY)
        self._deadline = PUBLISH_DEADLINE
        self._unsettled: Counter[str] = Counter()
        self.earlier: frozenset[str] = frozenset()
        """Executions whose outcomes an earlier start left on disk."""
        self._published: dict[str, float] = {}
        """Those of them that are published, and until when `unsettled` includes them (monotonic seconds)."""
        self._connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._forget: Callable[[], None] = lambda: None
        self._under_way = 0
        self._landed = asyncio.Event()
        self._dropping = False
        """Whether the last log chunk was dropped."""
        self.lost = 0
        """The number of messages that were lost: the bus refused them, or neither the disk nor memory had room."""
        self.troubled: Callable[[str], None] = lambda _reason: None
        """Called with the reason when the disk cannot be written or read."""

    @property
    def unsettled(self) -> set[str]:
        """Executions whose outcome is not on the bus yet, and for EARLIER_NAMED seconds longer those of an earlier
        start."""
        moment = time.monotonic()
        self._published = {id: until for id, until in self._published.items() if until > moment}
        return {*self._unsettled, *self._published}

    @property
    def empty(self) -> bool:
        """Whether no message waits for the bus."""
        return self._reports.empty.is_set() and self._logs.empty.is_set()

    def hold(self, execution_id: str) -> None:
        """Count an execution as unsettled: its outcome is known and will be delivered."""
        self._unsettled[execution_id] += 1

    def hurry(self) -> None:
        """Wait for the bus for LAST_DEADLINE only, because the agent is stopping."""
        self._deadline = LAST_DEADLINE

    def open(self) -> None:
        """Take over the messages that an earlier start of this worker left on disk. Raises OSError."""
        self._reports.open()
        self._logs.open()
        kept = self._reports.spool.reports
        self._unsettled.update(kept)
        self.earlier = frozenset(kept)

    def test_disk(self) -> None:
        """Check that messages can be kept on disk. Raises OSError when they cannot. May be called in a thread."""
        for lane in (self._reports, self._logs):
            lane.spool.test()

    def disk_works(self) -> None:
        """Move the messages in memory to disk, which can be written again."""
        for lane in (self._reports, self._logs):
            lane.disk_works()

    async def start(self) -> None:
        """Start publishing kept messages whenever the bus takes them."""
        self._forget = self._bus.on_change(self._on_change)
        self._on_change(self._bus.connected)
        for lane in (self._reports, self._logs):
            self._tasks.add(asyncio.create_task(self._replay(lane), name=self.name))

    async def stop(self) -> None:
        """Stop publishing. Messages that are not published yet stay on disk; outcomes are written before logs."""
        self._forget()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE + LAST_DEADLINE):
                while self._under_way:  # messages that a frozen bus does not take return to `deliver`, which keeps them
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            log.warning("delivery.under_way_at_the_end", messages=self._under_way)
        finally:
            self._put_away()

    def _put_away(self) -> None:
        self._reports.spill()
        while (
            self._reports.in_memory() is not None
            and self._reports.trouble is not None  # at the spool's own limit, deleting logs frees no room
            and (segment := self._logs.spool.give_up_newest()) is not None
        ):
            log.warning("spool.log_given_up", segment=str(segment.path))
            self._reports.spill()
        self._logs.spill()
        for lane in (self._reports, self._logs):
            self._dropping = False
            for message in lane.abandon():
                self._give_up(message, lane.trouble or "the spool is full")
            lane.spool.close()

    async def drained(self) -> None:
        """Wait until both lanes are empty."""
        while not self.empty:
            await self._reports.empty.wait()
            await self._logs.empty.wait()

    async def deliver(self, message: Message) -> bool:
        """Publish a message, or keep it. Returns False when it was lost."""
        lane = self._logs if message.log else self._reports
        if self._bus.connected and lane.empty.is_set() and self._reports.empty.is_set():
            self._under_way += 1
            try:
                await self._publish(message)
            except BusUnavailable as error:
                log.info("spool.begun", subject=message.subject, error=str(error))
            except HodeiError as error:  # the bus will never take this message
                self._give_up(message, str(error))
                return False
            else:
                return True
            finally:
                self._under_way -= 1
                self._landed.set()
        return self._keep(lane, message)

    def _keep(self, lane: Lane, message: Message) -> bool:
        try:
            lane.keep(message)
        except NoRoom as error:
            self._give_up(message, str(error))
            return False
        finally:
            if lane.trouble is not None:
                self.troubled(lane.trouble)
        if message.log:
            self._dropping = False
        return True

    def _give_up(self, message: Message, error: str) -> None:
        self.lost += 1
        if not message.log:
            log.error("message.lost", subject=message.subject, execution_ids=message.reports, error=error)
        elif not self._dropping:  # one line for a run of dropped chunks is enough: each log has a remark of its own
            self._dropping = True
            log.warning("spool.drops_logs", subject=message.subject, error=error)
        self._settle(message.reports)

    def _settle(self, execution_ids: Iterable[str]) -> None:
        for execution_id in execution_ids:
            if self._unsettled[execution_id] <= 1:
                del self._unsettled[execution_id]
                if execution_id in self.earlier:
                    self._published[execution_id] = time.monotonic() + EARLIER_NAMED
            else:
                self._unsettled[execution_id] -= 1

    def _on_change(self, connected: bool) -> None:
        if connected:
            self._connected.set()
        else:
            self._connected.clear()

    async def _replay(self, lane: Lane) -> None:
        failures = 0
        while True:
            await lane.news.wait()
            lane.news.clear()
            try:
                count = await self._publish_kept(lane)
            except (BusUnavailable, OSError) as error:
                pause = _BACKOFF[min(failures, len(_BACKOFF) - 1)]
                failures += 1
                log.info("spool.still_waiting", error=str(error), pause_seconds=pause)
                if isinstance(error, OSError):
                    self.troubled(f"the spool cannot be read: {error.strerror or error}")
                await asyncio.sleep(pause)
                lane.news.set()
            else:
                failures = 0
                if count:
                    log.info("spool.published", messages=count)

    async def _publish_kept(self, lane: Lane) -> int:
        """Publish all messages of a lane, the oldest first. Returns their number. Raises BusUnavailable, and
        OSError."""
        count = 0
        while not lane.empty.is_set():
            await self._connected.wait()
            if lane is self._logs:
                await self._reports.empty.wait()
            if (segment := lane.spool.oldest()) is not None:
                count += await self._publish_segment(lane, segment)
            elif (message := lane.in_memory()) is not None:
                with lane.publishing():
                    await self._publish_kept_one(message)
                count += 1
        return count

    async def _publish_segment(self, lane: Lane, segment: Segment) -> int:
        count, left = 0, Counter(segment.reports)
        messages = lane.spool.read(segment)
        try:
            while (message := self._next(messages, segment, left)) is not None:
                if lane is self._logs:
                    await self._reports.empty.wait()
                await self._publish_kept_one(message)
                left.subtract(message.reports)
                count += 1
        finally:
            segment.reports = list((+left).elements())
        lane.remove(segment)
        return count

    def _next(self, messages: Iterator[Message], segment: Segment, left: Counter[str]) -> Message | None:
        """The next message of a segment; None at its end, and where the rest is damaged and therefore given up.

        Raises OSError for errors that may pass (no free descriptor, no permission); the segment is kept then.
        """
        try:
            return next(messages, None)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            lost = [execution_id for execution_id, reports in left.items() if reports > 0]
            log.error("spool.segment_unreadable", segment=str(segment.path), execution_ids=lost, error=str(error))
            self._settle(lost)  # their outcomes can no longer be published from here
            left.clear()
            return None

    async def _publish_kept_one(self, message: Message) -> None:
        try:
            await self._publish(message)
        except BusUnavailable:
            raise
        except HodeiError as error:
            self._give_up(message, str(error))

    async def _publish(self, message: Message) -> None:
        try:
            await self._send(message)
        except MessageTooLarge as error:
            if message.log:
                raise
            await self._publish_apart(message, error)
        self._settle(message.reports)

    async def _publish_apart(self, message: Message, refused: MessageTooLarge) -> None:
        """Publish the events of a message one by one, an outcome without its outputs if need be. Raises `refused` if
        one of them is too large all the same."""
        try:
            sent = [await self._send_part(part) for part in parts(message, self._event_type(message))]
        except MalformedEvents:
            raise refused from None
        if not all(sent):
            raise refused

    async def _send_part(self, part: Part) -> bool:
        """Returns whether the bus takes it."""
        for message in (part.message, part.smaller):
            if message is None:
                break
            try:
                await self._send(message)
            except MessageTooLarge as error:
                log.warning("message.too_large", execution_ids=message.reports, error=str(error))
            else:
                return True
        return False

    def _event_type(self, message: Message) -> str:
        return self._bus.catalogue.event_type(message.subject)

    async def _send(self, message: Message) -> None:
        subject = self._bus.catalogue.of_worker(message.subject, self._worker_id)
        await self._bus.publish(subject, message.payload, msg_id=message.msg_id, deadline=self._deadline)
