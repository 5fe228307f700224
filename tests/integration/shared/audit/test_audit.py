"""The audit log on a real PostgreSQL: one row for each call, with the change or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from schemas.access import Role
from schemas.events import JobCreated, JobDeleted, JobReprioritized, JobStarted, ScheduleDeleted
from schemas.rest.audit import AuditEntry, AuditOutcome, AuditQuery
from schemas.subjects import Catalogue
from shared.access import CALL, Call, Principal, calling
from shared.audit import AuditLog, AuditStore, Recorder, Refusals, recorded
from shared.audit.store import EXPORTED_AT_ONCE
from shared.clock import now
from shared.errors import BusUnavailable, MessageTooLarge
from shared.ids import new_id
from shared.outbox import Outbox
from shared.postgres import Database, migrate
from shared.telemetry import Metrics
from tests.fixtures import databases
from tests.fixtures.servers import PostgresServer, wait_for

ALICE = Principal("01900000-0000-7000-8000-00000000000a", "alice", Role.ADMIN)
CALLED = Call(ALICE, "10.1.2.3", "0123456789abcdef0123456789abcdef", "POST", "/api/v1/jobs", "/api/v1/jobs")
DEADLINE = 5.0


@dataclass
class TakesAll:
    """A bus that takes everything; nothing here is about what is published."""

    catalogue: Catalogue = field(default_factory=lambda: Catalogue("trial"))
    connected: bool = True
    max_payload: int = 8 << 20
    too_small: bool = False
    away: bool = False
    changed: Any = None

    def on_change(self, listener: Any) -> Any:
        self.changed = listener
        return lambda: None

    async def publish(
        self, subject: str, payload: bytes, *, msg_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        if self.too_small:
            raise MessageTooLarge("larger than NATS accepts")
        if self.away:
            raise BusUnavailable("NATS is away")


@pytest.fixture(scope="module")
def prepared(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with the shared tables, for all tests here."""

    async def prepare() -> None:
        url = await stack.enter_async_context(databases.cloned(postgres_server, databases.EMPTY))
        urls.append(url)
        database = Database(url, schema="trial", name="trial", min_size=1)
        await database.start()
        await migrate(database, "shared")
        await database.stop()

    stack, urls = AsyncExitStack(), list[str]()
    wait_for(prepare())
    yield urls[0]
    wait_for(stack.aclose())


@pytest.fixture
async def database(prepared: str) -> AsyncIterator[Database]:
    database = Database(prepared, schema="trial", name="trial", min_size=1, max_size=2)
    await database.start()
    async with database.transaction() as tx:
        await tx.fetch("select set_config('hodei.audit_retention', 'on', true)")
        await tx.execute("delete from outbox")
        await tx.execute("delete from audit")
    yield database
    await database.stop()


@pytest.fixture
def bus() -> TakesAll:
    return TakesAll()


@pytest.fixture
async def outbox(database: Database, bus: TakesAll) -> AsyncIterator[Outbox]:
    outbox = Outbox(database, bus, source="trial")
    outbox.before_close(Recorder(Metrics()).add)
    await outbox.start()
    yield outbox
    await outbox.stop()


@pytest.fixture
def store(database: Database) -> AuditStore:
    return AuditStore(database, service="trial")


@contextmanager
def called(call: Call = CALLED, **changes: Any) -> Iterator[Call]:
    """Code that runs for a request."""
    call = replace(call, recorded=set(), **changes)
    token = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(token)


def created(job_id: str) -> JobCreated:
    return JobCreated(job_id=job_id, name="a")


async def submitted(outbox: Outbox, job_id: str) -> None:
    """A request that creates a job."""
    with called():
        async with outbox.transaction() as tx:
            tx.emit(created(job_id))


async def fail(outbox: Outbox, event: JobCreated) -> None:
    async with outbox.transaction() as tx:
        tx.emit(event)
        raise LookupError


async def entries(store: AuditStore, **filters: Any) -> list[AuditEntry]:
    page = await store.find(AuditQuery(**filters), None)
    return [AuditEntry.model_validate_json(row) for row in page.rows]


# ------------------------------------------------------------------ changes


