"""Tokens: made once, known to every service at once, refused everywhere when revoked, and still so without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.bootstrap import Bootstrap
from orchestrator.store.tokens import TokenStore
from schemas.access import Role, check_form, hash_of, token_of
from schemas.events import TokenCreated
from shared.access.known import KnownTokens
from shared.access.store import KnownTokenStore
from shared.access.sync import Asking, TokenSync
from shared.audit import Refusals
from shared.bus import Bus
from shared.errors import ConfigError, Unavailable
from shared.ids import new_id
from shared.outbox import Outbox
from shared.postgres import Database
from shared.telemetry import Metrics
from shared.web.guard import has_expired
from tests.integration.orchestrator.conftest import DEADLINE, House

ADMIN, READER = token_of(b"a" * 32), token_of(b"r" * 32)
ADMIN_ID, READER_ID = new_id(), new_id()
MADE = [
    {"id": ADMIN_ID, "name": "first admin", "role": "admin", "sha256": hash_of(ADMIN).hex()},
    {"id": READER_ID, "name": "prometheus", "role": "viewer", "sha256": hash_of(READER).hex()},
]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def own_settings(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "tokens.json"
    file.write_bytes(orjson.dumps(MADE))
    return {"auth": "on", "bootstrap_tokens": file}


class Noting(TokenSync):
    """Tells when an event has been heard, and is in memory and in the table."""

    heard: asyncio.Event

    async def _hear(self, subject: str, payload: bytes, reply: str) -> None:
        await super()._hear(subject, payload, reply)
        self.heard.set()


class Other:
    """Another service's process, as far as tokens are concerned."""

    def __init__(self, house: House, migrated_database_url: str) -> None:
        self.bus = Bus(house.settings.nats_url, name="scheduler", namespace=house.settings.namespace, start_deadline=10)
        self.database = Database(migrated_database_url, schema="scheduler", name="other", min_size=1, max_size=2)
        self.store = KnownTokenStore(self.database)
        self.again()

    def again(self) -> None:
        """A new process, which knows nothing yet."""
        self.known = KnownTokens()
        self.metrics = Metrics()
        source = Asking(self.bus, self.store)
        self.sync = Noting(self.bus, self.known, self.store, source, copies=True, metrics=self.metrics)
        self.sync.heard = asyncio.Event()

    async def until(self, token: str, there: bool) -> None:
        """Wait until an event has made the token known, or unknown."""
        async with asyncio.timeout(DEADLINE):
            while (self.known.find(token) is not None) != there:
                await self.sync.heard.wait()
                self.sync.heard.clear()

    async def stored(self) -> set[str]:
        return {one.token_id for one in await self.store.all()}


@pytest.fixture
async def other(house: House, migrated_database_url: str) -> AsyncIterator[Other]:
    one = Other(house, migrated_database_url)
    await one.bus.start()
    await one.database.start()
    await one.sync.start()
    yield one
    await one.sync.stop()
    await one.database.stop()
    await one.bus.stop()


async def create(house: House, **fields: object) -> Any:
    body = {"name": "ci", "role": "submitter"} | fields
    return await house.post("/api/v1/tokens", body, headers=bearer(ADMIN))


async def test_the_first_tokens_come_from_the_set_up(house: House) -> None:
    who = await house.get("/api/v1/whoami", headers=bearer(ADMIN))
    assert who == {"access": "on", "id": ADMIN_ID, "name": "first admin", "role": "admin", "expires_at": None}
    await house.get("/api/v1/jobs", headers=bearer(READER))
    await house.call("GET", "/api/v1/tokens", status=403, headers=bearer(READER))
    await house.call("GET", "/api/v1/whoami", status=401)


