"""Getting messages onto the bus whatever happens to it: at once while it takes them, kept in a lane while not.

Reports and log chunks each have a lane of their own, on disk and, while the disk takes nothing, in memory. As long as
anything waits in a lane everything new goes behind it, so that the order of one execution's messages holds. No log is
published while a report waits: outcomes free slots, logs do not. A message given to `deliver` is on the bus or kept
when it returns, and never both lost and unlogged.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import structlog

from shared.errors import BusUnavailable, HodeiError
from worker_manager.agent.lane import Lane, NoRoom
from worker_manager.agent.spool import Message, Segment, Spool

log = structlog.stdlib.get_logger(__name__)

PUBLISH_DEADLINE: Final = 3.0
"""Seconds until what is not acknowledged is kept and tried again from there."""
LAST_DEADLINE: Final = 0.5
"""The same for an agent that is about to leave: the disk is safe, and the next start tells."""
REPORTS_IN_MEMORY: Final = 64 << 20
LOGS_IN_MEMORY: Final = 16 << 20
"""Bytes that wait in memory at most while the disk takes nothing."""
EARLIER_NAMED: Final = 60.0
"""Seconds that outcomes of an earlier start are still called unsettled once they are published: a scheduler may hear
the first heartbeat of this start sooner than the stream, and takes what is not named for lost."""
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class MessageBus(Protocol):
    """What is needed of the bus."""

    @property
    def connected(self) -> bool: ...

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = ...) -> None: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...


class Delivery:
    """The one way out for reports and logs; a service that publishes again what is kept when the bus is back."""

    name = "delivery"

    def __init__(self, bus: MessageBus, *, reports: Spool, logs: Spool) -> None:
        self._bus = bus
        self._reports = Lane(reports, memory=REPORTS_IN_MEMORY)
        self._logs = Lane(logs, memory=LOGS_IN_MEMORY)
        self._deadline = PUBLISH_DEADLINE
        self._unsettled: Counter[str] = Counter()
        self.earlier: frozenset[str] = frozenset()
        """Executions whose outcomes an earlier start left on disk."""
        self._published: dict[str, float] = {}
        """Those of them that were published, and until when they are called unsettled (monotonic)."""
        self._connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._forget: Callable[[], None] = lambda: None
        self._under_way = 0
        self._landed = asyncio.Event()
        self._dropping = False
        """Whether the last chunk of a log was dropped."""
        self.lost = 0
        """Messages for which there was no room, neither on the bus nor on disk nor in memory."""
        self.troubled: Callable[[str], None] = lambda _reason: None
        """Called with the reason when the disk does not take what has to be kept."""

    @property
    def unsettled(self) -> set[str]:
        """Executions whose outcome is not on the bus yet; those of an earlier start until a while after that."""
        moment = time.monotonic()
        self._published = {id: until for id, until in self._published.items() if until > moment}
        return {*self._unsettled, *self._published}

    @property
    def empty(self) -> bool:
        """Whether nothing waits for the bus."""
        return self._reports.empty.is_set() and self._logs.empty.is_set()

    def hold(self, execution_id: str) -> None:
        """This execution's outcome is known, and will be delivered."""
        self._unsettled[execution_id] += 1

    def hurry(self) -> None:
        """The agent is leaving: wait for the bus no longer than can be helped."""
        self._deadline = LAST_DEADLINE

    def open(self) -> None:
        """Take over what an earlier start of this worker left on disk. Raises OSError."""
        self._reports.open()
        self._logs.open()
        kept = self._reports.spool.reports
        self._unsettled.update(kept)
        self.earlier = frozenset(kept)

    def test_disk(self) -> None:
        """Raises OSError while what has to be kept cannot be written. May be called in a thread."""
        for lane in (self._reports, self._logs):
            lane.spool.test()

    def disk_works(self) -> None:
        """Its test went well: move to disk what waits in memory."""
        for lane in (self._reports, self._logs):
            lane.disk_works()

    async def start(self) -> None:
        """Begin publishing what an earlier start left behind."""
        self._forget = self._bus.on_change(self._on_change)
        self._on_change(self._bus.connected)
        for lane in (self._reports, self._logs):
            self._tasks.add(asyncio.create_task(self._replay(lane), name=self.name))

    async def stop(self) -> None:
        """What is not published by now stays on disk, outcomes before logs."""
        self._forget()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE + LAST_DEADLINE):
                while self._under_way:  # what a frozen bus does not take comes back, to be kept
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
            and self._reports.trouble is not None  # the disk is to blame; at the spool's own limit no log makes room
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
        """Wait until nothing is kept."""
        while not self.empty:
            await self._reports.empty.wait()
            await self._logs.empty.wait()

    async def deliver(self, message: Message) -> bool:
        """Publish, or keep. False when there was no room for it anywhere."""
        lane = self._logs if message.log else self._reports
        if self._bus.connected and lane.empty.is_set() and self._reports.empty.is_set():
            self._under_way += 1
            try:
                await self._publish(message)
            except BusUnavailable as error:
                log.info("spool.begun", subject=message.subject, error=str(error))
            except HodeiError as error:  # it will never take this one
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
        elif not self._dropping:  # of a run of them one line is enough: each log has a remark
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
        """Publish all that waits in the lane, the oldest first; returns how many messages. Raises BusUnavailable."""
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
        """The next message of a segment; None at its end, or where what follows is damaged and so given up.

        Raises OSError for what may pass (no descriptor left, no right to read): then the segment is kept.
        """
        try:
            return next(messages, None)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            lost = [execution_id for execution_id, reports in left.items() if reports > 0]
            log.error("spool.segment_unreadable", segment=str(segment.path), execution_ids=lost, error=str(error))
            self._settle(lost)  # nothing will be heard of them from here any more
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
        await self._bus.publish(message.subject, message.payload, msg_id=message.msg_id, deadline=self._deadline)
        self._settle(message.reports)
