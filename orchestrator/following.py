"""Follows all output of a job, live: the logs of its steps at the same time, resumable at any point.

This module chooses the executions to read, and has the viewer's position in all of them. `shared.transcript` reads one
log; the route sends the entries.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Final

import structlog

from orchestrator.store.jobs import JobStore
from orchestrator.watch import JobListener
from schemas.states import EXECUTION, JOB, ExecutionStatus
from shared.bus import Bus
from shared.errors import Unavailable
from shared.postgres import Record
from shared.transcript import LIVE_LATE, START, Entry, Log, Place, Transcript, Visit

LOOK_AGAIN: Final = 2.0
"""Seconds after which a live reader reads again although it heard of no change."""
LONGEST_PAUSE: Final = 0.25
"""The longest pause in seconds between two reads of a job that changes all the time."""
AT_ONCE: Final = 64
"""The most executions that one viewer follows at a time; others wait until one of them ends."""
_log = structlog.get_logger(__name__)

_PART: Final = re.compile(r"^(\d{1,6})(?:-(\d{1,6}))?:(\d{1,6})(?::([\d.]+))?$")
_LONGEST_ID: Final = 16_000
NOTHING_SEEN: Final = "0"
"""The id of a position before all output: a client does not send an empty id."""

Send = Callable[[Record, Sequence[Entry], "Cursor"], Awaitable[None]]
"""Sends entries of an execution; the cursor is the viewer's position in all other steps."""


class Cursor:
    """A viewer's position in the output of a job: for each step, the attempt and the place in its log.

    Its text is the id of an event. It lists the positions of steps in the pipeline with the attempts that were seen to
    the end or, for an attempt that was not, with the place in it. `0-3:1,4:2,5:1:7.2` has seen all of steps 0 to 4 (two
    attempts of step 4), and the part of step 5 before entry 2 of chunk 7. With 1000 steps the text stays below 8 KB.
    """

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._in: dict[int, tuple[int, Place]] = {}

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor of an event's id; the beginning if the text is NOTHING_SEEN, or not a cursor."""
        cursor = cls()
        for part in text.split(",") if len(text) < _LONGEST_ID else []:
            found = _PART.match(part)
            place = Place.parse(found[4]) if found and found[4] else None
            if found is None or (found[4] and place is None):
                return cls()
            first, last, attempt = int(found[1]), int(found[2] or found[1]), int(found[3])
            if place is not None:
                cursor._in[first] = (attempt, place)
            else:
                cursor._seen |= dict.fromkeys(range(first, min(last, first + _LONGEST_ID) + 1), attempt)
        return cursor

    def __str__(self) -> str:
        ranges: list[str] = []
        seen = sorted(self._seen.items())
        for attempt, group in groupby(enumerate(seen), key=lambda each: (each[1][0] - each[0], each[1][1])):
            steps = [step for _, (step, _) in group]
            span = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]}-{steps[-1]}"
            ranges.append(f"{span}:{attempt[1]}")
        return ",".join(ranges + [f"{step}:{attempt}:{place}" for step, (attempt, place) in self._in.items()])

    def place(self, step: int, attempt: int) -> Place | None:
        """The place from which to continue in an attempt of a step; None when all of it was seen."""
        if attempt <= self._seen.get(step, 0):
            return None
        at, place = self._in.get(step, (attempt, START))
        return None if attempt < at else place if attempt == at else START

    def move(self, step: int, attempt: int, place: Place | None) -> None:
        """Note that all entries before `place` of an attempt were seen, or all of its entries if `place` is None."""
        if place is None:
            self._in.pop(step, None)
            self._seen[step] = attempt
        else:
            self._seen.pop(step, None)
            self._in[step] = (attempt, place)

    def without(self, step: int) -> Callable[[int, Place], str]:
        """A function that returns this cursor's text with step `step` at another attempt and place. Cheap for many of
        them."""
        others = Cursor()
        others._seen = {each: at for each, at in self._seen.items() if each != step}
        others._in = {each: at for each, at in self._in.items() if each != step}
        text = str(others)
        before = f"{text}," if text else ""
        return lambda attempt, place: f"{before}{step}:{attempt}:{place}"