async def test_a_known_token_of_the_set_up_is_left_as_it_is(house: House, tmp_path: Path) -> None:
    await house.call("DELETE", f"/api/v1/tokens/{READER_ID}", status=204, headers=bearer(ADMIN))
    outbox = house.part(Outbox)
    again = Bootstrap(tmp_path / "tokens.json", TokenStore(outbox.database), house.part(TokenSync), outbox)
    await again.start()
    await house.call("GET", "/metrics", status=401, headers=bearer(READER))
    found = await house.get(f"/api/v1/tokens/{READER_ID}", headers=bearer(ADMIN))
    assert found["revoked_at"] is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hodei_secret", "the file: "),
        (b'[{"id": "1", "name": "a", "role": "admin", "sha256": "hodei_secret"}]', "0.id: should be a UUID"),
        (
            b'[{"id": "0192f0c1-2345-7abc-8def-0123456789ab", "name": "a", "role": "admin", "sha256": "hodei_secret"}]',
            "0.sha256: should be a SHA-256 in hex",
        ),
        (None, "cannot be read: No such file or directory"),
    ],
)
async def test_a_bad_file_is_one_line_without_its_content(
    house: House, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_bytes(content)
    outbox = house.part(Outbox)
    with pytest.raises(ConfigError) as caught:
        await Bootstrap(path, TokenStore(outbox.database), house.part(TokenSync), outbox).start()
    assert str(caught.value).startswith(f"HODEI_BOOTSTRAP_TOKENS: {path}")
    assert says in str(caught.value)
    assert "hodei_secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_token_is_shown_once_and_works(house: House) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    made = await create(house, expires_at=expires.isoformat())
    token = made["token"]
    assert check_form(token)
    assert made["created_by"] == {"id": ADMIN_ID, "name": "first admin"}
    assert (await house.get("/api/v1/whoami", headers=bearer(token)))["role"] == "submitter"
    assert await house.get("/api/v1/jobs", headers=bearer(token)) == []
    await house.call("POST", "/api/v1/jobs", {"command": "true"}, status=201, headers=bearer(token))
    await house.call("POST", "/api/v1/tokens", {"name": "x", "role": "admin"}, status=403, headers=bearer(token))
    shown = await house.get(f"/api/v1/tokens/{made['id']}", headers=bearer(ADMIN))
    assert shown == {name: value for name, value in made.items() if name != "token"} | {"last_used_at": None}
    row = await house.database.fetch_one("select t::text as row from tokens t where id = $1::uuid", made["id"])
    assert row is not None
    assert token[6:] not in row["row"]


async def test_no_event_carries_the_text_of_a_token(house: House) -> None:
    await house.bus.subscribe(house.bus.catalogue.event("tokens.*"), house.ears._hear)
    await house.bus.flush()
    made = await create(house)
    [created] = await house.ears.wait(TokenCreated)
    assert created.sha256 == hash_of(made["token"]).hex()
    assert made["token"][6:] not in created.model_dump_json()


async def test_a_replay_does_not_show_the_text_again(house: House) -> None:
    headers = bearer(ADMIN) | {"Idempotency-Key": "one"}
    body = {"name": "ci", "role": "viewer"}
    first = await house.post("/api/v1/tokens", body, headers=headers)
    again = await house.post("/api/v1/tokens", body, headers=headers)
    assert first["token"] is not None
    assert again == first | {"token": None}
    kept = await house.database.fetch("select k::text as row, packed_body from idempotency_keys k")
    assert len(kept) == 1
    assert first["token"].encode() not in kept[0]["row"].encode() + (kept[0]["packed_body"] or b"")
    listed = await house.get("/api/v1/tokens?name=ci", headers=bearer(ADMIN))
    assert [one["id"] for one in listed] == [first["id"]]


async def test_each_token_has_idempotency_keys_of_its_own(house: House) -> None:
    ana, bob = [(await create(house, name=name))["token"] for name in ("ana", "bob")]

    async def submit(token: str, command: str, status: int = 201) -> Any:
        headers = bearer(token) | {"Idempotency-Key": "nightly"}
        return await house.call("POST", "/api/v1/jobs", {"command": command}, status=status, headers=headers)

    first, other = await submit(ana, "true"), await submit(bob, "true")
    assert (first["created_by"]["name"], other["created_by"]["name"]) == ("ana", "bob")
    assert (await submit(ana, "true"))["id"] == first["id"]
    await submit(ana, "false", status=422)


async def test_a_token_in_the_past_is_refused(house: House) -> None:
    body = {"name": "ci", "role": "viewer", "expires_at": "2026-01-01T00:00:00Z"}
    problem = await house.call("POST", "/api/v1/tokens", body, status=422, headers=bearer(ADMIN))
    assert problem["errors"][0]["loc"] == ["body", "expires_at"]


@pytest.mark.parametrize("change", [str.lower, str.upper])
async def test_a_token_is_not_named_like_an_id(house: House, change: Callable[[str], str]) -> None:
    """Its jobs would not be found by that name."""
    body = {"name": change(new_id()), "role": "viewer"}
    problem = await house.call("POST", "/api/v1/tokens", body, status=422, headers=bearer(ADMIN))
    [error] = problem["errors"]
    assert error["loc"] == ["body", "name"]
    assert "must not be a UUID" in error["msg"]


async def test_tokens_are_listed_by_state_and_page(house: House) -> None:
    made = [await create(house, name=f"t{number}") for number in range(3)]
    await house.call("DELETE", f"/api/v1/tokens/{made[0]['id']}", status=204, headers=bearer(ADMIN))
    await house.database.execute(
        "update tokens set expires_at = now() - interval '1 second' where id = $1::uuid", made[1]["id"]
    )

    async def listed(query: str) -> list[str]:
        return [one["id"] for one in await house.get(f"/api/v1/tokens?{query}", headers=bearer(ADMIN))]

    assert await listed("state=revoked") == [made[0]["id"]]
    assert await listed("state=expired") == [made[1]["id"]]
    assert await listed("state=active&role=submitter") == [made[2]["id"]]
    assert await listed("limit=2") == [made[2]["id"], made[1]["id"]]
    assert set(await listed("")) == {one["id"] for one in made} | {ADMIN_ID, READER_ID}


async def test_a_revoked_token_stays_revoked_and_others_go_on(house: House) -> None:
    one, two = await create(house), await create(house)
    for _ in range(2):
        await house.call("DELETE", f"/api/v1/tokens/{one['id']}", status=204, headers=bearer(ADMIN))
    await house.call("GET", "/api/v1/jobs", status=401, headers=bearer(one["token"]))
    await house.call("GET", "/api/v1/jobs", headers=bearer(two["token"]))
    await house.call("DELETE", f"/api/v1/tokens/{new_id()}", status=404, headers=bearer(ADMIN))


async def test_the_last_admin_is_not_locked_out(house: House) -> None:
    problem = await house.call("DELETE", f"/api/v1/tokens/{ADMIN_ID}", status=409, headers=bearer(ADMIN))
    assert "last token of an admin" in problem["detail"]
    second = await create(house, role="admin")
    await house.call("DELETE", f"/api/v1/tokens/{ADMIN_ID}", status=204, headers=bearer(second["token"]))
    await house.call("GET", "/api/v1/tokens", status=401, headers=bearer(ADMIN))


async def test_an_admin_that_expires_does_not_replace_one_that_lasts(house: House) -> None:
    soon = await create(house, role="admin", expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    problem = await house.call("DELETE", f"/api/v1/tokens/{ADMIN_ID}", status=409, headers=bearer(soon["token"]))
    assert "all other tokens of admins expire" in problem["detail"]
    assert "without an expiry" in problem["detail"]
    await house.get("/api/v1/tokens", headers=bearer(ADMIN))
    lasting = await create(house, role="admin")
    await house.call("DELETE", f"/api/v1/tokens/{ADMIN_ID}", status=204, headers=bearer(lasting["token"]))
    await house.call("DELETE", f"/api/v1/tokens/{soon['id']}", status=204, headers=bearer(lasting["token"]))


async def test_an_expired_admin_can_be_revoked(house: House) -> None:
    soon = await create(house, role="admin")
    await house.database.execute(
        "update tokens set expires_at = now() - interval '1 s' where id = $1::uuid", soon["id"]
    )
    await house.call("DELETE", f"/api/v1/tokens/{soon['id']}", status=204, headers=bearer(ADMIN))


async def test_another_service_knows_the_tokens_from_its_start(other: Other) -> None:
    found = other.known.find(ADMIN)
    assert found is not None
    assert (found.id, found.role) == (ADMIN_ID, Role.ADMIN)
    assert await other.stored() == {ADMIN_ID, READER_ID}


async def test_another_service_learns_of_a_new_and_of_a_revoked_token_at_once(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await house.call("DELETE", f"/api/v1/tokens/{made['id']}", status=204, headers=bearer(ADMIN))
    await other.until(made["token"], there=False)
    assert loop.time() - began < 1
    assert await other.stored() == {ADMIN_ID, READER_ID}


async def test_a_restart_without_the_orchestrator_keeps_what_was_known(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    await house.call("DELETE", f"/api/v1/tokens/{READER_ID}", status=204, headers=bearer(ADMIN))
    await other.until(READER, there=False)
    assert await other.stored() == {ADMIN_ID, made["id"]}
    await other.sync.stop()
    other.again()
    other.sync._source = Silent()
    await other.sync.start()
    assert other.known.find(made["token"]) is not None
    assert other.known.find(READER) is None


async def test_a_lost_event_is_repaired_by_the_whole_list(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    for subscription in other.sync._subscriptions:  # as while it is disconnected
        await subscription.unsubscribe()
    await house.call("DELETE", f"/api/v1/tokens/{made['id']}", status=204, headers=bearer(ADMIN))
    new = await create(house)
    assert other.known.find(made["token"]) is not None
    await other.sync.run_once()
    assert other.known.find(made["token"]) is None
    assert other.known.find(new["token"]) is not None
    assert await other.stored() == {ADMIN_ID, READER_ID, new["id"]}


async def test_an_old_list_brings_no_revoked_token_back(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    old = await other.store.all()
    await house.call("DELETE", f"/api/v1/tokens/{made['id']}", status=204, headers=bearer(ADMIN))
    await other.until(made["token"], there=False)
    other.sync._source = Remembering(old)
    await other.sync.run_once()
    assert other.known.find(made["token"]) is None
    assert made["id"] not in await other.stored()


async def test_no_replica_writes_a_revoked_token_back(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    old = await other.store.all()
    [token] = [one for one in old if one.token_id == made["id"]]
    await house.call("DELETE", f"/api/v1/tokens/{made['id']}", status=204, headers=bearer(ADMIN))
    await other.until(made["token"], there=False)
    await other.store.keep_only(old)  # a list that another replica read before
    await other.store.keep(token)  # an event that another replica was slow to write
    assert await other.stored() == {ADMIN_ID, READER_ID}
    await other.database.execute("update tokens set revoked_at = revoked_at - interval '2 hours'")
    await other.store.keep_only([one for one in old if one is not token])
    assert await other.database.fetch_value("select count(*) from tokens") == 2


async def test_a_revocation_that_is_written_before_its_token_wins(other: Other) -> None:
    token = TokenCreated(token_id=new_id(), name="ci", role=Role.ADMIN, sha256=hash_of(token_of(b"n" * 32)).hex())
    await other.store.forget(token.token_id, bytes.fromhex(token.sha256), token.name)
    await other.store.keep(token)
    assert token.token_id not in await other.stored()


async def test_the_use_of_a_token_is_shown_to_the_minute(house: House, other: Other) -> None:
    made = await create(house)
    await other.until(made["token"], there=True)
    before = datetime.now(UTC).replace(second=0, microsecond=0)
    other.known.find(made["token"])
    await other.sync.run_once()
    shown = await house.get(f"/api/v1/tokens/{made['id']}", headers=bearer(ADMIN))
    used = datetime.fromisoformat(shown["last_used_at"])
    assert before <= used <= datetime.now(UTC)
    assert (used.second, used.microsecond) == (0, 0)


async def test_the_age_of_the_list_is_shown(other: Other) -> None:
    moment = 100.0
    other.sync._clock = lambda: moment
    await other.sync.run_once()
    moment = 400.0
    assert other.metrics.value("hodei_access_tokens_age_seconds") == 300


async def test_a_list_longer_than_a_page_is_read_whole(house: House, other: Other) -> None:
    await house.database.execute(
        "insert into tokens (hash, id, name, role)"
        " select sha256(n::text::bytea), gen_random_uuid(), 'many', 'viewer' from generate_series(1, 2500) n"
    )
    await other.sync.run_once()
    assert len(other.known) == 2502
    assert len(await other.stored()) == 2502
    assert other.metrics.value("hodei_access_tokens") == 2502


async def test_a_token_that_expired_is_known_as_such_for_a_month(house: House, other: Other) -> None:
    made = await create(house)
    for days, known in ((29, True), (31, False)):
        await house.database.execute(
            "update tokens set expires_at = now() - $2::integer * interval '1 day' where id = $1::uuid",
            made["id"],
            days,
        )
        await other.sync.run_once()
        found = other.known.find(made["token"])
        assert (found is not None) is known
        assert found is None or has_expired(found, datetime.now(UTC))


async def test_expired_tokens_take_no_room_from_those_in_force(
    house: House, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.access.store.MOST_EXPIRED", 20)
    await house.database.execute(
        "insert into tokens (hash, id, name, role, expires_at)"
        " select sha256(n::text::bytea), md5(n::text)::uuid, 'job-' || n, 'viewer', now() - n * interval '1 minute'"
        " from generate_series(1, 41000) n"
    )
    made = await create(house)
    await other.sync.run_once()
    assert other.known.find(made["token"]) is not None
    assert len(other.known) == 3 + 20
    assert {one.name for one in await other.store.all() if one.expires_at} == {f"job-{n}" for n in range(1, 21)}


async def test_long_revoked_tokens_are_deleted(house: House) -> None:
    made = await create(house)
    await house.call("DELETE", f"/api/v1/tokens/{made['id']}", status=204, headers=bearer(ADMIN))
    store = TokenStore(house.database)
    assert await store.purge(10) == 0
    await house.database.execute(
        "update tokens set revoked_at = now() - interval '2 years' where id = $1::uuid", made["id"]
    )
    assert await store.purge(10) == 1
    assert await store.get(made["id"]) is None
    assert await store.get(ADMIN_ID) is not None


async def test_a_token_of_the_set_up_stays_revoked_for_ever(house: House, tmp_path: Path) -> None:
    await house.call("DELETE", f"/api/v1/tokens/{READER_ID}", status=204, headers=bearer(ADMIN))
    await house.database.execute(
        "update tokens set revoked_at = now() - interval '2 years' where id = $1::uuid", READER_ID
    )
    outbox = house.part(Outbox)
    store = TokenStore(outbox.database)
    assert await store.purge(10) == 0
    await Bootstrap(tmp_path / "tokens.json", store, house.part(TokenSync), outbox).start()
    await house.call("GET", "/metrics", status=401, headers=bearer(READER))


class Silent:
    """An orchestrator that does not answer."""

    async def read(self, used: object) -> Any:
        raise Unavailable("the orchestrator")


class Remembering:
    """An orchestrator whose answer was made a while ago."""

    def __init__(self, tokens: Any) -> None:
        self._tokens = tokens

    async def read(self, used: object) -> Any:
        return self._tokens


class TestWithAccessOff:
    @pytest.fixture
    def own_settings(self) -> dict[str, Any]:
        return {}

    async def test_no_token_is_needed_and_none_is_made(self, house: House) -> None:
        nobody = {"access": "off", "id": None, "name": None, "role": None, "expires_at": None}
        assert await house.get("/api/v1/whoami") == nobody
        problem = await house.call("POST", "/api/v1/tokens", {"name": "x", "role": "admin"}, status=409)
        assert "access is off" in problem["detail"]
        assert await house.get("/api/v1/tokens") == []


async def test_what_is_refused_within_a_request_is_in_the_audit_log(house: House) -> None:
    ben, cleo = [await create(house, name=name) for name in ("ben", "cleo")]
    mine, *others = [
        (await house.post("/api/v1/jobs", {"command": "true"}, headers=bearer(who["token"])))["id"]
        for who in (ben, cleo, cleo)
    ]
    await house.post("/api/v1/jobs/cancel", {"ids": [mine, *others]}, headers=bearer(ben["token"]), status=200)
    await house.part(Refusals).run_once()

    found = {}
    for id in (mine, *others):
        found[id] = await house.get(f"/api/v1/audit?entity_id={id}&by=ben", headers=bearer(ADMIN))
    assert {one["outcome"] for one in found[mine]} == {"changed"}
    for id in others:
        [entry] = found[id]
        assert (entry["outcome"], entry["route"], entry["by"]["id"]) == ("forbidden", "/api/v1/jobs/cancel", ben["id"])
        assert sorted(entry["entity_ids"]) == sorted(others)