async def test_a_change_leaves_a_row_that_says_who_what_and_from_where(outbox: Outbox, store: AuditStore) -> None:
    job, before = new_id(), now()
    await submitted(outbox, job)
    [entry] = await entries(store)
    assert entry.by is not None
    assert (entry.by.id, entry.by.name) == (ALICE.id, "alice")
    assert (entry.service, entry.address, entry.method, entry.route) == ("trial", "10.1.2.3", "POST", "/api/v1/jobs")
    assert (entry.entity_ids, entry.request_id) == ([job], CALLED.request_id)
    assert (entry.outcome, entry.count) == (AuditOutcome.CHANGED, 1)
    assert before - timedelta(milliseconds=1) <= entry.created_at <= now()


async def test_a_transaction_with_nothing_else_to_say_costs_one_statement(outbox: Outbox, store: AuditStore) -> None:
    with called():
        async with outbox.transaction() as tx:
            tx.emit(created(new_id()))
        assert not tx.open  # no BEGIN was sent
    assert len(await entries(store)) == 1


async def test_a_rolled_back_change_leaves_none(outbox: Outbox, store: AuditStore) -> None:
    with called():
        with pytest.raises(LookupError):
            await fail(outbox, created(new_id()))
        assert await entries(store) == []
        async with outbox.transaction() as tx:  # it is tried again, as after a deadlock
            tx.emit(created(new_id()))
    assert len(await entries(store)) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reads_leave_none(outbox: Outbox, store: AuditStore, method: str) -> None:
    with called(method=method):
        async with outbox.transaction() as tx:
            tx.emit(created(new_id()))
    assert await entries(store) == []


async def test_what_no_request_asked_for_leaves_none(outbox: Outbox, store: AuditStore) -> None:
    async with outbox.transaction() as tx:
        tx.emit(created(new_id()))
    assert await entries(store) == []


async def test_what_follows_from_a_message_is_not_the_requests_that_sent_it(
    outbox: Outbox, store: AuditStore, bus: TakesAll
) -> None:
    calls: asyncio.Queue[Call | None] = asyncio.Queue()

    async def handle(events: Sequence[JobStarted]) -> None:
        calls.put_nowait(calling())

    outbox.when_undeliverable(JobStarted, handle)
    bus.too_small = True
    with called():
        async with outbox.transaction() as tx:
            tx.emit(JobStarted(job_id=new_id()))
    async with asyncio.timeout(DEADLINE):
        assert await calls.get() is None


async def test_a_call_that_changes_nothing_leaves_none(outbox: Outbox, store: AuditStore) -> None:
    with called():
        async with outbox.transaction() as tx:
            await tx.fetch("select 1")
        async with outbox.transaction():
            pass
    assert await entries(store) == []


async def test_several_transactions_about_the_same_leave_one_row(outbox: Outbox, store: AuditStore) -> None:
    worker = new_id()
    with called(route="/api/v1/workers"):
        async with outbox.transaction() as tx:
            tx.changes(worker)
        async with outbox.transaction() as tx:
            tx.changes(worker)
    [entry] = await entries(store)
    assert entry.entity_ids == [worker]


async def test_a_change_without_any_entity_leaves_one_row(outbox: Outbox, store: AuditStore) -> None:
    with called():
        for _ in range(2):
            async with outbox.transaction() as tx:
                tx.changes()
    [entry] = await entries(store)
    assert entry.entity_ids == []


async def test_a_deletion_in_several_transactions_names_all_that_it_deleted(outbox: Outbox, store: AuditStore) -> None:
    pages = [[new_id() for _ in range(3)] for _ in range(2)]
    with called(method="DELETE"):
        for page in pages:
            async with outbox.transaction() as tx:
                tx.emit(*(JobDeleted(job_id=job, cause="request") for job in page))
    assert [entry.entity_ids for entry in await entries(store)] == pages[::-1]
    [found] = await entries(store, entity_id=pages[0][2].upper())
    assert found.entity_ids == pages[0]


async def test_the_entity_of_the_path_comes_first(outbox: Outbox, store: AuditStore) -> None:
    old, new = new_id(), new_id()
    with called(route="/api/v1/jobs/{id}/rerun", path=f"/api/v1/jobs/{old.upper()}/rerun"):
        async with outbox.transaction() as tx:
            tx.emit(created(new))
    [entry] = await entries(store)
    assert entry.entity_ids == [old, new]
    assert await entries(store, entity_id=new) == await entries(store, entity_id=old) == [entry]


