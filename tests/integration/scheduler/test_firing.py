"""Exactly one firing for each due time: when leaders die at any moment, after an outage, and when the clock jumps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from aiohttp import web

from scheduler.api.changes import ChangeRoutes
from scheduler.domain.schedule import Stored, defined, first_slot, revised
from scheduler.ordering import Ordering
from scheduler.schedules import FIRE_LIMIT, Fired, Schedules, purge_schedules
from scheduler.store.firings import START, FiringStore
from scheduler.store.schedules import ScheduleStore
from scheduler.store.turns import TurnStore
from scheduler.traces import Traces
from schemas.cloudevents import decode_batch
from schemas.events import ScheduleFired, ScheduleUpdated
from schemas.ids import first_id_at
from schemas.rest.schedules import ScheduleCreate, SchedulePatch
from schemas.states import FiringKind, FiringOutcome, ScheduleStatus
from shared.errors import Unavailable
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import Database, Record
from shared.telemetry import Tracing
from tests.fixtures.processes import running, said
from tests.fixtures.servers import NatsServer
from tests.integration.scheduler.clocked import CLOCK
from tests.integration.scheduler.conftest import DEADLINE, House, Opener

T = TypeVar("T")
MANY = 2000
TAKEOVER = 60.0
"""Seconds for a standby to lead and fire, on a busy machine."""
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


class Killed(Exception):
    """The process is gone, at whatever it was doing."""


class MortalStore(FiringStore):
    """Dies after some of its writes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.writes_left: int | None = None

    async def insert(self, *arguments: Any) -> frozenset[str]:
        return await self._then(super().insert(*arguments))

    async def mark_fired(self, *arguments: Any) -> None:
        await self._then(super().mark_fired(*arguments))

    async def prune(self, *arguments: Any) -> int:
        return await self._then(super().prune(*arguments))

    async def _then(self, work: Awaitable[T]) -> T:
        done = await work
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise Killed
        return done


class Scheduler:
    """A scheduler whose schedules are fired by the test, with a term of its own. Its relay does not run: what it emits
    stays in the outbox."""

    def __init__(self, house: House) -> None:
        self._turns = TurnStore(house.database, outbox := Outbox(house.database, house.bus, source="scheduler"))
        self.outbox = outbox
        self.firings = MortalStore(house.database)
        self.store = ScheduleStore(house.database)
        traces = Traces(Tracing("scheduler"))
        self._schedules = Schedules(self.store, self.firings, outbox, Ordering(self.firings, traces))
        self._epoch = 0

    async def lead(self) -> None:
        self._epoch = await self._turns.begin_epoch()

    async def fire(self, moment: datetime) -> Fired:
        return await self._schedules.fire(moment, self._hold)

    async def fire_all(self, moment: datetime) -> list[Fired]:
        """Fire as the leader's loop does, until nothing is due."""
        found = [await self.fire(moment)]
        while found[-1].waiting or (found[-1].following is not None and found[-1].following <= moment):
            found.append(await self.fire(moment))
        return found

    async def _hold(self, tx: OutboxTransaction) -> None:  # type: ignore[override]
        await self._turns.hold(tx, self._epoch)

    async def make(self, *, created_at: datetime = NOON, **body: Any) -> str:
        """A schedule that was made at noon."""
        id = new_id()
        definition = defined(ScheduleCreate.model_validate({"command": "true"} | body), anchor=created_at)
        slot = first_slot(definition.timing, id, after=created_at)
        async with self.outbox.transaction() as tx:
            await self.store.insert(tx, Stored(id, created_at, ScheduleStatus.SCHEDULED, definition, slot, None))
        return id


async def empty(house: Opener) -> House:
    """A house in which no scheduler runs."""
    here = await house()
    await here.stack.aclose()
    return here


async def firings(house: House, id: str) -> list[Record]:
    return await house.database.fetch("select * from firings where schedule_id = $1 order by due_at", id)


async def ordered(house: House) -> Counter[datetime]:
    """How often each due time was ordered, by the events in the outbox."""
    payloads = await house.database.fetch("select payload from outbox where event_type = 'schedules.fired'")
    events = [event.data for row in payloads for event in decode_batch("schedules.fired", row["payload"])]
    return Counter(event.due_at for event in events if isinstance(event, ScheduleFired))


