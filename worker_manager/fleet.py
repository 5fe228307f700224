"""The workers of this instance: started, watched, drained, stopped, and adopted after a restart of the service.

Here: the order of steps from a request for a worker to the record of its end. Not here: how a process is run
(`providers`), how its end is judged (`domain.endings`), and which worker gets which task (the scheduler).
Agents outlive this service: stopping it ends no worker.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog

from schemas.access import Actor
from schemas.agents import Drain, Heartbeat
from schemas.events import WorkerStarted, WorkerStopped
from schemas.states import WorkerProcessStatus
from shared.bus import Bus
from shared.errors import BusUnavailable, NotFound, Overloaded, Unavailable
from shared.ids import new_id
from shared.outbox import Outbox
from shared.postgres import Transaction
from shared.web.idempotency import release_created, replace_answer
from worker_manager.counters import Counters
from worker_manager.domain.endings import Ending, Intent, judge
from worker_manager.enrolment import Enrolments
from worker_manager.providers.base import Exit, Handle, Provider, StartFailed, WorkerSpec
from worker_manager.store.workers import Adoptee, WorkerStore

log = structlog.get_logger(__name__)

FIRST_WORD: Final = 15.0
"""Seconds that a new agent has until its first heartbeat, on a busy machine; its end is noticed at once."""
LAST_WORD: Final = 1.0
"""Seconds to wait, after an agent's process has ended, for its last heartbeat."""
FORCED_END: Final = 5.0
STARTS_AT_ONCE: Final = 3
"""A Python process takes a core while it starts."""
TURN: Final = 20.0
"""Seconds that a request waits for its turn to start a worker: longer than one start takes at the most."""
ASK_AGAIN: Final = 5.0
RETRY_FIRST: Final = 0.2
RETRY_LONGEST: Final = 5.0


class WorkerDidNotStart(Unavailable):
    """The worker's process could not be started, ended at once, or sent no heartbeat (HTTP 503)."""

    def __init__(self, detail: str) -> None:
        super().__init__("a new worker")
        self.args = (f"the worker did not start: {detail}",)


@dataclass(slots=True)
class _Member:
    """A worker of this instance whose process may still run. `handle` is None when there is no process."""

    worker_id: str
    provider: Provider
    handle: Handle | None
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    failure: str | None = None