async def test_an_id_that_is_not_a_uuid_is_kept_and_found(outbox: Outbox, store: AuditStore) -> None:
    with called(method="DELETE", route="/api/v1/dead-letters/{id}", path="/api/v1/dead-letters/17"):
        async with recorded(outbox):
            pass
    [entry] = await entries(store, entity_id="17")
    assert entry.entity_ids == ["17"]
    assert await entries(store, entity_id="18") == []


async def test_a_change_that_is_taken_back_leaves_a_second_row(outbox: Outbox, store: AuditStore) -> None:
    schedule = new_id()
    with called(route="/api/v1/schedule"):
        async with outbox.transaction() as tx:
            tx.changes(schedule)
        async with outbox.transaction() as tx:
            tx.emit(ScheduleDeleted(schedule_id=schedule))
            tx.fails()
    failed, changed = await entries(store)
    assert (failed.outcome, changed.outcome) == (AuditOutcome.FAILED, AuditOutcome.CHANGED)
    assert failed.entity_ids == changed.entity_ids == [schedule]
    assert failed.request_id == changed.request_id


async def test_a_change_elsewhere_is_recorded_before_it_is_made(outbox: Outbox, store: AuditStore) -> None:
    async def fail_elsewhere() -> None:
        async with recorded(outbox):
            assert [entry.outcome for entry in await entries(store)] == [AuditOutcome.CHANGED]
            raise LookupError

    dead_letter = {"method": "DELETE", "route": "/api/v1/dead-letters/{id}", "path": "/api/v1/dead-letters/17"}
    with called(**dead_letter), pytest.raises(LookupError):
        await fail_elsewhere()
    failed, changed = await entries(store)
    assert (failed.outcome, changed.outcome) == (AuditOutcome.FAILED, AuditOutcome.CHANGED)
    assert failed.entity_ids == changed.entity_ids == ["17"]


async def test_with_access_off_a_change_elsewhere_needs_no_database(database: Database) -> None:
    outbox = Outbox(database, TakesAll(), source="trial")
    await database.stop()
    async with recorded(outbox):
        pass


async def test_the_jobs_of_changed_tasks_are_named(outbox: Outbox, store: AuditStore) -> None:
    job = new_id()
    with called():
        async with outbox.transaction() as tx:
            tx.emit(JobReprioritized(job_id=job, priority="high", previous="low", priority_changes=1))
    [entry] = await entries(store)
    assert entry.entity_ids == [job]


async def test_an_address_that_is_none_stops_no_change(outbox: Outbox, store: AuditStore) -> None:
    for address in ("10.1.2.3", "::ffff:10.1.2.4", "fe80::1%eth0", "", "not an address"):
        with called(address=address):
            async with outbox.transaction() as tx:
                tx.changes()
    assert [entry.address for entry in await entries(store)] == [None, None, "fe80::1", "10.1.2.4", "10.1.2.3"]
    [found] = await entries(store, address="fe80::1%eth1")
    assert found.address == "fe80::1"


async def test_a_clients_own_request_id_is_kept(outbox: Outbox, store: AuditStore) -> None:
    with called(request_id="deploy 17"):
        async with outbox.transaction() as tx:
            tx.changes()
    [entry] = await entries(store, request_id="deploy 17")
    assert entry.request_id == "deploy 17"
    assert await entries(store, request_id=CALLED.request_id) == []


# ------------------------------------------------------------------ with the events, then in the table


async def test_an_entry_waits_with_its_events_and_moves_when_they_are_published(
    outbox: Outbox, store: AuditStore, bus: TakesAll, database: Database
) -> None:
    bus.away = True
    jobs = [new_id() for _ in range(3)]
    with called(request_id="deploy 17"):
        async with outbox.transaction() as tx:
            tx.emit(*map(created, jobs), JobStarted(job_id=jobs[0]))
    assert await database.fetch_value("select count(*) from audit") == 0
    waiting = await store.find(AuditQuery(), None)

    bus.away = False
    bus.changed(True)
    await outbox.relay.idle()
    await outbox.relay.flush()

    assert await database.fetch_value("select count(*) from outbox") == 0
    assert await database.fetch_value("select count(*) from audit") == 1
    assert await store.find(AuditQuery(), None) == waiting
    [entry] = await entries(store)
    assert (entry.entity_ids, entry.request_id, entry.by) == (jobs, "deploy 17", ALICE.actor)