# ------------------------------------------------------------------ three leaders


@pytest.mark.parametrize("seed", range(3))
async def test_each_due_time_fires_once_while_leaders_die_and_the_clock_moves(house: Opener, seed: int) -> None:
    """Three schedulers lead in turn. Around each minute the leader dies before, within or after its transaction, or is
    replaced and tries once more; the clock goes on in steps of any size, and back now and then."""
    here = await empty(house)
    draw = random.Random(seed)
    replicas = [Scheduler(here) for _ in range(3)]
    ids = [await replicas[0].make(cron="* * * * *", catch_up="all", catch_up_limit=1000) for _ in range(2)]
    leader, moment = replicas[0], NOON
    await leader.lead()
    for _ in range(60):
        moment += timedelta(seconds=draw.choice([20, 40, 59.9, 60, 61, 200, -30]))
        fault = draw.choice(["none", "within", "within", "after", "replaced"])
        leader.firings.writes_left = draw.randrange(3) if fault == "within" else None
        with suppress(Killed):
            await leader.fire(moment)
        if fault != "none":
            former, leader = leader, draw.choice([one for one in replicas if one is not leader])
            await leader.lead()
            if fault == "replaced":
                results = await asyncio.gather(
                    former.fire(moment + MINUTE), leader.fire(moment), return_exceptions=True
                )
                assert isinstance(results[0], Fired | Unavailable)
                assert isinstance(results[1], Fired)
    leader.firings.writes_left = None
    await leader.fire_all(moment + 10 * MINUTE)
    expected = [NOON + count * MINUTE for count in range(1, int((moment + 10 * MINUTE - NOON) / MINUTE) + 1)]
    for id in ids:
        rows = await firings(here, id)
        kept = [row["due_at"] for row in rows if row["outcome"] == FiringOutcome.FIRED]
        assert kept == expected
        assert len({row["id"] for row in rows}) == len(rows)
    assert await ordered(here) == {due: len(ids) for due in expected}


async def test_each_minute_fires_once_while_processes_are_killed_around_it(house: Opener, tmp_path: Path) -> None:
    here = await house()
    made = await here.post("/api/v1/schedule", {"command": "true", "cron": "* * * * *"}, 201)
    await here.stack.aclose()
    clock = tmp_path / "clock"
    environment = {
        "NATS_URL": here.settings.nats_url,
        "DATABASE_URL": here.settings.database_url,
        "HODEI_NAMESPACE": here.settings.namespace,
        "SCHEDULER_PORT": "0",
        "HODEI_LOG_FORMAT": "console",
        CLOCK: str(clock),
    }
    draw = random.Random(1)
    due = datetime.fromisoformat(str(made["next_run_at"]))
    wake = ScheduleUpdated(schedule_id=str(made["id"]), changed=[])
    minutes = 5

    async def move(to: datetime) -> None:
        """Set the clock and wake the leader, which sleeps by the former time."""
        partial = tmp_path / "new"
        partial.write_text(str((to - datetime.now(UTC)).total_seconds()))
        partial.replace(clock)
        await here.say(wake)

    async with AsyncExitStack() as stack:

        async def start() -> asyncio.subprocess.Process:
            return await stack.enter_async_context(
                running("tests.integration.scheduler.clocked", environment=environment)
            )

        await move(due - 30 * SECOND)
        waiting: list[asyncio.subprocess.Process] = [await start() for _ in range(3)]
        leads = {asyncio.create_task(said(one, "leads")): one for one in waiting}
        for _ in range(minutes):
            done, _ = await asyncio.wait(leads, return_when=asyncio.FIRST_COMPLETED)
            leaders = [leads.pop(one) for one in done]  # two, if one has lost the leadership on a busy machine
            await move(due - SECOND / 5)
            firing = here.ears.wait(ScheduleFired, where=lambda one, due=due: one.due_at == due, within=TAKEOVER)
            heard = asyncio.create_task(firing)
            await asyncio.wait({heard}, timeout=draw.uniform(0.0, 0.4))
            for leader in leaders:
                leader.kill()
                another = await start()
                leads[asyncio.create_task(said(another, "leads"))] = another
            await heard
            due += MINUTE
        for task in leads:
            task.cancel()
    rows = await firings(here, str(made["id"]))
    assert [row["due_at"] for row in rows] == [due - count * MINUTE for count in range(minutes, 0, -1)]
    assert {row["outcome"] for row in rows} == {FiringOutcome.FIRED}
    told = {(one.due_at, one.job_id) for one in here.ears.of(ScheduleFired)}
    assert told == {(row["due_at"], str(row["id"])) for row in rows}


