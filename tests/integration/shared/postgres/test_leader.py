"""Leadership on a real server: one at a time, handed over at once, given up when the lock is lost."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from shared.errors import Unavailable
from shared.postgres import Database, Leadership
from shared.postgres.leader import LOOK_INTERVAL, SILENCE
from shared.service import StopTimeout
from shared.telemetry import Metrics
from tests.fixtures.processes import running, said

SOON = 15.0
"""Seconds within which another leads when the leader fell silent, on a busy machine: for ever, without the lease."""

LOCK_HOLDERS = "select pid from pg_locks where locktype = 'advisory' and granted"


class Duty:
    """A leader's service that notes its terms."""

    name = "duty"

    def __init__(self, diary: list[str], *, fails: Exception | None = None) -> None:
        self._diary = diary
        self._fails = fails

    async def start(self) -> None:
        if self._fails:
            raise self._fails
        self._diary.append("started")

    async def stop(self) -> None:
        self._diary.append("stopped")


def candidate(database: Database, diary: list[str]) -> Leadership:
    return Leadership(database, "trial", lambda: [Duty(diary)], Metrics())


async def test_one_leads_and_the_other_takes_over_when_it_stops(database: Database) -> None:
    first_diary: list[str] = []
    second_diary: list[str] = []
    first, second = candidate(database, first_diary), candidate(database, second_diary)
    async with asyncio.timeout(20):
        await first.start()
        await first.led()
        await second.start()
        assert (first_diary, second_diary, second.leading) == (["started"], [], False)
        await first.stop()
        assert first_diary == ["started", "stopped"]
        await second.led()
        await second.stop()
    assert second_diary == ["started", "stopped"]


async def test_the_metrics_say_who_leads(database: Database) -> None:
    metrics = Metrics()
    leadership = Leadership(database, "trial", lambda: [], metrics)
    assert b'hodei_leader{role="trial"} 0.0' in metrics.render()
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        assert metrics.value("hodei_leader", role="trial") == 1
        await leadership.stop()
    assert metrics.value("hodei_leader", role="trial") == 0
    assert metrics.value("hodei_leader_terms_total", role="trial") == 1


async def test_losing_the_lock_stops_the_services_and_begins_anew(database: Database) -> None:
    diary: list[str] = []
    leadership = candidate(database, diary)
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        lost = asyncio.ensure_future(leadership.lost())
        await database.execute(f"select pg_terminate_backend(pid) from ({LOCK_HOLDERS}) holder")
        await lost
        assert diary == ["started", "stopped"]
        await leadership.led()
        await leadership.stop()
    assert diary == ["started", "stopped"] * 2