async def test_entries_that_wait_are_listed_in_their_order_and_found_by_each_filter(
    outbox: Outbox, store: AuditStore, bus: TakesAll, database: Database
) -> None:
    made = []
    for number in range(6):
        if number == 3:
            await outbox.relay.idle()
            await outbox.relay.flush()
            bus.away = True
        job, bob = new_id(), replace(ALICE, id=new_id(), name=f"token-{number}")
        made.append((job, bob))
        with called(principal=bob, request_id=f"request {number}", address=f"10.0.0.{number}"):
            async with outbox.transaction() as tx:
                tx.emit(created(job))
    counts = "select (select count(*) from audit), (select count(*) from outbox where audit is not null)"
    assert [tuple(row) for row in await database.fetch(counts)] == [(3, 3)]
    assert [one.entity_ids for one in await entries(store)] == [[job] for job, _ in reversed(made)]
    first = await store.find(AuditQuery(limit=2), None)
    rest = await store.find(AuditQuery(), first.last)
    assert [AuditEntry.model_validate_json(row).entity_ids for row in [*first.rows, *rest.rows]] == [
        [job] for job, _ in reversed(made)
    ]
    for number, (job, bob) in enumerate(made):
        filters = [
            {"entity_id": job},
            {"by": bob.id},
            {"by": bob.name},
            {"request_id": f"request {number}"},
            {"address": f"10.0.0.{number}"},
            {"by": bob.name, "outcome": "changed", "method": "POST", "route": "/api/v1/jobs"},
        ]
        for given in filters:
            assert [one.entity_ids for one in await entries(store, **given)] == [[job]], given


async def test_an_entry_is_moved_whoever_deletes_its_row_and_with_the_deletion_or_not_at_all(
    outbox: Outbox, store: AuditStore, bus: TakesAll, database: Database
) -> None:
    bus.away = True
    for _ in range(2):
        await submitted(outbox, new_id())
    async with outbox.transaction() as tx:
        tx.emit(created(new_id()))  # no call: without an entry
    before = await entries(store)

    with suppress(LookupError):
        async with database.transaction() as tx:
            await tx.execute("delete from outbox")
            raise LookupError
    assert await database.fetch_value("select count(*) from audit") == 0
    assert await entries(store) == before
    await database.execute("delete from outbox")

    assert await database.fetch_value("select count(*) from audit") == 2
    assert await entries(store) == before


async def test_an_entry_is_moved_whatever_tables_the_deleter_names(
    outbox: Outbox, store: AuditStore, bus: TakesAll, prepared: str
) -> None:
    bus.away = True
    await submitted(outbox, new_id())
    before = await entries(store)
    connection = await asyncpg.connect(prepared)
    try:
        await connection.execute("create schema other create table audit (id integer)")
        await connection.execute("set search_path = other")
        await connection.execute("delete from trial.outbox")
        assert await connection.fetchval("select count(*) from trial.audit") == 1
    finally:
        await connection.execute("drop schema other cascade")
        await connection.close()
    assert await entries(store) == before


async def test_an_entry_that_waits_cannot_be_changed(
    outbox: Outbox, store: AuditStore, bus: TakesAll, database: Database
) -> None:
    bus.away = True
    await submitted(outbox, new_id())
    for statement in ("update outbox set audit = null", "truncate outbox"):
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not changed"):
            await database.execute(statement)
    assert len(await entries(store)) == 1
    await database.execute("delete from outbox")
    await database.execute("truncate outbox")
    assert len(await entries(store)) == 1


async def test_an_export_misses_nothing_and_repeats_nothing_while_entries_move(
    outbox: Outbox, store: AuditStore, bus: TakesAll, database: Database
) -> None:
    bus.away = True
    jobs = [new_id() for _ in range(3 * EXPORTED_AT_ONCE)]
    for job in jobs:
        await submitted(outbox, job)
    found = []
    async for piece in store.export(AuditQuery()):
        found += [json.loads(row)["entity_ids"] for row in piece.decode().splitlines()]
        await database.execute("delete from outbox where id in (select id from outbox order by random() limit 200)")
    assert await database.fetch_value("select count(*) from outbox") == 0
    assert found == [[job] for job in reversed(jobs)]


async def test_a_change_without_an_event_is_in_the_table_at_once(outbox: Outbox, database: Database) -> None:
    with called():
        async with outbox.transaction() as tx:
            tx.changes(new_id())
    assert await database.fetch_value("select count(*) from audit") == 1


# ------------------------------------------------------------------ the table