async def test_nothing_is_lost_or_doubled_while_nats_is_away(
    house: Opener, own_nats: Callable[[], Awaitable[NatsServer]]
) -> None:
    server = await own_nats()
    here = await house(nats=server.url)
    made = await here.post("/api/v1/schedule", {"command": "true", "every": 1, "catch_up": "all"}, 201)
    id = str(made["id"])
    await here.ears.wait(ScheduleFired)
    await server.kill()
    before = len(await firings(here, id))
    async with asyncio.timeout(DEADLINE):
        while len(await firings(here, id)) < before + 2:  # noqa: ASYNC110 - tables tell nobody
            await asyncio.sleep(0.05)
    await server.start()
    missed = [row["due_at"] for row in await firings(here, id)]
    await here.ears.wait(ScheduleFired, where=lambda one: one.due_at > missed[-1])
    for due in missed:
        await here.ears.wait(ScheduleFired, where=lambda one, due=due: one.due_at == due)
    rows = await firings(here, id)
    assert sum(row["count"] for row in rows) == len(rows)
    first = datetime.fromisoformat(str(made["created_at"]))
    assert [row["due_at"] for row in rows] == [first + count * SECOND for count in range(1, len(rows) + 1)]
    jobs = {(one.due_at, one.job_id) for one in here.ears.of(ScheduleFired)}
    assert len(jobs) == len({due for due, _ in jobs})


# ------------------------------------------------------------------ an outage


@pytest.mark.parametrize(
    ("catch_up", "caught", "missed"),
    [
        ({"catch_up": "none"}, 0, 9),
        ({}, 1, 8),
        ({"catch_up": "all", "catch_up_limit": 4}, 4, 5),
        ({"catch_up": "all"}, 9, 0),
    ],
)
async def test_what_falls_into_an_outage_follows_catch_up_and_history_says_so(
    house: Opener, catch_up: dict[str, Any], caught: int, missed: int
) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    id = await scheduler.make(cron="* * * * *", **catch_up)
    await scheduler.fire(NOON + MINUTE)
    moment = NOON + 11 * MINUTE + SECOND  # minutes 2 to 10 have passed, and 11 is due now
    await scheduler.fire_all(moment)
    rows = await firings(here, id)
    by_kind = Counter((row["kind"], row["outcome"]) for row in rows)
    assert by_kind[FiringKind.TIME, FiringOutcome.FIRED] == 2
    assert by_kind[FiringKind.CATCH_UP, FiringOutcome.FIRED] == caught
    gone = [row for row in rows if row["outcome"] == FiringOutcome.MISSED]
    assert [(row["first_due_at"], row["due_at"], row["count"]) for row in gone] == (
        [(NOON + 2 * MINUTE, NOON + (1 + missed) * MINUTE, missed)] if missed else []
    )
    assert sum(row["count"] for row in rows) == 11
    schedule = await here.database.fetch_one("select * from schedules")
    assert schedule is not None
    assert (schedule["missed"], schedule["next_due_at"]) == (missed, NOON + 12 * MINUTE)
    newest = max(row["id"] for row in rows if row["outcome"] == FiringOutcome.FIRED)
    assert schedule["last_job_id"] == newest  # caught up on in order, and the present one last
    told = await here.database.fetch("select payload from outbox where event_type = 'schedules.missed'")
    assert len(told) == (missed > 0)


async def test_a_single_time_fires_however_late(house: Opener) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    id = await scheduler.make(run_at=NOON + MINUTE)
    await scheduler.fire_all(NOON + timedelta(days=400))
    [row] = await firings(here, id)
    assert (row["kind"], row["outcome"], row["due_at"]) == ("time", "fired", NOON + MINUTE)
    assert await here.database.fetch_value("select status from schedules") == "completed"