async def test_a_duty_that_cannot_start_is_tried_again(database: Database) -> None:
    diary: list[str] = []
    terms = 0

    def services() -> Sequence[Duty]:
        nonlocal terms
        terms += 1
        return [Duty(diary), Duty(diary, fails=Unavailable("trial") if terms == 1 else None)]

    leadership = Leadership(database, "trial", services, Metrics())
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        await leadership.stop()
    assert diary == ["started", "stopped", "started", "started", "stopped", "stopped"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LookupError("trial"), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        (Unavailable("trial"), [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5]),
    ],
    ids=["broken", "away"],
)
async def test_a_duty_that_never_can_start_is_tried_ever_more_seldom(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: list[float]
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("shared.postgres.leader.sleep", sleep)
    leadership = Leadership(database, "trial", lambda: [Duty([], fails=error)], Metrics())
    with capture_logs():
        async with asyncio.timeout(20):
            await leadership.start()
            await enough.wait()
            await leadership.stop()
    assert pauses == expected


async def test_other_roles_have_other_leaders(database: Database) -> None:
    one, other = (Leadership(database, role, lambda: [], Metrics()) for role in ("one", "other"))
    async with asyncio.timeout(20):
        for leadership in (one, other):
            await leadership.start()
        await asyncio.gather(one.led(), other.led())
        for leadership in (one, other):
            await leadership.stop()
    assert await database.fetch(LOCK_HOLDERS) == []


class Stubborn(Duty):
    """Does not stop until it is let go, cancelled or not."""

    def __init__(self, diary: list[str], let_go: asyncio.Event) -> None:
        super().__init__(diary)
        self._let_go = let_go

    async def stop(self) -> None:
        while not self._let_go.is_set():
            try:
                await self._let_go.wait()
            except asyncio.CancelledError:
                self._diary.append("cancelled")


async def test_a_term_that_does_not_end_ends_the_process_and_there_is_no_next(database: Database) -> None:
    diary: list[str] = []
    let_go, forced = asyncio.Event(), asyncio.Event()
    leadership = Leadership(
        database,
        "trial",
        lambda: [Duty(diary), Stubborn(diary, let_go), Duty(diary)],
        Metrics(),
        stop_deadline=0.1,
        force=lambda _reason: forced.set(),
    )
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        await database.execute(f"select pg_terminate_backend(pid) from ({LOCK_HOLDERS}) holder")
        await forced.wait()
        assert diary == [*["started"] * 3, *["stopped"] * 2, "cancelled"]  # the late one kept nobody
        let_go.set()
        with pytest.raises(StopTimeout):
            await leadership.stop()
    assert diary.count("started") == 3


async def test_a_stop_while_a_term_is_ending_lets_it_end(database: Database) -> None:
    diary: list[str] = []
    let_go, ending = asyncio.Event(), asyncio.Event()

    class Slow(Duty):
        async def stop(self) -> None:
            ending.set()
            await let_go.wait()
            await super().stop()

    leadership = Leadership(database, "trial", lambda: [Duty(diary), Slow(diary)], Metrics())
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        await database.execute(f"select pg_terminate_backend(pid) from ({LOCK_HOLDERS}) holder")
        await ending.wait()
        stopping = asyncio.create_task(leadership.stop())
        await asyncio.sleep(0)
        let_go.set()
        await stopping
    assert diary == ["started", "started", "stopped", "stopped"]


async def test_a_stop_that_takes_too_long_is_told_to_who_asked(database: Database) -> None:
    let_go = asyncio.Event()
    leadership = Leadership(database, "trial", lambda: [Stubborn([], let_go)], Metrics(), stop_deadline=0.1)
    async with asyncio.timeout(20):
        await leadership.start()
        await leadership.led()
        with pytest.raises(StopTimeout):
            await leadership.stop()
    let_go.set()


@pytest.fixture
async def leader(database: Database, database_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process, which leads."""
    async with running("tests.integration.shared.postgres.candidate", database_url) as process:
        await said(process, "started")
        yield process


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_standby_leads_soon_after_the_leader_fell_silent(
    database: Database, leader: asyncio.subprocess.Process, fault: signal.Signals
) -> None:
    standby = candidate(database, [])
    await standby.start()
    leader.send_signal(fault)
    fallen = time.monotonic()
    async with asyncio.timeout(30):
        await standby.led()
        assert time.monotonic() - fallen < SOON
        if fault is signal.SIGSTOP:
            leader.send_signal(signal.SIGCONT)
            await said(leader, "stopped")  # it learns of it, ends its term, and stands by
            await standby.stop()
            await said(leader, "started")
        else:
            await standby.stop()


async def test_a_frozen_leader_leads_on_where_there_is_no_standby(
    database: Database, leader: asyncio.subprocess.Process
) -> None:
    [before] = await database.fetch(LOCK_HOLDERS)
    leader.send_signal(signal.SIGSTOP)
    await asyncio.sleep(SILENCE + 1)  # it is the absence of a change that is looked at
    leader.send_signal(signal.SIGCONT)
    standby = candidate(database, [])
    await standby.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * LOOK_INTERVAL):
            await standby.led()
    assert [before] == await database.fetch(f"{LOCK_HOLDERS} and pid = {before['pid']}")
    await standby.stop()


async def test_a_leader_that_cannot_work_gives_way_to_one_that_can(database: Database) -> None:
    fitness = {"first": True, "second": False, "third": False}

    def candidate_of(name: str) -> Leadership:
        return Leadership(database, "trial", lambda: [], Metrics(), fit=lambda: fitness[name])

    first, second, third = map(candidate_of, fitness)
    async with asyncio.timeout(20):
        await first.start()
        await first.led()
        await second.start()
        await third.start()
        fitness["first"] = False
        with pytest.raises(TimeoutError):  # nobody can do better
            async with asyncio.timeout(SILENCE + 3 * LOOK_INTERVAL):
                await first.lost()
        fitness["third"] = True
        await third.led()
        await first.lost()
        assert not second.leading
        for leadership in (first, second, third):
            await leadership.stop()