async def test_rows_cannot_be_changed(outbox: Outbox, store: AuditStore, database: Database) -> None:
    with called():
        async with outbox.transaction() as tx:
            tx.changes()
    for statement in ("update audit set token_name = 'mallory'", "delete from audit", "truncate audit"):
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not changed"):
            await database.execute(statement)
    assert len(await entries(store)) == 1


async def test_a_row_takes_few_bytes(outbox: Outbox, database: Database) -> None:
    await database.execute("vacuum full audit")  # of what earlier tests left
    with called():
        async with outbox.transaction() as tx:
            tx.changes(new_id())
    await database.execute(
        "insert into audit (id, token_id, entity, request, outcome, address, method, route, token_name)"
        " select made, token_id, made, request, outcome, address, method, route, token_name"
        " from audit, (select (lpad(to_hex(n), 8, '0') || repeat('0', 24))::uuid as made"
        " from generate_series(1, 2000) as n order by n) as others"
    )
    sizes = {
        name: await database.fetch_value(f"select pg_relation_size('{name}') / 2001")
        for name in ("audit", "audit_pkey", "audit_by_entity")
    }
    assert sizes["audit"] <= 150, sizes
    assert sum(sizes.values()) <= 230, sizes  # 205 at length: an index of so few rows has room for many more


async def test_retention_deletes_what_is_old_and_nothing_else(
    outbox: Outbox, store: AuditStore, database: Database
) -> None:
    with called():
        async with outbox.transaction() as tx:
            tx.changes()
    [old] = await entries(store)
    kept = AuditLog(store, age=timedelta(days=365))
    assert (await kept.batch()).deleted == 0
    assert await kept.oldest() == old.created_at
    while now() < old.created_at + timedelta(milliseconds=2):
        pass  # until the millisecond of the row is over
    assert (await AuditLog(store, age=timedelta(microseconds=1)).batch()).deleted == 1
    assert await entries(store) == []
    assert await kept.oldest() is None


async def test_what_is_kept_forever_is_not_even_looked_at(store: AuditStore, database: Database) -> None:
    await database.stop()
    kept = AuditLog(store, age=None)
    assert not (await kept.batch()).more
    assert await kept.oldest() is None


# ------------------------------------------------------------------ reading


async def fill(outbox: Outbox, count: int) -> None:
    for number in range(count):
        with called(request_id=f"request-{number}"):
            async with outbox.transaction() as tx:
                tx.changes()


async def test_pages_follow_each_other_newest_first(outbox: Outbox, store: AuditStore) -> None:
    await fill(outbox, 5)
    seen: list[str] = []
    before: str | None = None
    while True:
        page = await store.find(AuditQuery(limit=2), before)
        seen += [json.loads(row)["request_id"] for row in page.rows]
        before = page.last
        if before is None:
            break
    assert seen == [f"request-{number}" for number in (4, 3, 2, 1, 0)]