class Follower:
    """Follows one job for one viewer, from `cursor` on, until the job has ended and all its output was sent.

    Only the executions that are `chosen` are followed. With `execution_id`, it is one, and the end is that of this one.
    """

    def __init__(
        self,
        jobs: JobStore,
        bus: Bus,
        job_id: str,
        listener: JobListener,
        cursor: Cursor,
        send: Send,
        *,
        chosen: Callable[[Record], bool],
        execution_id: str | None = None,
    ) -> None:
        self.expired = False
        """Whether some of the output is no longer kept."""
        self._jobs = jobs
        self._bus = bus
        self._job_id = job_id
        self._listener = listener
        self._cursor = cursor
        self._send = send
        self._chosen = chosen
        self._execution_id = execution_id
        self._sending = asyncio.Lock()
        self._visit = Visit()
        self._first_look = True
        self._over = False
        self._executions: list[Record] = []
        self._old: set[str] = set()
        self._reading: dict[int, tuple[str, Transcript, asyncio.Task[None]]] = {}
        self._reading_old = ""
        """The id of the execution being read among those that had ended when the viewer came; these are read in
        order."""
        self._done: set[str] = set()

    async def run(self) -> None:
        """Follow the job. Raises what `send` raises, and BusUnavailable when the log of an ended execution cannot be
        read."""
        try:
            while not await self._look():
                await self._listener.changed(LOOK_AGAIN)
        finally:
            tasks = [task for _, _, task in self._reading.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _look(self) -> bool:
        """Read which executions have begun and ended. Returns whether the job has ended and all of it was sent."""
        began_at = time.monotonic()
        for _, _, task in self._reading.values():
            if task.done():
                task.result()
        try:
            over = JOB.is_final(await self._jobs.status(self._job_id))
            rows = [one for one in await self._jobs.executions(self._job_id) if self._chosen(one)]
        except Unavailable as error:  # logs that are being read go on
            _log.warning("log.end_unknown", job_id=self._job_id, error=str(error))
            return False
        if self._first_look:
            self._old = {each["id"] for each in rows if log_of(each, job_is_over=over).over}
            self._first_look = False
        self._over = over
        self._executions = sorted(rows, key=lambda each: (each["position"], each["attempt"], each["id"]))
        waiting = self._go_on()
        ended = over or any(one["id"] == self._execution_id and log_of(one).over for one in rows)
        if ended and not waiting and not self._reading:
            return True
        await asyncio.sleep(min(LONGEST_PAUSE, 4 * (time.monotonic() - began_at)))  # a large job changes all the time
        return False

    def _go_on(self) -> bool:
        """Start reading every execution that may be read now. Returns whether some must wait for others."""
        waiting = [self._consider(execution) for execution in self._executions]
        return any(waiting)

    def _consider(self, execution: Record) -> bool:
        """Start or continue reading an execution. Returns whether it must wait for another one."""
        id, step, attempt = execution["id"], execution["position"], execution["attempt"]
        if step in self._reading and self._reading[step][0] == id:
            self._reading[step][1].finish(log_of(execution, job_is_over=self._over))
            return False
        place = self._cursor.place(step, attempt)
        if id in self._done or place is None or not began(execution):
            return False
        log, old = log_of(execution, job_is_over=self._over), id in self._old
        live = len(self._reading) - bool(self._reading_old)
        if step in self._reading or (self._reading_old if old else live >= AT_ONCE):
            return True
        if not old and self._unread(execution["depends_on"]):
            return True
        # Executions that ended earlier share one wait; the last chunks of a live one may still be on their way.
        visit = self._visit if old else Visit(LIVE_LATE)
        transcript = Transcript(self._bus, log, visit=visit, place=place, follow=True)
        self._reading[step] = id, transcript, asyncio.create_task(self._read(execution, transcript))
        self._reading_old = id if old else self._reading_old
        return False

    def _unread(self, steps: Sequence[str]) -> bool:
        """Whether output of any of these steps is still to be sent. A step is shown after the steps that it depends on;
        steps that run at the same time do not delay it."""
        return bool(steps) and any(
            each["task"] in steps
            and each["id"] not in self._done
            and began(each)
            and self._cursor.place(each["position"], each["attempt"]) is not None
            for each in self._executions
        )

    async def _read(self, execution: Record, transcript: Transcript) -> None:
        """Send one execution's entries, to its end."""
        step, attempt = execution["position"], execution["attempt"]
        try:
            async for entries in transcript.parts():
                if not entries:
                    continue
                async with self._sending:
                    await self._send(execution, entries, self._cursor)
                    self._cursor.move(step, attempt, entries[-1].after)
            self._cursor.move(step, attempt, None)
        except BaseException:
            self._listener.tell()  # so that `run` raises it
            raise
        self._done.add(execution["id"])
        self.expired = self.expired or transcript.expired
        del self._reading[step]
        if self._reading_old == execution["id"]:
            self._reading_old = ""
        self._go_on()
        if not self._reading:
            self._listener.tell()


def in_order(executions: Sequence[Record]) -> list[Record]:
    """Executions in the order of their start, as given, but with the attempts of each step ascending, which the clocks
    of several workers may contradict: a cursor counts on that."""
    attempts: dict[int, list[Record]] = {}
    for one in sorted(executions, key=lambda one: (-one["attempt"], one["id"])):
        attempts.setdefault(one["position"], []).append(one)
    return [attempts[one["position"]].pop() for one in executions]


def began(execution: Record) -> bool:
    """Whether an execution may have written output."""
    return execution["log_chunks"] != 0 and (execution["started_at"] is not None or bool(execution["log_chunks"]))


def log_of(execution: Record, *, job_is_over: bool = False) -> Log:
    """The known state of an execution's log. Once the job has ended, no execution reports anything more."""
    over = job_is_over or EXECUTION.is_final(ExecutionStatus(execution["status"]))
    return Log(
        execution["id"],
        execution["worker_id"],
        chunks=execution["log_chunks"] if over else None,
        over=over,
        finished_at=execution["finished_at"] if over else None,
    )