async def test_a_clock_that_jumps_back_repeats_nothing(house: Opener) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    id = await scheduler.make(cron="* * * * *")
    for seconds in (60, 120, 30, 90, 119, 121, 179, 180):
        await scheduler.fire_all(NOON + timedelta(seconds=seconds))
    assert [row["due_at"] for row in await firings(here, id)] == [NOON + count * MINUTE for count in (1, 2, 3)]


async def test_after_a_clock_that_was_ahead_a_resume_fires_what_has_not_fired(house: Opener) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    id = await scheduler.make(cron="* * * * *", catch_up="none")
    await scheduler.fire_all(NOON + MINUTE)
    await scheduler.fire_all(NOON + 10 * MINUTE)  # the clock is ahead
    fired = [row["due_at"] for row in await firings(here, id) if row["outcome"] == "fired"]
    assert fired == [NOON + MINUTE, NOON + 10 * MINUTE]
    for paused, moment in ((True, NOON + 2 * MINUTE), (False, NOON + 2 * MINUTE)):
        async with scheduler.outbox.transaction() as tx:
            stored = await scheduler.store.lock(tx, id)
            assert stored is not None
            changed = revised(stored, SchedulePatch(paused=paused), moment)
            await scheduler.store.change(tx, changed, unheard=False)
    for count in range(3, 12):
        await scheduler.fire_all(NOON + count * MINUTE)
    again = [row["due_at"] for row in await firings(here, id) if row["outcome"] == "fired"]
    assert again == [
        NOON + count * MINUTE for count in (1, *range(3, 9), 10, 11)
    ]  # the 9th ends those that were missed
    assert (await ordered(here)).most_common(1)[0][1] == 1


async def test_catching_up_goes_on_in_bounded_steps_behind_what_is_due_now(house: Opener) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    many = await scheduler.make(every=1, catch_up="all", catch_up_limit=1000)
    first = await scheduler.fire(NOON + 2000 * SECOND)
    assert (len(first.orders), first.waiting) == (FIRE_LIMIT, 1016 - FIRE_LIMIT)
    other = await scheduler.make(run_at=NOON + 2001 * SECOND)
    second = await scheduler.fire(NOON + 2002 * SECOND)
    assert second.orders[0].schedule_id == other
    assert len(second.orders) == FIRE_LIMIT
    await scheduler.fire_all(NOON + 2002 * SECOND)
    rows = [row for row in await firings(here, many) if row["outcome"] == FiringOutcome.FIRED]
    assert [row["due_at"] for row in rows] == [NOON + count * SECOND for count in range(985, 2003)]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


async def test_a_pause_drops_what_waits(house: Opener) -> None:
    here = await empty(house)
    leader = Scheduler(here)
    await leader.lead()
    id = await leader.make(cron="* * * * *", catch_up="all", catch_up_limit=600)
    await leader.fire(NOON + 10 * 60 * MINUTE)
    left = [row for row in await firings(here, id) if row["outcome"] == "waiting"]
    ordering = Ordering(leader.firings, Traces(Tracing("scheduler")))
    routes = ChangeRoutes(leader.store, leader.firings, leader.outbox, here.bus, ordering, lambda: NOON)

    await routes.pause_schedule(cast(web.Request, None), id)  # it does not look at the request

    after = {row["id"]: (row["outcome"], row["reason"]) for row in await firings(here, id)}
    assert left
    assert {after[row["id"]] for row in left} == {("missed", "paused")}


# ------------------------------------------------------------------ retention


async def test_schedules_that_are_over_are_deleted_after_some_time(house: Opener) -> None:
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    old = datetime.now(UTC) - timedelta(days=100)
    ids = {
        name: await scheduler.make(**times)
        for name, times in {
            "over": {"run_at": NOON},
            "over lately": {"run_at": NOON},
            "failed": {"run_at": NOON},
            "recurs, and failed": {"cron": "* * * * *"},
            "fires on": {"cron": "* * * * *"},
            "paused": {"cron": "* * * * *"},
        }.items()
    }
    await scheduler.fire_all(NOON + MINUTE)
    made = "update schedules set id = $2::uuid, created_at = $3, last_run_at = $4, status = $5 where id = $1"
    await here.database.execute("delete from firings")
    for at, (name, id) in enumerate(ids.items()):
        status = {"failed": "failed", "recurs, and failed": "failed", "fires on": "scheduled", "paused": "paused"}
        last = datetime.now(UTC) if name == "over lately" else old
        moved = first_id_at(old + at * SECOND)
        await here.database.execute(made, id, moved, old, last, status.get(name, "completed"))
        ids[name] = moved
    assert await purge_schedules(scheduler.store, scheduler.outbox, None, 10) == 0
    assert await purge_schedules(scheduler.store, scheduler.outbox, timedelta(days=101), 10) == 0
    assert await purge_schedules(scheduler.store, scheduler.outbox, timedelta(days=90), 1) == 1
    assert await purge_schedules(scheduler.store, scheduler.outbox, timedelta(days=90), 10) == 1
    left = {row["id"] for row in await here.database.fetch("select id::text from schedules")}
    assert left == set(ids.values()) - {ids["over"], ids["failed"]}


