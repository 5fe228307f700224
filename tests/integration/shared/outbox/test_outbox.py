"""The outbox on a real PostgreSQL and, where it matters, a real NATS: nothing lost, nothing out of order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest

from schemas.cloudevents import decode_batch
from schemas.events import JobCancelRequested, JobStarted, WorkerDraining
from schemas.subjects import Catalogue
from shared.bus import Bus
from shared.errors import BusUnavailable, HodeiError, MessageTooLarge, Unavailable
from shared.ids import new_id
from shared.outbox import Outbox
from shared.outbox import relay as outbox_relay
from shared.outbox import table as outbox_table
from shared.outbox.relay import Relay
from shared.postgres import Broken, Database
from shared.postgres.errors import UniqueViolation
from shared.telemetry import Metrics, continued
from tests.fixtures.servers import NatsServer


class CuttableBus:
    """Records what is published; can be away, can lose acknowledgements, can hold them back."""

    def __init__(self) -> None:
        self.catalogue = Catalogue("trial")
        self.max_payload = 8 << 20
        self.largest = self.max_payload
        """What the server really takes."""
        self.connected = True
        self.messages: list[tuple[str, str, bytes]] = []
        self.headers: list[Mapping[str, str] | None] = []
        self.lose_acknowledgements = False
        self.refused: set[str] = set()
        self.repeated = asyncio.Event()
        self.published = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()
        self._listeners: list[Callable[[bool], None]] = []

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def cut(self, *, connected: bool) -> None:
        self.connected = connected
        for listener in list(self._listeners):
            listener(connected)

    async def publish(
        self, subject: str, payload: bytes, *, msg_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        if not self.connected:
            raise BusUnavailable("away")
        if len(payload) > self.largest:
            raise MessageTooLarge(f"{len(payload)} bytes")
        if subject in self.refused:
            raise HodeiError("too large")
        if any(msg_id == earlier for _, earlier, _ in self.messages):
            self.repeated.set()
        self.messages.append((subject, msg_id, payload))
        self.headers.append(headers)
        async with self.published:
            self.published.notify_all()
        await self.gate.wait()
        if self.lose_acknowledgements:
            raise BusUnavailable("no acknowledgement")

    def entity_ids(self) -> list[str]:
        return [
            event.subject
            for subject, _, payload in self.messages
            for event in decode_batch(self.catalogue.event_type(subject), payload)
        ]


@pytest.fixture
def bus() -> CuttableBus:
    return CuttableBus()


@pytest.fixture
async def outbox(database: Database, bus: CuttableBus) -> AsyncIterator[Outbox]:
    outbox = Outbox(database, bus, source="trial", linger=0)
    await outbox.start()
    yield outbox
    bus.gate.set()
    await outbox.stop()


async def say(outbox: Outbox, *ids: str) -> None:
    async with outbox.transaction() as transaction:
        transaction.emit(*(WorkerDraining(worker_id=id) for id in ids))


async def rows_left(database: Database) -> int:
    return int(await database.fetch_value("select count(*) from outbox"))


async def settled(outbox: Outbox, database: Database) -> None:
    """Everything published and deleted."""
    async with asyncio.timeout(10):
        await outbox.relay.idle()
        await outbox.relay.flush()
    assert await rows_left(database) == 0


@pytest.mark.smoke
async def test_what_a_committed_transaction_says_is_published_and_its_row_deleted(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    ids = [new_id() for _ in range(3)]
    await say(outbox, *ids)
    await settled(outbox, database)
    assert bus.entity_ids() == ids
    assert [subject for subject, _, _ in bus.messages] == ["trial.workers.draining"]


async def test_a_transaction_rolled_back_says_nothing(outbox: Outbox, bus: CuttableBus, database: Database) -> None:
    async def fail() -> None:
        async with outbox.transaction() as transaction:
            transaction.emit(JobStarted(job_id=new_id()))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    await settled(outbox, database)
    assert bus.messages == []


async def test_closing_queries_are_one_statement_with_the_events(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    await database.execute("create table mine (id int primary key, seen timestamptz)")
    add = "with {0} as (insert into mine values ($1, statement_timestamp()))\nselect true as {0}_added"
    worker = new_id()
    async with outbox.transaction() as transaction:
        transaction.close_with(add.format("a"), 1)
        transaction.close_with(add.format("b"), 2)
        transaction.emit(WorkerDraining(worker_id=worker))
    assert len({row["seen"] for row in await database.fetch("select seen from mine")}) == 1
    assert not transaction.open  # it never had to begin
    await settled(outbox, database)
    assert bus.entity_ids() == [worker]


async def test_what_does_not_hold_writes_and_says_nothing(outbox: Outbox, bus: CuttableBus, database: Database) -> None:
    await database.execute("create table mine (id int primary key)")

    async def fail() -> None:
        async with outbox.transaction() as transaction:
            transaction.close_with("with a as (insert into mine values ($1))\nselect true as added", 1)
            transaction.close_with("with b as (select 1)\nselect must($1, 'never mind')", False)
            transaction.emit(WorkerDraining(worker_id=new_id()))

    with pytest.raises(Broken, match="never mind"):
        await fail()
    assert await database.fetch("select * from mine") == []
    await settled(outbox, database)
    assert bus.messages == []


async def test_a_closing_query_fails_with_what_came_before_it(outbox: Outbox, database: Database) -> None:
    await database.execute("create table mine (id int primary key)")

    async def add(*before: int) -> None:
        async with outbox.transaction() as transaction:
            for id in before:
                await transaction.execute("insert into mine values ($1)", id)
            transaction.close_with("with a as (insert into mine values ($1))\nselect true as added", 2)

    with pytest.raises(UniqueViolation):
        await add(1, 2)
    assert await database.fetch("select * from mine") == []
    await add(1)
    assert len(await database.fetch("select * from mine")) == 2


async def test_each_event_keeps_its_own_trace_and_a_message_names_the_one_that_all_of_it_is_of(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    first, second, around = (f"00-{digit * 32}-{digit * 16}-01" for digit in "123")
    with continued(around):
        async with outbox.transaction() as transaction:
            transaction.emit(JobStarted(job_id=new_id()), traceparent=first)
            transaction.emit(JobStarted(job_id=new_id()), traceparent=second)
            transaction.emit(JobStarted(job_id=new_id()))
            transaction.emit(*(JobCancelRequested(job_id=new_id()) for _ in range(2)), traceparent=first)
    await settled(outbox, database)
    traces = [
        [event.traceparent for event in decode_batch(bus.catalogue.event_type(subject), payload)]
        for subject, _, payload in bus.messages
    ]
    assert traces == [[first, second, around], [first, first]]
    assert bus.headers == [None, {"traceparent": first}]


async def test_what_waits_for_the_commit_is_done_after_it_and_not_without_it(
    outbox: Outbox, database: Database
) -> None:
    seen: list[int] = []

    async def fail() -> None:
        async with outbox.transaction() as transaction:
            transaction.on_commit(lambda: seen.append(-1))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with outbox.transaction() as transaction:
        transaction.on_commit(lambda: seen.append(1))
        assert seen == []
    assert seen == [1]


async def test_types_go_out_in_the_order_of_their_first_event(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    async with outbox.transaction() as transaction:
        transaction.emit(JobStarted(job_id=new_id()), JobCancelRequested(job_id=new_id()), JobStarted(job_id=new_id()))
    await settled(outbox, database)
    assert [subject for subject, _, _ in bus.messages] == ["trial.jobs.started", "trial.jobs.cancel_requested"]


async def test_rows_that_wait_for_an_acknowledgement_are_merged_in_order(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    ids = [new_id() for _ in range(20)]
    bus.gate.clear()
    for id in ids:
        await say(outbox, id)
    bus.gate.set()
    await settled(outbox, database)
    assert bus.entity_ids() == ids
    assert len(bus.messages) == 2


async def test_what_only_tells_people_lets_go_first_what_is_worked_on(
    outbox: Outbox, bus: CuttableBus, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_relay, "NO_HURRY", 2.0)  # longer than all of these transactions, however busy it is
    jobs, worker = [new_id() for _ in range(3)], new_id()
    for id in jobs:
        async with outbox.transaction() as transaction:
            transaction.emit(JobStarted(job_id=id))
    await say(outbox, worker)
    await settled(outbox, database)
    assert bus.entity_ids() == [worker, *jobs]
    assert len(bus.messages) == 2


async def test_of_one_entity_nothing_overtakes_what_was_said_before(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    id, later = new_id(), new_id()
    async with outbox.transaction() as transaction:
        transaction.emit(JobStarted(job_id=id), WorkerDraining(worker_id=id))
    await say(outbox, later)
    await settled(outbox, database)
    assert bus.entity_ids() == [id, id, later]


async def test_what_is_said_while_the_bus_is_away_goes_out_in_order_when_it_is_back(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    bus.cut(connected=False)
    ids = [new_id() for _ in range(30)]
    for id in ids:
        await say(outbox, id)
    assert await rows_left(database) == 30
    assert outbox.relay.held == 0
    bus.cut(connected=True)
    await settled(outbox, database)
    assert bus.entity_ids() == ids
    last = new_id()
    await say(outbox, last)  # and memory is the way again
    await settled(outbox, database)
    assert bus.entity_ids() == [*ids, last]


async def test_a_lost_acknowledgement_repeats_the_message_under_the_same_id(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    bus.lose_acknowledgements = True
    bus.gate.clear()
    await say(outbox, new_id())
    bus.gate.set()
    async with asyncio.timeout(5):
        await bus.repeated.wait()
    bus.lose_acknowledgements = False
    await settled(outbox, database)
    assert len({msg_id for _, msg_id, _ in bus.messages}) == 1


async def test_memory_is_bounded_and_what_is_over_the_bound_is_read_back(database: Database, bus: CuttableBus) -> None:
    outbox = Outbox(database, bus, source="trial", linger=0, max_rows=5)
    await outbox.start()
    try:
        bus.gate.clear()
        ids = [new_id() for _ in range(50)]
        most = 0
        for id in ids:
            await say(outbox, id)
            most = max(most, outbox.relay.held)
        bus.gate.set()
        await settled(outbox, database)
    finally:
        await outbox.stop()
    assert most <= 5
    assert bus.entity_ids() == ids


async def test_rows_of_a_process_that_died_are_swept(database: Database, bus: CuttableBus) -> None:
    ids = [new_id() for _ in range(3)]
    for id in ids:
        await say(Outbox(database, bus, source="trial"), id)  # never started: committed, and then the process died
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    relay = sweeper(database, bus)
    assert await relay.run_once() == {"swept": 3}
    assert bus.entity_ids() == ids
    assert await rows_left(database) == 0


async def test_a_page_goes_out_with_several_types_in_flight(database: Database, bus: CuttableBus) -> None:
    dead = Outbox(database, bus, source="trial")
    async with dead.transaction() as transaction:
        transaction.emit(*(kind(job_id=new_id()) for kind in (JobStarted, JobCancelRequested)))
        transaction.emit(WorkerDraining(worker_id=new_id()))
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    bus.gate.clear()
    sweep = asyncio.create_task(sweeper(database, bus).run_once())
    async with asyncio.timeout(5), bus.published:
        await bus.published.wait_for(lambda: len(bus.messages) == 3)  # and not one of them acknowledged
    bus.gate.set()
    assert await sweep == {"swept": 3}
    assert await rows_left(database) == 0


async def test_what_speaks_of_one_entity_is_not_in_flight_together(database: Database, bus: CuttableBus) -> None:
    id = new_id()
    dead = Outbox(database, bus, source="trial")
    async with dead.transaction() as transaction:
        transaction.emit(JobStarted(job_id=id), JobCancelRequested(job_id=id))
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    bus.lose_acknowledgements = True
    with pytest.raises(BusUnavailable):
        await sweeper(database, bus).run_once()
    assert [subject for subject, _, _ in bus.messages] == ["trial.jobs.started"]


async def test_a_page_that_takes_too_long_is_left_and_what_was_acknowledged_is_gone(
    database: Database, bus: CuttableBus
) -> None:
    id = new_id()
    bus.refused.add("trial.jobs.started")
    dead = Outbox(database, bus, source="trial")
    async with dead.transaction() as transaction:
        transaction.emit(JobStarted(job_id=new_id()), JobCancelRequested(job_id=id), WorkerDraining(worker_id=id))
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    relay = sweeper(database, bus, page_deadline=0)
    assert await relay.run_once() == {"swept": 1}
    assert await rows_left(database) == 2
    assert await relay.run_once() == {"swept": 1}
    assert bus.entity_ids() == [id, id]
    assert await rows_left(database) == 1  # what is refused


async def test_the_sweep_leaves_young_rows_to_their_own_relay(database: Database, bus: CuttableBus) -> None:
    await say(Outbox(database, bus, source="trial"), new_id())
    assert await sweeper(database, bus).run_once() == {"swept": 0}
    assert await rows_left(database) == 1


async def test_two_relays_sweep_one_table_without_taking_the_same_row(database: Database, bus: CuttableBus) -> None:
    for _ in range(10):
        await say(Outbox(database, bus, source="trial"), new_id())
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    counts = await asyncio.gather(*(sweeper(database, bus).run_once() for _ in range(2)))
    assert sum(count["swept"] for count in counts) == 10
    assert len(set(bus.entity_ids())) == len(bus.entity_ids()) == 10


async def test_two_relays_that_recover_lose_nothing(database: Database, bus: CuttableBus) -> None:
    bus.cut(connected=False)
    outboxes = [Outbox(database, bus, source="trial", linger=0) for _ in range(2)]
    for outbox in outboxes:
        await outbox.start()
    try:
        ids = [new_id() for _ in range(40)]
        for number, id in enumerate(ids):
            await say(outboxes[number % 2], id)
        bus.cut(connected=True)
        async with asyncio.timeout(10):
            for outbox in outboxes:
                await outbox.relay.idle()
    finally:
        for outbox in outboxes:
            await outbox.stop()
    assert sorted(bus.entity_ids()) == sorted(ids)
    assert await rows_left(database) == 0


async def test_a_message_the_bus_refuses_blocks_nothing_and_stays(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    bus.refused.add("trial.jobs.cancel_requested")
    id = new_id()
    async with outbox.transaction() as transaction:
        transaction.emit(JobCancelRequested(job_id=new_id()), JobStarted(job_id=id))
    async with asyncio.timeout(5):
        await outbox.relay.idle()
        await outbox.relay.flush()
    assert bus.entity_ids() == [id]
    assert await rows_left(database) == 1


async def test_a_large_transaction_is_split_into_messages_that_fit(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    ids = [new_id() for _ in range(4000)]
    await say(outbox, *ids)
    await settled(outbox, database)
    assert bus.entity_ids() == ids
    assert len(bus.messages) > 1
    assert all(len(payload) <= 512 * 1024 for _, _, payload in bus.messages)


async def test_a_plain_transaction_refuses_events(database: Database) -> None:
    async with database.transaction() as transaction:
        with pytest.raises(RuntimeError, match=r"Outbox\.transaction"):
            transaction.emit(JobStarted(job_id=new_id()))


async def test_what_waits_is_measured(database: Database, bus: CuttableBus) -> None:
    await say(Outbox(database, bus, source="trial"), new_id())
    metrics = Metrics()
    await sweeper(database, bus, metrics=metrics).run_once()
    assert metrics.value("hodei_outbox_pending_rows") == 1


@pytest.mark.smoke
async def test_committed_while_a_real_nats_is_away_arrives_when_it_is_back(
    database: Database, own_nats: Callable[[], Awaitable[NatsServer]], namespace: str
) -> None:
    server = await own_nats()
    bus = Bus(server.url, name="orchestrator", namespace=namespace)
    await bus.start()
    outbox = Outbox(database, bus, source="trial")
    try:
        await bus.declare()
        await outbox.start()
        await say(outbox, new_id())
        async with asyncio.timeout(10):
            await outbox.relay.idle()
        gone = asyncio.Event()
        bus.on_change(lambda connected: None if connected else gone.set())
        await server.stop()
        async with asyncio.timeout(10):
            await gone.wait()
        for _ in range(10):
            await say(outbox, new_id())
        assert await rows_left(database) >= 10
        await server.start()
        async with asyncio.timeout(30):
            await outbox.relay.idle()
            await outbox.relay.flush()
        assert await rows_left(database) == 0
    finally:
        await outbox.stop()
        await bus.stop()


def sweeper(
    database: Database, bus: CuttableBus, metrics: Metrics | None = None, *, page_deadline: float = 20
) -> Relay:
    return Relay(
        database,
        bus,
        relay_id=new_id(),
        source="trial",
        linger=0,
        metrics=metrics or Metrics(),
        page_deadline=page_deadline,
    )


async def test_what_fails_after_the_commit_changes_nothing_of_it(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    id, done = new_id(), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("no span for you")

    async with outbox.transaction() as transaction:
        transaction.emit(WorkerDraining(worker_id=id))
        transaction.on_commit(fail)
        transaction.on_commit(done.set)
    assert done.is_set()
    await settled(outbox, database)
    assert bus.entity_ids() == [id]


async def test_events_that_together_are_larger_than_the_bus_takes_by_now_go_one_by_one(
    database: Database, bus: CuttableBus
) -> None:
    ids = [new_id() for _ in range(5)]
    await say(Outbox(database, bus, source="trial"), *ids)  # never started: another process publishes it
    await database.execute("update outbox set created_at = created_at - interval '10 s'")
    bus.largest = 600
    assert await sweeper(database, bus).run_once() == {"swept": 5}
    assert bus.entity_ids() == ids
    assert len(bus.messages) == 5
    assert await rows_left(database) == 0


async def test_an_event_that_is_larger_than_the_bus_takes_is_given_to_who_knows_what_follows(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    told: list[WorkerDraining] = []

    async def handler(events: Sequence[WorkerDraining]) -> None:
        told.extend(events)

    outbox.when_undeliverable(WorkerDraining, handler)
    bus.largest = 600
    long = "x" * 600
    await say(outbox, "first", long, "last")
    await say(outbox, "another")
    await settled(outbox, database)
    assert [event.worker_id for event in told] == [long]
    assert sorted(bus.entity_ids()) == ["another", "first", "last"]


async def test_what_follows_from_an_event_that_is_too_large_is_tried_again_where_it_failed(
    outbox: Outbox, bus: CuttableBus, database: Database
) -> None:
    async def handler(events: Sequence[WorkerDraining]) -> None:
        raise Unavailable("database")

    outbox.when_undeliverable(WorkerDraining, handler)
    bus.largest = 600
    await say(outbox, "x" * 600)
    await outbox.relay.idle()
    await outbox.relay.flush()
    assert await rows_left(database) == 1


async def outage(database: Database, bus: CuttableBus, rows: int) -> Relay:
    """Rows that another process left, and a relay that has just published them all."""
    [payload] = await written(database, bus)
    await database.execute(
        """
        insert into outbox (relay, event_type, events, payload, created_at)
        select gen_random_uuid(), 'workers.draining', 1, $1, now() - interval '1 minute' from generate_series(1, $2)
        """,
        payload,
        rows,
    )
    relay = sweeper(database, bus)
    while await rows_left(database):
        await relay.run_once()
    return relay


async def written(database: Database, bus: CuttableBus) -> list[bytes]:
    await say(Outbox(database, bus, source="trial"), "x" * 500)
    return [row["payload"] for row in await database.fetch("delete from outbox returning payload")]


async def size(database: Database) -> int:
    return int(await database.fetch_value("select pg_total_relation_size('outbox')"))


async def test_after_outages_the_empty_outbox_gives_its_space_back(database: Database, bus: CuttableBus) -> None:
    await say(outbox_of := Outbox(database, bus, source="trial"), "one")
    last_id = await database.fetch_value("delete from outbox returning id")
    for _ in range(2):
        relay = await outage(database, bus, 20_000)
        async with asyncio.timeout(30):  # while the server vacuums the table, a run leaves it as it is
            while await size(database) >= 100_000:
                await asyncio.sleep(0.05)
                await relay.run_once()
    await say(outbox_of, "another")
    assert await database.fetch_value("select min(id) from outbox") > last_id, "ids, which name messages, go on"


async def test_rows_of_an_open_transaction_are_not_lost_when_space_is_given_back(
    database: Database, bus: CuttableBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_table, "EMPTY_BYTES", 0)
    relay = sweeper(database, bus)
    async with Outbox(database, bus, source="trial").transaction() as transaction:
        transaction.emit(WorkerDraining(worker_id="kept"))
        await transaction.execute(
            "insert into outbox (relay, event_type, events, payload) values ($1, 'x', 1, '')", new_id()
        )
        before = await size(database)
        await asyncio.wait_for(relay.run_once(), 5)
        assert await size(database) == before > 0
    assert await rows_left(database) == 2
    await relay.run_once()
    assert await rows_left(database) == 2, "an outbox with rows stays as it is"