class Fleet:
    """This instance's workers; a service. `hear` each heartbeat."""

    name: Final = "fleet"

    def __init__(
        self,
        store: WorkerStore,
        outbox: Outbox,
        bus: Bus,
        providers: Mapping[str, Provider],
        counters: Counters,
        enrolments: Enrolments,
        *,
        first_word: float = FIRST_WORD,
        turn: float = TURN,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._bus = bus
        self._providers = providers
        self._counters = counters
        self._enrolments = enrolments
        self._first_word = first_word
        self._turn = turn
        self._members: dict[str, _Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._keys: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Adopt the workers that an earlier run of the service left: watch those that run, close the others."""
        for adoptee in await self._store.to_adopt():
            await self._adopt(adoptee)
        await self._count()

    async def stop(self) -> None:
        """Stop watching. The workers go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take note of an agent's heartbeat: its first, its last, or one of an agent that missed the order to drain."""
        member = self._members.get(heartbeat.worker_id)
        if member is None:
            return
        member.heard.set()
        if heartbeat.leaving and not heartbeat.held():
            member.left.set()
        if member.draining and not heartbeat.draining and not heartbeat.leaving:
            self._spawn(self._tell_to_drain(member.worker_id), "drain")

    @asynccontextmanager
    async def turn(self, key: str | None) -> AsyncIterator[None]:
        """Enclose the start of a worker: only a few start at the same time, and of one idempotency key only one.

        Raises Overloaded when the turn does not come in time.
        """
        lock = self._keys.setdefault(key or new_id(), asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._turn):
                    await held.enter_async_context(lock)
                    await held.enter_async_context(self._starts)
            except TimeoutError:
                raise Overloaded(ASK_AGAIN, kind="worker_starts", why="too many workers are being started") from None
            yield

    async def launch(self, spec: WorkerSpec, provider: str) -> str:
        """Start the process of a worker that is recorded as starting, and wait for its first heartbeat. Returns the
        worker as JSON.

        That may take `first_word` seconds, in which no connection to the database is held. Raises WorkerDidNotStart,
        with the worker closed as failed.
        """
        member = _Member(spec.worker_id, self._providers[provider], None)
        try:
            keys = await self._enrolments.for_own(spec.worker_id, spec.name)
            await self._come_up(member, replace(spec, keys=keys))
            async with self._outbox.transaction() as tx:
                body = await self._confirm(tx, spec.worker_id)
        except WorkerDidNotStart:
            raise
        except Exception:
            await self._give_up(member, "its start could not be recorded")
            raise
        finally:
            await self._count()
        return body or await self._store.get(spec.worker_id) or ""

    async def drain(self, worker_id: str, by: Actor | None = None) -> str:
        """Order the worker to finish what it has and end. Returns its state as JSON. Raises NotFound.

        A worker that is over already stays as it is.
        """
        instance = await self._ask_to_stop(worker_id, Intent.DRAIN, by)
        if instance is not None:
            member = self._members.get(worker_id)
            if member is not None:
                member.draining = True
            elif not self._bus.connected:
                raise Unavailable("NATS")  # another instance's worker is reached in no other way
            await self._tell_to_drain(worker_id)
            await self._count()
        return await self._state(worker_id)

    async def end(self, worker_id: str, by: Actor | None = None) -> str:
        """End the worker now; its executions are queued again. Returns its state as JSON. Raises NotFound."""
        instance = await self._ask_to_stop(worker_id, Intent.FORCE, by)
        if instance is not None:
            member = self._members.get(worker_id)
            if member is None:
                order = Drain(exit=True, force=True)
                await self._bus.send(self._bus.catalogue.agent(worker_id, "drain"), order.model_dump_json().encode())
            else:
                if member.handle is not None:
                    await member.provider.stop(member.handle, force=True)
                await _within(FORCED_END, member.over)
        return await self._state(worker_id)

    async def until_over(self, worker_id: str) -> None:
        """Wait until the end of a worker of this instance has been recorded; returns at once for any other worker."""
        member = self._members.get(worker_id)
        if member is not None:
            await member.over.wait()

    # -- steps of one worker's life

    async def _ask_to_stop(self, worker_id: str, intent: Intent, by: Actor | None) -> str | None:
        """As the store does."""
        async with self._outbox.transaction() as tx:
            instance = await self._store.ask_to_stop(tx, worker_id, intent, by)
            if instance is not None:
                tx.changes(worker_id)
        return instance

    async def _come_up(self, member: _Member, spec: WorkerSpec) -> None:
        """Start the process and wait for its first heartbeat. Raises WorkerDidNotStart, with the row closed."""
        try:
            member.handle = await member.provider.start(spec)
        except StartFailed as error:
            self._watch_over(member)  # it finds that there is no process, and records the end
            raise WorkerDidNotStart(await self._give_up(member, str(error))) from error
        self._watch_over(member)
        await self._store.set_handle(member.worker_id, member.handle, member.provider.pid(member.handle))
        await _first(member.heard, member.over, within=self._first_word)
        if not member.heard.is_set():
            raise WorkerDidNotStart(await self._give_up(member))

    async def _confirm(self, tx: Transaction, worker_id: str) -> str | None:
        """Record that the worker runs and emit the event. Returns the worker as JSON, None when it was not starting."""
        row = await self._store.confirm(tx, worker_id)
        if row is None:
            return None
        tx.emit(
            WorkerStarted(
                worker_id=worker_id,
                type=row["type"],
                name=row["name"],
                provider=row["provider"],
                labels=row["labels"],
                slots=row["slots"],
                created_by=row["created_by"],
            )
        )
        body: str = row["body"]
        await replace_answer(tx, *_request_for(worker_id), body)
        self._counters.worker_started.inc()
        return body

    async def _give_up(self, member: _Member, why: str = "") -> str:
        """End a worker that did not start. Returns the reason in words."""
        if not why:
            ended = "its process ended" if member.over.is_set() else f"no heartbeat from it in {self._first_word:g} s"
            said = await member.provider.last_words(member.worker_id)
            why = f"{ended}; its last output: {said}" if said else ended
        member.failure = why
        if member.handle is not None:
            await member.provider.stop(member.handle, force=True)
        await _within(FORCED_END, member.over)
        self._counters.worker_not_started.inc()
        return why

    async def _adopt(self, adoptee: Adoptee) -> None:
        provider = self._providers.get(adoptee.provider)
        if provider is None:
            log.error("worker.unknown_provider", worker_id=adoptee.worker_id, provider=adoptee.provider)
            return
        member = _Member(adoptee.worker_id, provider, adoptee.handle)
        member.draining = adoptee.status is WorkerProcessStatus.DRAINING
        alive = adoptee.handle is not None and await provider.adopt(adoptee.handle)
        log.info("worker.adopted" if alive else "worker.found_dead", worker_id=adoptee.worker_id)
        if not alive:
            await self._watch(member)  # before the first request, which shall not see a worker that is gone
            return
        self._watch_over(member)
        if adoptee.status is WorkerProcessStatus.STARTING:
            self._spawn(self._await_first_word(member), f"start {member.worker_id}")

    async def _await_first_word(self, member: _Member) -> None:
        """Finish the start of a worker whose request was cut off by a restart of the service."""
        await _first(member.heard, member.over, within=self._first_word)
        if not member.heard.is_set():
            await self._give_up(member)
            return
        async with self._outbox.transaction() as tx:
            await self._confirm(tx, member.worker_id)
        await self._count()

    def _watch_over(self, member: _Member) -> None:
        self._members[member.worker_id] = member
        self._spawn(self._watch(member), f"watch {member.worker_id}")

    async def _watch(self, member: _Member) -> None:
        exit = Exit(None) if member.handle is None else await member.provider.watch(member.handle)
        # Leftovers end before the end is published: its executions may run again then, and old ones must be over.
        leftovers = await member.provider.reap(member.worker_id)
        log.info("worker.gone", worker_id=member.worker_id, exit_code=exit.code, processes=leftovers)
        if exit.code in (0, None) and member.heard.is_set():
            await _within(LAST_WORD, member.left)  # the kernel may be faster than NATS
        pause = RETRY_FIRST
        while True:
            try:
                await self._close(member, exit)
                return
            except Unavailable as error:
                # The end must be recorded, by this run of the service or the next, however long the database is away.
                log.warning("worker.end_not_recorded_yet", worker_id=member.worker_id, error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_LONGEST)

    async def _close(self, member: _Member, exit: Exit) -> None:
        if member.failure is None and not member.heard.is_set() and not member.draining:
            said = await member.provider.last_words(member.worker_id)
        else:
            said = ""
        async with self._outbox.transaction() as tx:
            intent = await self._store.intent(tx, member.worker_id)
            ending = judge(intent, exit_code=exit.code, took_leave=member.left.is_set())
            if member.failure is not None:
                ending = Ending(WorkerProcessStatus.FAILED, False, member.failure)
            elif said and ending.status is WorkerProcessStatus.FAILED:
                ending = replace(ending, detail=f"{ending.detail}; its last output: {said}")
            closed = await self._store.close(tx, member.worker_id, ending, exit.code)
            if closed is not None:
                await self._enrolments.retire(tx, member.worker_id)
            if closed is not None and not closed.ran:
                await release_created(tx, *_request_for(member.worker_id))  # a repeated request starts another worker
            if closed is not None:
                tx.emit(
                    WorkerStopped(
                        worker_id=member.worker_id,
                        status=ending.status,
                        clean=ending.clean,
                        ordered=ending.ordered,
                        exit_code=exit.code,
                        detail=ending.detail,
                        stopped_by=closed.stopped_by,
                    )
                )
        if ending.clean:
            await member.provider.forget(member.worker_id)
        self._members.pop(member.worker_id, None)
        member.over.set()
        await self._count()

    async def _tell_to_drain(self, worker_id: str) -> None:
        order = Drain(exit=True)
        try:
            await self._bus.send(self._bus.catalogue.agent(worker_id, "drain"), order.model_dump_json().encode())
        except BusUnavailable as error:
            log.info("worker.drain_waits", worker_id=worker_id, error=str(error))  # until its next heartbeat

    async def _state(self, worker_id: str) -> str:
        body = await self._store.get_state(worker_id)
        if body is None:
            raise NotFound("worker", worker_id)
        return body

    async def _count(self) -> None:
        try:
            counts = await self._store.count()
        except Unavailable as error:
            log.info("workers.not_counted", error=str(error))
            return
        for status in (WorkerProcessStatus.STARTING, WorkerProcessStatus.RUNNING, WorkerProcessStatus.DRAINING):
            self._counters.workers.labels(status.value).set(counts.get(status.value, 0))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # In a context of its own: a worker's life does not belong to the request or the trace that started it.
        task = asyncio.create_task(work, name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(_finished(self._tasks))


def _request_for(worker_id: str) -> tuple[str, str]:
    """The route and the Location by which the Idempotency-Key of a worker's request is found."""
    return "POST /api/v1/workers", f"/api/v1/workers/{worker_id}"


async def _first(*events: asyncio.Event, within: float) -> None:
    """Wait until one of the events is set, so many seconds at the most."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _within(seconds: float, event: asyncio.Event) -> None:
    await _first(event, within=seconds)


def _finished(tasks: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
    def done(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("fleet.task_failed", task=task.get_name(), exc_info=error)

    return done