# ------------------------------------------------------------------ large counts


async def test_many_schedules_of_the_same_minute_fire_in_bounded_transactions(house: Opener) -> None:
    """10,000 take about 3 s on two cores that are free, 1.5 s of which the scheduler itself works."""
    here = await empty(house)
    scheduler = Scheduler(here)
    await scheduler.lead()
    id = await scheduler.make(cron="* * * * *")
    columns = "status, target, shown, cron, timezone, anchor, jitter, catch_up, next_due_at, next_run_at, created_at"
    await here.database.execute(
        f"insert into schedules (id, {columns}) select gen_random_uuid(), {columns}"
        " from schedules, generate_series(1, $2 - 1) where id = $1",
        id,
        MANY,
    )
    done = await scheduler.fire_all(NOON + MINUTE)
    assert [len(one.orders) for one in done if one.orders] == [FIRE_LIMIT] * (MANY // FIRE_LIMIT)
    assert await here.database.fetch_value("select count(distinct schedule_id) from firings") == MANY


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("timezone", "Mars/Phobos", "its due times cannot be computed"),
        ("cron", "61 * * * *", "its due times cannot be computed"),
        ("target", '{"command": {"command": ""}}', "what it runs is not valid any more: command.command"),
    ],
)
async def test_a_schedule_that_an_upgrade_made_invalid_fails_alone(
    house: Opener, column: str, value: str, why: str
) -> None:
    """What is stored was valid once. The time zone database, or the rules of a later version, may differ."""
    here = await empty(house)
    leader = Scheduler(here)
    await leader.lead()
    broken, other = await leader.make(cron="* * * * *"), await leader.make(cron="* * * * *")
    kind = "jsonb" if column == "target" else "text"
    await here.database.execute(f"update schedules set {column} = $1::text::{kind} where id = $2", value, broken)

    await leader.fire(NOON + MINUTE)

    assert [row["outcome"] for row in await firings(here, other)] == ["fired"]
    [row] = await firings(here, broken)
    assert (row["outcome"], row["reason"], row["due_at"]) == ("missed", "failed", NOON + MINUTE)
    [row] = await here.database.fetch("select status, last_error, next_run_at from schedules where id = $1", broken)
    assert (row["status"], row["next_run_at"]) == ("failed", None)
    assert why in row["last_error"]
    told = await here.database.fetch("select from outbox where event_type = 'schedules.failed'")
    assert len(told) == 1


async def test_what_waits_of_a_schedule_that_an_upgrade_made_invalid_does_not_keep_others_waiting(
    house: Opener,
) -> None:
    here = await empty(house)
    leader = Scheduler(here)
    await leader.lead()
    broken, other = [await leader.make(cron="* * * * *", catch_up="all", catch_up_limit=600) for _ in range(2)]
    await leader.fire(NOON + MINUTE)
    await leader.fire(NOON + 10 * 60 * MINUTE)
    update = "update schedules set target = $1::text::jsonb where id = $2"
    await here.database.execute(update, '{"command": {"command": ""}}', broken)

    await leader.fire_all(NOON + 10 * 60 * MINUTE)

    assert {row["outcome"] for row in await firings(here, other)} <= {"fired", "missed"}
    assert "waiting" not in {row["outcome"] for row in await firings(here, broken)}
    assert await here.database.fetch_value("select status from schedules where id = $1", broken) == "failed"
    untold = await leader.firings.unheard(-1e6, START, 1000)
    assert {one.schedule_id for one in untold} == {other}