async def test_an_export_has_a_line_for_each_row(
    outbox: Outbox, store: AuditStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.audit.store.EXPORTED_AT_ONCE", 2)
    await fill(outbox, 5)
    pieces = [piece async for piece in store.export(AuditQuery(by="alice"))]
    assert len(pieces) == 3
    lines = b"".join(pieces).splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == [f"request-{n}" for n in (4, 3, 2, 1, 0)]


async def test_a_filter_leaves_what_matches(outbox: Outbox, store: AuditStore) -> None:
    with called():
        async with outbox.transaction() as tx:
            tx.changes()
    hour = timedelta(hours=1)
    matching: list[dict[str, Any]] = [
        {"by": "alice"},
        {"by": ALICE.id},
        {"by": ALICE.id.upper()},
        {"address": "10.1.2.3"},
        {"method": "POST"},
        {"route": "/api/v1/jobs"},
        {"outcome": "changed"},
        {"request_id": CALLED.request_id},
        {"created_after": now() - hour},
        {"created_before": now() + hour},
    ]
    others: list[dict[str, Any]] = [
        {"by": "bob"},
        {"by": CALLED.request_id},
        {"address": "10.1.2.4"},
        {"method": "DELETE"},
        {"route": "/api/v1/jobs/{id}"},
        {"outcome": "forbidden"},
        {"request_id": "another"},
        {"created_after": now() + hour},
        {"created_before": now() - hour},
    ]
    assert [len(await entries(store, **filters)) for filters in matching] == [1] * len(matching)
    assert [len(await entries(store, **filters)) for filters in others] == [0] * len(others)


async def test_filters_by_entity_and_of_refusals_use_their_indexes(store: AuditStore, database: Database) -> None:
    plans = {}
    async with database.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")
        for name, where in {
            "entity": f"a.entity = '{ALICE.id}'::uuid or a.entities @> array['{ALICE.id}'::uuid]",
            "refused": "a.outcome = 'forbidden' and a.outcome <> 'changed'",
        }.items():
            rows = await tx.fetch(f"explain select id from audit a where {where} order by id desc limit 10")
            plans[name] = "\n".join(row[0] for row in rows)
    assert "audit_by_entity" in plans["entity"]
    assert "audit_by_entities" in plans["entity"]
    assert "audit_refused" in plans["refused"]


# ------------------------------------------------------------------ refusals


@pytest.fixture
def refusals(store: AuditStore) -> Refusals:
    return Refusals(store, Metrics(), most=3)


STRANGER = replace(CALLED, principal=None)


async def test_a_refusal_is_written_with_the_next_batch(refusals: Refusals, store: AuditStore) -> None:
    refusals.add(STRANGER, AuditOutcome.UNAUTHORIZED)
    assert await entries(store) == []
    assert await refusals.run_once() == {"rows": 1}
    [entry] = await entries(store, outcome="unauthorized")
    assert entry.by is None
    assert (entry.address, entry.count) == ("10.1.2.3", 1)
    assert await refusals.run_once() == {"rows": 0}


async def test_repeats_of_an_address_share_a_row(refusals: Refusals, store: AuditStore) -> None:
    for path in ("/api/v1/jobs", "/x", "/y"):
        refusals.add(replace(STRANGER, route=path, path=path), AuditOutcome.UNAUTHORIZED)
    refusals.add(replace(STRANGER, address="10.1.2.4"), AuditOutcome.UNAUTHORIZED)
    await refusals.run_once()
    found = {entry.address: (entry.count, entry.route) for entry in await entries(store)}
    assert found == {"10.1.2.3": (3, "/api/v1/jobs"), "10.1.2.4": (1, "/api/v1/jobs")}


async def test_a_tokens_refusals_are_told_apart_by_route(refusals: Refusals, store: AuditStore) -> None:
    worker = new_id()
    drain = replace(CALLED, route="/api/v1/workers/{id}/drain", path=f"/api/v1/workers/{worker}/drain")
    for call in (CALLED, drain, drain):
        refusals.add(call, AuditOutcome.FORBIDDEN)
    await refusals.run_once()
    found = {entry.route: (entry.count, entry.entity_ids) for entry in await entries(store, by="alice")}
    assert found == {"/api/v1/jobs": (1, []), drain.route: (2, [worker])}


async def test_beyond_the_limit_all_others_share_a_row(refusals: Refusals, store: AuditStore) -> None:
    for number in range(10):
        refusals.add(replace(STRANGER, address=f"10.0.0.{number}"), AuditOutcome.UNAUTHORIZED)
    await refusals.run_once()
    found = [(entry.address, entry.count) for entry in await entries(store)]
    assert sorted(found, key=str) == [("10.0.0.0", 1), ("10.0.0.1", 1), ("10.0.0.2", 1), (None, 7)]


async def test_a_stranger_cannot_make_a_row_large(refusals: Refusals, store: AuditStore) -> None:
    long = replace(STRANGER, method="M" * 5000, route="/api/v1/jobs/{id}", path=f"/api/v1/jobs/{'x' * 5000}")
    refusals.add(long, AuditOutcome.UNAUTHORIZED)
    await refusals.run_once()
    [entry] = await entries(store)
    assert (entry.method, entry.entity_ids) == ("M" * 20, ["x" * 40])


async def test_refusals_wait_for_the_database(refusals: Refusals, store: AuditStore, database: Database) -> None:
    refusals.add(STRANGER, AuditOutcome.UNAUTHORIZED)
    await database.stop()
    with pytest.raises(Exception, match="database is not available"):
        await refusals.run_once()
    refusals.add(replace(STRANGER, address="10.1.2.4"), AuditOutcome.UNAUTHORIZED)
    await database.start()
    await refusals.stop()
    assert {entry.address for entry in await entries(store)} == {"10.1.2.3", "10.1.2.4"}
