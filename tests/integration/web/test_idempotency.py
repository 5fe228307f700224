"""`Idempotency-Key` on a real PostgreSQL: created once, answered the same, whatever happens in between."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from schemas.model import Model
from schemas.subjects import Catalogue
from shared.errors import Conflict
from shared.outbox import Outbox
from shared.postgres import Database, migrate
from shared.service import Housekeeping
from shared.telemetry import Metrics
from shared.web import Api, WebServer, create_web_app, idempotency
from shared.web.idempotency import KEYS_KEPT, idempotent, purge

Client = TestClient[Any, Any]
DEADLINE = 5.0


class NoteIn(Model):
    text: str


@dataclass
class Settings:
    host: str = "127.0.0.1"
    cors_origins: str = "*"
    allowed_hosts: str = ""
    public_url: str | None = None
    trusted_proxies: str = ""
    limit_body: int = 100_000


@dataclass
class Behaviour:
    fails_with: Exception | None = None
    inside: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


class SilentBus:
    """A bus that takes everything; nothing here is about what is published."""

    catalogue = Catalogue("trial")
    connected = True

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        return lambda: None

    async def publish(
        self, subject: str, payload: bytes, *, msg_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        return None


def notes_api(outbox: Outbox, behaviour: Behaviour) -> Api:
    api = Api(tag="notes")

    @api.post("/notes", body=NoteIn, answers={201: dict[str, object]}, summary="Write one", creates=True)
    async def create_note(request: web.Request, body: NoteIn) -> web.StreamResponse:
        async with idempotent(request, outbox) as tx:
            number = await tx.fetch_value("insert into notes (text) values ($1) returning number", body.text)
            behaviour.inside.set()
            await behaviour.go.wait()
            if behaviour.fails_with:
                raise behaviour.fails_with
            response = tx.answer(201, f'{{"number": {number}}}', {"Location": f"/notes/{number}"})
        return response

    @api.post("/forgetful", body=NoteIn, answers={201: None}, summary="Forget to answer", creates=True)
    async def create_forgetful(request: web.Request, body: NoteIn) -> web.StreamResponse:
        async with idempotent(request, outbox) as tx:
            await tx.execute("insert into notes (text) values ($1)", body.text)
        return web.Response(status=201)

    return api


@pytest.fixture
def behaviour() -> Behaviour:
    behaviour = Behaviour()
    behaviour.go.set()
    return behaviour


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema="trial", name="trial")
    await database.start()
    await migrate(database, "shared")
    await database.execute("create table notes (number integer generated always as identity, text text)")
    yield database
    await database.stop()


@pytest.fixture
def app(database: Database, behaviour: Behaviour) -> web.Application:
    return _app(database, behaviour, Settings())


def _app(database: Database, behaviour: Behaviour, settings: Settings) -> web.Application:
    outbox = Outbox(database, SilentBus(), source="trial")
    return create_web_app(
        title="Notes",
        version="1",
        service="notes",
        settings=settings,
        apis=[notes_api(outbox, behaviour)],
        checks={},
        metrics=Metrics(),
    )


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
def write(client: Client) -> Callable[..., Awaitable[Any]]:
    async def write(text: str = "a", *, key: str | None = "k1", path: str = "/notes") -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        response = await client.post(path, json={"text": text}, headers=headers)
        return response.status, dict(response.headers), await response.json()

    return write


async def count(database: Database) -> int:
    return int(await database.fetch_value("select count(*) from notes"))


async def test_without_a_key_every_request_creates(write: Any, database: Database) -> None:
    await write(key=None)
    status, headers, _ = await write(key=None)
    assert status == 201
    assert "Idempotency-Replayed" not in headers
    assert await count(database) == 2


async def test_the_same_key_and_body_give_the_first_answer_again(write: Any, database: Database) -> None:
    first = await write()
    again = await write()
    assert "Idempotency-Replayed" not in first[1]
    assert again[1]["Idempotency-Replayed"] == "true"
    assert again[0] == first[0] == 201
    assert again[2] == first[2]
    for header in ("Location", "Content-Type", "Content-Length"):
        assert again[1][header] == first[1][header]
    assert again[1]["X-Request-ID"] != first[1]["X-Request-ID"]
    assert await count(database) == 1


async def test_a_replayed_location_is_below_the_path_of_the_public_address(
    write: Any, database: Database, behaviour: Behaviour
) -> None:
    """What is stored stays an absolute path: the address may change, and creations are found by it."""
    await write()
    assert await database.fetch_value("select headers->>'Location' from idempotency_keys") == "/notes/1"
    moved = _app(database, behaviour, Settings(public_url="https://hodei.example/hodei"))
    async with TestClient(TestServer(moved)) as client:
        for key, location in (("k1", "notes/1"), ("k2", "notes/2"), ("k2", "notes/2")):
            response = await client.post("/notes", json={"text": "a"}, headers={"Idempotency-Key": key})
            assert response.headers["Location"] == location
    assert (
        await database.fetch_value("select headers->>'Location' from idempotency_keys where key = 'k2'") == "/notes/2"
    )


async def test_the_same_key_with_another_body_is_422(write: Any, database: Database) -> None:
    await write("a")
    status, _, body = await write("b")
    assert status == 422
    assert body["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert await count(database) == 1


async def test_another_key_creates_another(write: Any, database: Database) -> None:
    await write(key="k1")
    await write(key="k2")
    assert await count(database) == 2


async def test_a_concurrent_request_waits_for_the_first_and_gets_its_answer(
    write: Any, database: Database, behaviour: Behaviour
) -> None:
    behaviour.go.clear()
    first = asyncio.create_task(write())
    await behaviour.inside.wait()
    others = [asyncio.create_task(write()) for _ in range(4)]
    behaviour.go.set()
    answers = [await task for task in (first, *others)]
    assert {answer[0] for answer in answers} == {201}
    assert {answer[2]["number"] for answer in answers} == {1}
    assert sum("Idempotency-Replayed" in answer[1] for answer in answers) == 4
    assert await count(database) == 1


async def test_a_failed_request_leaves_its_key_unused(write: Any, database: Database, behaviour: Behaviour) -> None:
    behaviour.fails_with = Conflict("not now")
    assert (await write())[0] == 409
    behaviour.fails_with = None
    status, headers, _ = await write()
    assert status == 201
    assert "Idempotency-Replayed" not in headers
    assert await count(database) == 1


async def test_an_expired_key_counts_as_unused_and_is_purged(write: Any, database: Database) -> None:
    await write("a")
    await database.execute("update idempotency_keys set created_at = now() - interval '25 hours'")
    assert (await write("b"))[0] == 201
    assert await count(database) == 2
    assert await purge(database, 1000) == 0
    await database.execute("update idempotency_keys set created_at = now() - interval '25 hours'")
    assert await purge(database, 1000) == 1


@pytest.mark.parametrize(("kept", "status"), [(timedelta(hours=48), 422), (None, 422), (timedelta(hours=30), 201)])
async def test_keys_are_known_for_as_long_as_the_application_says(
    app: web.Application, database: Database, kept: timedelta | None, status: int
) -> None:
    app[KEYS_KEPT] = kept
    headers = {"Idempotency-Key": "k1"}
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/notes", json={"text": "a"}, headers=headers)).status == 201
        await database.execute("update idempotency_keys set created_at = now() - interval '36 hours'")
        assert (await client.post("/notes", json={"text": "b"}, headers=headers)).status == status
    await database.execute("update idempotency_keys set created_at = now() - interval '36 hours'")
    assert await purge(database, 1000, lifetime=kept) == (1 if status == 201 else 0)


async def test_however_many_keys_have_expired_all_are_forgotten_at_once(database: Database) -> None:
    await database.execute(
        "insert into idempotency_keys (route, key, request_hash, created_at)"
        " select 'POST /notes', n::text, '', now() - interval '25 hours' from generate_series(1, 2500) n"
    )
    metrics = Metrics()
    housekeeping = Housekeeping(metrics, idempotency_keys=partial(purge, database))
    first = asyncio.ensure_future(housekeeping.next_run())

    await housekeeping.start()

    pages = [await asyncio.wait_for(first, DEADLINE)]
    pages += [await asyncio.wait_for(housekeeping.next_run(), DEADLINE) for _ in range(2)]
    await housekeeping.stop()
    assert [page["idempotency_keys"] for page in pages] == [1000, 1000, 500]
    assert metrics.value("hodei_retention_deleted_total", kind="idempotency_keys") == 2500
    assert housekeeping.interval > 0


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_a_malformed_key_is_422(write: Any, database: Database, key: str) -> None:
    assert (await write(key=key))[0] == 422
    assert await count(database) == 0


async def test_a_handler_that_keeps_no_answer_is_a_fault_and_creates_nothing(write: Any, database: Database) -> None:
    assert (await write(path="/forgetful"))[0] == 500
    assert await count(database) == 0


async def test_a_body_is_the_same_however_it_is_compressed(app: web.Application, database: Database) -> None:
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    body = b'{"text": "a"}'
    sent = [
        ("identity", body),
        ("gzip", gzip.compress(body, mtime=1)),
        ("gzip", gzip.compress(body, mtime=2)),
        ("deflate", zlib.compress(body)),
    ]
    try:
        async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
            for number, (coding, raw) in enumerate(sent):
                headers = {"Idempotency-Key": "k1", "Content-Encoding": coding}
                async with session.post("/notes", data=raw, headers=headers) as answer:
                    assert (answer.status, await answer.json()) == (201, {"number": 1})
                    assert ("Idempotency-Replayed" in answer.headers) == (number > 0)
            headers = {"Idempotency-Key": "k2", "Content-Encoding": "gzip"}
            async with session.post("/notes", data=gzip.compress(body)[:-1], headers=headers) as answer:
                assert answer.status == 400
    finally:
        await server.stop()
    assert await count(database) == 1


async def test_a_short_response_is_stored_packed_and_replayed_as_it_was(write: Any, database: Database) -> None:
    first = await write("a" * 500)
    row = await database.fetch_one("select body, packed_body from idempotency_keys")
    assert row is not None
    assert row["body"] is None
    assert len(row["packed_body"]) < 150
    again = await write("a" * 500)
    assert (again[0], again[2]) == (first[0], first[2])


async def test_a_long_response_is_left_to_postgresql(
    write: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PACKED_LIMIT", 1)
    first = await write()
    assert await database.fetch_value("select packed_body is null and length(body) > 1 from idempotency_keys")
    assert (await write())[2] == first[2]


async def test_a_response_that_an_earlier_version_stored_is_replayed(write: Any, database: Database) -> None:
    first = await write()
    await database.execute("update idempotency_keys set packed_body = null, body = $1", b'{"from":"before"}')
    status, headers, body = await write()
    assert (status, body) == (first[0], {"from": "before"})
    assert headers["Idempotency-Replayed"] == "true"
