"""Join tokens, enrolments and read-only credentials over REST."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import permissions
from schemas.access import Actor
from schemas.enrolment import JoinTokenText, Refusal, Renew
from schemas.events import WorkerEnrolled, WorkerOffline, WorkerRevoked
from schemas.model import rfc3339
from schemas.subjects import Catalogue
from shared.clock import now
from shared.errors import ConfigError
from shared.ids import new_id
from shared.keys import ISSUER, JOIN, NATS, Credentials, KeyPair, Kind, bounds_in, expiry, make, service_credentials
from shared.keys.claims import permissions_in
from shared.keys.joining import Joiners
from tests.fixtures.guarded import claim
from tests.integration.worker_manager.conftest import DEADLINE, Platform, Running, Start, events_in, stub
from worker_manager.bootstrap import FirstJoinTokens, read
from worker_manager.registrar import Registrar

ANA = Actor(id="01a22592-5daa-71c2-9b8b-aa9dd6aa970b", name="ana")


@pytest.fixture
async def issuing(start: Start, tmp_path: Path, namespace: str) -> Running:
    """A worker manager that has the keys."""
    make(tmp_path / "keys", namespace=namespace)
    return await start(agent=stub("normal"), issuer=tmp_path / "keys" / ISSUER)


def enrolments(manager: Running) -> Any:
    return manager.part(Registrar)._enrolments


async def test_a_join_token_is_shown_once(issuing: Running, namespace: str) -> None:
    wanted = {"name": "rack 7", "max_uses": 2, "type": "gpu", "labels": {"zone": "north"}}
    headers = {"Idempotency-Key": "one"}

    made = await issuing.call("POST", "/join-tokens", expect=201, json=wanted, headers=headers)
    again = await issuing.call("POST", "/join-tokens", expect=201, json=wanted, headers=headers)

    assert again == {**made, "token": None}
    text = JoinTokenText.parse(made.pop("token"))
    assert text.id == made["id"]
    assert permissions_in(text.jwt) == permissions.enrolment(Catalogue(namespace), made["id"])
    assert {**made, **wanted, "uses": 0, "revoked_at": None} == made
    assert await issuing.call("GET", f"/join-tokens/{made['id']}") == made
    assert await issuing.call("GET", "/join-tokens?state=active&name=rack%207") == [made]
    assert await issuing.call("GET", "/join-tokens?state=used") == []


async def test_a_time_that_is_over_is_refused(issuing: Running) -> None:
    past = {"name": "x", "expires_at": rfc3339(now() - timedelta(seconds=1))}
    for path in ("/join-tokens", "/credentials"):
        problem = await issuing.call("POST", path, expect=422, json=past)
        assert problem["errors"][0]["loc"] == ["body", "expires_at"]


async def test_a_worker_enrols_renews_and_is_revoked(issuing: Running, platform: Platform) -> None:
    enrolled, revoked = await platform.listen_to(WorkerEnrolled), await platform.listen_to(WorkerRevoked)
    labels = {"zone": "north", "disk": "ssd"}
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "labels": labels})
    worker = claim(token["id"], type="gpu", labels={"zone": "north"})

    first = await enrolments(issuing).enrol(token["id"], worker)
    lost = await enrolments(issuing).enrol(token["id"], worker)

    [event] = events_in(await enrolled.next(), WorkerEnrolled)
    assert (event.worker_id, event.join_token_id, event.type) == (worker.worker_id, token["id"], "gpu")
    for grant in (first, lost):
        assert permissions_in(grant.jwt) == permissions.agent(platform.bus.catalogue, worker.worker_id)
        assert permissions_in(grant.renewal_jwt) == permissions.renewal(platform.bus.catalogue, worker.worker_id)
    assert (await issuing.call("GET", f"/join-tokens/{token['id']}"))["uses"] == 1
    [shown] = await issuing.call("GET", f"/enrolments?join_token_id={token['id']}&state=active")
    assert (shown["id"], shown["join_token_id"]) == (worker.worker_id, token["id"])

    other = claim(token["id"], worker_id=worker.worker_id)
    renewed = await enrolments(issuing).renew(worker.worker_id, Renew(user_key=worker.user_key))
    account = enrolments(issuing).issuer.account
    for jwt in (first.jwt, renewed.jwt):
        assert bounds_in(jwt, account=account, worker_id=worker.worker_id).labels == labels
    assert (await enrolments(issuing).renew(worker.worker_id, Renew(user_key=other.user_key))).refusal
    assert (await enrolments(issuing).enrol(token["id"], other)).refusal is Refusal.OTHER_WORKER
    assert (await enrolments(issuing).enrol(token["id"], claim(token["id"]))).refusal is Refusal.USED_UP

    gone = await issuing.call("POST", f"/workers/{worker.worker_id}/revoke")
    assert gone["revoked_at"]
    assert await issuing.call("POST", f"/workers/{worker.worker_id}/revoke") == gone
    [event] = events_in(await revoked.next(), WorkerRevoked)
    assert event.worker_id == worker.worker_id
    assert (await enrolments(issuing).renew(worker.worker_id, Renew(user_key=worker.user_key))).refusal
    assert (await enrolments(issuing).enrol(token["id"], worker)).refusal is Refusal.REVOKED_WORKER
    kept = await platform.database.fetch_one("select * from revocations where user_key = $1", worker.user_key)
    until = kept["until"] - now()
    assert timedelta(hours=23) < until < timedelta(hours=25), "the list is one message, and must not grow for a month"
    metrics = await issuing.metrics()
    assert 'hodei_enrolments_total{kind="first"} 2.0' in metrics
    assert 'hodei_enrolments_refused_total{reason="used_up"} 1.0' in metrics


async def test_a_key_that_is_not_one_is_refused(issuing: Running) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x"})
    damaged = claim(token["id"], user_key="U" + "A" * 55)
    assert (await enrolments(issuing).enrol(token["id"], damaged)).refusal is Refusal.UNREADABLE


async def test_a_key_that_the_worker_does_not_own_is_refused(issuing: Running) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "max_uses": 9})
    other = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "y"})
    victim = claim(token["id"])
    assert (await enrolments(issuing).enrol(token["id"], victim)).jwt

    stolen = (
        claim(token["id"], user_key=victim.user_key),  # signed with another key
        victim.model_copy(update={"worker_id": new_id()}),  # a signature for another worker
        claim(other["id"]),  # a signature for another join token
    )
    for one in stolen:
        assert (await enrolments(issuing).enrol(token["id"], one)).refusal is Refusal.UNPROVEN_KEY

    [shown] = await issuing.call("GET", "/enrolments")
    assert shown["id"] == victim.worker_id
    assert (await issuing.call("GET", f"/join-tokens/{token['id']}"))["uses"] == 1


async def test_a_key_that_has_a_holder_enrols_no_other_worker(issuing: Running, tmp_path: Path) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "max_uses": 9})
    feed = Credentials.parse(
        (await issuing.call("POST", "/credentials", expect=201, json={"name": "x"}))["credentials"]
    )
    service = Credentials.read(tmp_path / "keys" / NATS / service_credentials("orchestrator"))
    worker = KeyPair.new(Kind.USER)
    assert (await enrolments(issuing).enrol(token["id"], claim(token["id"], pair=worker))).jwt

    for seed in (JoinTokenText.parse(token["token"]).seed, feed.seed, service.seed, worker.seed):
        taken = claim(token["id"], pair=KeyPair.of(seed, Kind.USER))
        assert (await enrolments(issuing).enrol(token["id"], taken)).refusal is Refusal.TAKEN_KEY

    assert (await issuing.call("GET", f"/join-tokens/{token['id']}"))["uses"] == 1


async def test_workers_that_enrol_with_one_key_at_the_same_time_are_one(issuing: Running) -> None:
    pair = KeyPair.new(Kind.USER)
    tokens = [await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x"}) for _ in range(4)]

    grants = await asyncio.gather(
        *(enrolments(issuing).enrol(one["id"], claim(one["id"], pair=pair)) for one in tokens)
    )

    assert sorted(grant.refusal or "" for grant in grants) == ["", *[Refusal.TAKEN_KEY] * 3]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_revoked_key_enrols_no_worker_under_another_id(
    issuing: Running, platform: Platform, forgotten: bool
) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "max_uses": 9})
    pair = KeyPair.new(Kind.USER)
    worker = claim(token["id"], pair=pair)
    assert (await enrolments(issuing).enrol(token["id"], worker)).jwt
    await issuing.call("POST", f"/workers/{worker.worker_id}/revoke")
    if forgotten:  # NATS needs the revocation no more, since all that was signed for the key has expired
        await platform.database.execute("update revocations set until = now()")

    grant = await enrolments(issuing).enrol(token["id"], claim(token["id"], pair=pair))

    assert grant.refusal is Refusal.REVOKED_WORKER
    assert (await issuing.call("GET", f"/join-tokens/{token['id']}"))["uses"] == 1


async def test_a_revoked_join_token_enrols_no_worker(issuing: Running, platform: Platform) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x"})
    await issuing.call("DELETE", f"/join-tokens/{token['id']}", expect=204)
    await issuing.call("DELETE", f"/join-tokens/{token['id']}", expect=204)

    assert (await enrolments(issuing).enrol(token["id"], claim(token["id"]))).refusal is Refusal.REVOKED_TOKEN
    unknown = new_id()
    assert (await enrolments(issuing).enrol(unknown, claim(unknown))).refusal is Refusal.UNKNOWN_TOKEN
    assert [one["id"] for one in await issuing.call("GET", "/join-tokens?state=revoked")] == [token["id"]]
    assert await platform.database.fetch_value("select count(*) from revocations") == 1


async def test_read_only_credentials_hear_what_they_were_made_for(issuing: Running, namespace: str) -> None:
    wanted = {"name": "board", "subjects": [f"{namespace}.feed.jobs.*.failed"]}
    made = await issuing.call("POST", "/credentials", expect=201, json=wanted, headers={"Idempotency-Key": "one"})
    again = await issuing.call("POST", "/credentials", expect=201, json=wanted, headers={"Idempotency-Key": "one"})

    credentials = Credentials.parse(made.pop("credentials"))
    assert permissions_in(credentials.jwt) == permissions.Permissions((), tuple(wanted["subjects"]))
    assert again == {**made, "credentials": None}
    assert await issuing.call("GET", f"/credentials/{made['id']}") == made
    assert await issuing.call("GET", "/credentials?state=active") == [made]
    whole = await issuing.call("POST", "/credentials", expect=201, json={"name": "all"})
    assert whole["subjects"] == [f"{namespace}.feed.>"]

    await issuing.call("DELETE", f"/credentials/{made['id']}", expect=204)
    assert (await issuing.call("GET", f"/credentials/{made['id']}"))["revoked_at"]


async def test_credentials_for_what_is_not_for_readers_are_refused(issuing: Running, namespace: str) -> None:
    for subject in (">", f"{namespace}.agents.>", f"{namespace}.ask.>", "$SYS.>"):
        problem = await issuing.call("POST", "/credentials", expect=422, json={"name": "x", "subjects": [subject]})
        assert problem["errors"][0]["loc"][:2] == ["body", "subjects"]


async def test_without_keys_the_routes_say_why(manager: Running) -> None:
    for path, body in (
        ("/join-tokens", {"name": "x"}),
        ("/credentials", {"name": "x"}),
        (f"/workers/{new_id()}/revoke", None),
    ):
        problem = await manager.call("POST", path, expect=409, json=body)
        assert "HODEI_ISSUER_DIR is not set" in problem["detail"]
    for path in ("/join-tokens", "/credentials", "/enrolments"):
        assert await manager.call("GET", path) == []


async def test_a_worker_that_was_not_enrolled_cannot_be_revoked(issuing: Running) -> None:
    await issuing.call("POST", f"/workers/{new_id()}/revoke", expect=404)


async def test_own_workers_get_credentials_that_end_with_them(issuing: Running, tmp_path: Path) -> None:
    worker = await issuing.call("POST", "/workers", json={})

    folder = tmp_path / "workers" / worker["id"] / "state" / "keys"
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "nats.creds": 0o600,
        "renewal.creds": 0o600,
    }
    [shown] = await issuing.call("GET", "/enrolments?state=active")
    assert (shown["id"], shown["join_token_id"]) == (worker["id"], None)
    seed = Credentials.read(folder / "nats.creds").seed
    assert seed.encode() not in await asyncio.to_thread(Path(f"/proc/{worker['pid']}/environ").read_bytes)

    held = Credentials.read(folder / "nats.creds")
    renewed = await enrolments(issuing).renew(worker["id"], Renew(user_key=held.public))
    for lasts, jwt in ((timedelta(days=1), renewed.jwt), (timedelta(days=7), renewed.renewal_jwt)):
        left = timedelta(seconds=(expiry(jwt) or 0) - now().timestamp())
        assert lasts - timedelta(minutes=5) < left <= lasts

    await issuing.call("DELETE", f"/workers/{worker['id']}?force=true")
    await issuing.fleet.until_over(worker["id"])
    assert [one["id"] for one in await issuing.call("GET", "/enrolments?state=revoked")] == [worker["id"]]


async def test_a_worker_that_was_removed_over_rest_is_revoked(issuing: Running, platform: Platform) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "max_uses": 2})
    removed, silent = claim(token["id"]), claim(token["id"])
    for one in (removed, silent):
        assert (await enrolments(issuing).enrol(token["id"], one)).jwt
    revoked = await platform.listen_to(WorkerRevoked)

    await platform.say(
        WorkerOffline(worker_id=silent.worker_id, detail="lost"),
        WorkerOffline(worker_id=removed.worker_id, detail="removed", removed=True, removed_by=ANA),
    )

    [event] = events_in(await revoked.next(), WorkerRevoked)
    assert (event.worker_id, event.revoked_by) == (removed.worker_id, ANA)
    assert [one["id"] for one in await issuing.call("GET", "/enrolments?state=active")] == [silent.worker_id]


async def test_the_first_join_token_is_taken_once_and_a_worker_enrols_with_it(
    start: Start, tmp_path: Path, namespace: str
) -> None:
    make(tmp_path / "keys", namespace=namespace)
    issuer, first = tmp_path / "keys" / ISSUER, tmp_path / "keys" / JOIN / "join-tokens.json"
    text = JoinTokenText.parse((tmp_path / "keys" / JOIN / "join-token").read_text())

    for uses in (0, 1):  # the second one takes what is there already
        manager = await start(agent=stub("normal"), folder=tmp_path / str(uses), issuer=issuer, first_join_tokens=first)
        [listed] = await manager.call("GET", "/join-tokens")
        assert (listed["id"], listed["name"], listed["max_uses"], listed["uses"]) == (text.id, "compose", 500, uses)
        grant = await enrolments(manager).enrol(text.id, claim(text.id))
        assert grant.refusal is None


async def test_a_first_join_token_that_is_replaced_is_taken_while_the_service_runs(
    start: Start, tmp_path: Path, namespace: str
) -> None:
    keys = tmp_path / "keys"
    first = keys / JOIN / "join-tokens.json"
    make(keys, namespace=namespace)
    manager = await start(agent=stub("normal"), folder=tmp_path / "data", issuer=keys / ISSUER, first_join_tokens=first)

    make(keys, namespace=namespace, joiners=Joiners("gpu", {"zone": "north"}))
    tokens = manager.part(FirstJoinTokens)
    tokens.wake()
    async with asyncio.timeout(DEADLINE):
        while not (await tokens.next_run())["taken"]:
            pass

    text = JoinTokenText.parse((keys / JOIN / "join-token").read_text())
    listed = await manager.call("GET", f"/join-tokens/{text.id}")
    assert (listed["type"], listed["labels"]) == ("gpu", {"zone": "north"})
    refused = await enrolments(manager).enrol(text.id, claim(text.id))
    assert refused.refusal is Refusal.OTHER_TYPE


def test_a_file_of_join_tokens_that_is_not_one_is_one_line(tmp_path: Path) -> None:
    for content, why in (("[{}]", "0.id"), ("secret", "the file")):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(ConfigError, match=f"HODEI_BOOTSTRAP_JOIN_TOKENS: .*x.json: {why}") as caught:
            read(tmp_path / "x.json")
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read(tmp_path / "none.json")


async def command(manager: Running, *arguments: str, expect: int = 0) -> tuple[str, str]:
    """Run `hodei` against this worker manager. Returns what it prints on standard output and on standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments,
        env=os.environ | {"HODEI_WORKER_MANAGER_URL": manager.url, "COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, told = [text.decode() for text in await process.communicate()]
    assert process.returncode == expect, out + told
    return out, told


async def test_the_command_line_hands_a_join_token_on_and_revokes(issuing: Running, tmp_path: Path) -> None:
    out, told = await command(issuing, "workers", "join-token", "rack 7", "--uses", "2", "--label", "zone=north")
    join = JoinTokenText.parse(out)
    assert "rack 7: 2 workers until" in told
    assert (await issuing.call("GET", f"/join-tokens/{join.id}"))["labels"] == {"zone": "north"}
    file = tmp_path / "join"
    out, _ = await command(issuing, "workers", "join-token", "--out", str(file), "--json")
    assert "token" not in json.loads(out)
    assert file.stat().st_mode & 0o777 == 0o600
    assert JoinTokenText.parse(file.read_text()).id == json.loads(out)["id"]
    _, told = await command(issuing, "workers", "join-token", "--out", str(file), expect=2)
    assert "'--out'" in told

    worker = claim(join.id, labels={"zone": "north"})
    assert (await enrolments(issuing).enrol(join.id, worker)).jwt
    out, _ = await command(issuing, "workers", "join-tokens")
    assert "1/2" in out
    out, told = await command(issuing, "workers", "revoke", worker.worker_id[-8:])
    assert out == f"{worker.worker_id} revoked\n"
    assert f"the join token {join.id} (rack 7), which is still valid" in told
    await command(issuing, "workers", "revoke-join-token", join.id)
    out, _ = await command(issuing, "workers", "join-tokens", "--state", "revoked", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [join.id]


async def test_the_command_line_makes_read_only_credentials(issuing: Running, namespace: str, tmp_path: Path) -> None:
    subject = f"{namespace}.feed.jobs.*.failed"
    out, _ = await command(issuing, "credentials", "feed", "--subjects", subject)
    assert permissions_in(Credentials.parse(out).jwt).subscribe == (subject,)
    file = tmp_path / "feed.creds"
    await command(issuing, "credentials", "feed", "--name", "board", "--out", str(file))
    made = Credentials.read(file)
    assert permissions_in(made.jwt).subscribe == (f"{namespace}.feed.>",)
    await command(issuing, "credentials", "revoke", made.name[-8:])
    out, _ = await command(issuing, "credentials", "list")
    assert [line.split()[1:3] for line in out.splitlines()[1:]] == [["revoked", "board"], ["active", "feed"]]
    _, told = await command(issuing, "credentials", "feed", "--subjects", ">", expect=1)
    assert "should begin with" in told


async def test_without_keys_the_command_line_says_why(manager: Running, tmp_path: Path) -> None:
    file = tmp_path / "join"
    _, told = await command(manager, "workers", "join-token", "--out", str(file), expect=1)
    assert "HODEI_ISSUER_DIR is not set" in told
    assert not file.exists()


async def test_what_a_token_made_is_found(issuing: Running, platform: Platform) -> None:
    made = {}
    for path, table in (("/join-tokens", "join_tokens"), ("/credentials", "credentials")):
        first, second = [await issuing.call("POST", path, expect=201, json={"name": name}) for name in ("a", "b")]
        for one, actor in ((first, ANA), (second, Actor(id=new_id(), name="ben"))):
            change = f"update {table} set created_by = $2 where id = $1"
            await platform.database.execute(change, one["id"], actor.model_dump())
        made[path] = first["id"]
    for path, id in made.items():
        for who in (ANA.id, ANA.name):
            assert [one["id"] for one in await issuing.call("GET", f"{path}?created_by={who}")] == [id]
    out, _ = await command(issuing, "workers", "join-tokens", "--created-by", "ana", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [made["/join-tokens"]]
    out, _ = await command(issuing, "credentials", "list", "--created-by", "ana", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [made["/credentials"]]


async def test_what_nothing_needs_any_more_is_deleted(issuing: Running, platform: Platform) -> None:
    token = await issuing.call("POST", "/join-tokens", expect=201, json={"name": "x", "max_uses": 4})
    workers = [claim(token["id"]) for _ in range(4)]
    for one in workers:
        assert (await enrolments(issuing).enrol(token["id"], one)).jwt
    active, silent, revoked, long_revoked = (one.worker_id for one in workers)
    for worker_id in (revoked, long_revoked):
        await issuing.call("POST", f"/workers/{worker_id}/revoke")
    past = "update enrolments set renewable_until = now() - interval '1 second', revoked_at = revoked_at - $2::interval"
    for worker_id, ago in ((silent, timedelta()), (revoked, timedelta()), (long_revoked, timedelta(days=367))):
        await platform.database.execute(f"{past} where worker_id = $1", worker_id, ago)
    await platform.database.execute(
        "update revocations set until = now() - interval '2 hours' where user_key = $1", workers[3].user_key
    )

    await enrolments(issuing)._store.purge()

    assert {one["id"] for one in await issuing.call("GET", "/enrolments")} == {active, revoked}
    kept = await platform.database.fetch("select user_key from revocations")
    assert [row["user_key"] for row in kept] == [workers[2].user_key]
