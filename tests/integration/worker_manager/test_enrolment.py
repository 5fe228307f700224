"""Workers that enrol, renew and are revoked, on a NATS that asks for credentials."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import permissions
from schemas.agents import Heartbeat
from schemas.enrolment import JoinTokenText, Renew
from shared.bus import Bus, Errand, NotAdmitted, run_errand
from shared.clock import now
from shared.errors import BusUnavailable, MessageTooLarge
from shared.ids import new_id
from shared.keys import Credentials, KeyPair, Kind, bounds_in
from shared.worker_keys import credentials_in, keep_keys, renewal_in
from tests.fixtures.guarded import GuardedNats, claim, guarded_nats
from tests.integration.worker_manager.conftest import DEADLINE, Running, Start, stub
from worker_manager.agent.identity import Identity
from worker_manager.agent.keyring import Keyring, Refused
from worker_manager.heartbeat_listener import HeartbeatListener
from worker_manager.registrar import Registrar
from worker_manager.revocations import Revocations


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GuardedNats]:
    """A server of the test's own, to be stopped and started."""
    with guarded_nats(tmp_path / "own") as server:
        yield server


@pytest.fixture
async def manager(start: Start, guarded_nats: GuardedNats) -> Running:
    return await start(agent=stub("normal"), guarded=guarded_nats)


def enrolments(manager: Running) -> Any:
    return manager.part(Registrar)._enrolments


async def join_token(manager: Running, folder: Path, **wanted: object) -> Path:
    """The file of a new join token."""
    made = await manager.call("POST", "/join-tokens", expect=201, json={"name": "test", **wanted})
    file = folder / f"join-{made['id']}"
    file.write_text(made["token"] + "\n")
    return file


@dataclass
class Worker:
    """A worker's keyring and its connection, inside the test."""

    keyring: Keyring
    bus: Bus
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def worker(
    nats: GuardedNats, state: Path, *, join: Path | None = None, worker_id: str | None = None, **identity: Any
) -> AsyncIterator[Worker]:
    name = Identity(worker_id or new_id(), "w", identity.pop("type", "default"), **identity)
    left = asyncio.Event()
    keyring = Keyring(
        state, name, nats.catalogue, url=nats.url, join=join, start_deadline=DEADLINE, leave=left.set, cut_off=0.2
    )
    bus = Bus(
        nats.url,
        name="agent",
        namespace=nats.catalogue.namespace,
        credentials=keyring.file,
        inbox=("agents", name.worker_id),
        declares=False,
    )
    keyring.serve(bus)
    await keyring.start()
    try:
        await bus.start()
        try:
            yield Worker(keyring, bus, left)
        finally:
            await bus.stop()
    finally:
        await keyring.stop()


async def until(condition: Callable[[], bool], bus: Bus) -> None:
    """Wait until a change of the connection makes it true."""
    changed = asyncio.Event()
    forget = bus.on_change(lambda _: changed.set())
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                changed.clear()
                await changed.wait()
    finally:
        forget()


async def test_a_worker_enrols_and_speaks_only_as_itself(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    join = await join_token(manager, tmp_path)
    worker_id, catalogue = new_id(), guarded_nats.catalogue
    async with worker(guarded_nats, tmp_path / "state", join=join, worker_id=worker_id) as one:
        assert one.bus.connected
        held = Credentials.read(credentials_in(tmp_path / "state"))
        await one.bus.send(catalogue.agent(worker_id, "heartbeat"), b"{}")
        with pytest.raises(Exception, match="may not publish"):
            await one.bus.request(catalogue.agent(new_id(), "heartbeat"), b"{}", timeout=5)
    for file in (tmp_path / "state" / "keys").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    # The join token is used up, and not needed any more.
    async with worker(guarded_nats, tmp_path / "state", worker_id=worker_id):
        assert Credentials.read(credentials_in(tmp_path / "state")) == held


async def test_a_token_that_is_used_up_late_or_for_others_lets_no_worker_in(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    join = await join_token(manager, tmp_path, type="gpu", labels={"zone": "north"})

    async def refused(words: str, file: Path = join, state: str = "other", **who: Any) -> None:
        with pytest.raises(Refused, match=words):
            async with worker(guarded_nats, tmp_path / state, join=file, **who):
                pass

    await refused("of the type 'gpu'")
    await refused("the label zone=south", type="gpu", labels={"zone": "south"})
    first = new_id()
    async with worker(guarded_nats, tmp_path / "first", join=join, worker_id=first, type="gpu"):
        pass
    await refused("may be used once", type="gpu")
    await refused("enrolled with another key", type="gpu", worker_id=first)

    late = JoinTokenText.parse(join.read_text())
    allowed = permissions.enrolment(guarded_nats.catalogue, late.id)
    pair = KeyPair.of(late.seed, Kind.USER)
    past = guarded_nats.issuer.user(pair.public, late.id, allowed, expires=now() - timedelta(seconds=9))
    expired = tmp_path / "expired"
    expired.write_text(JoinTokenText(late.id, past, late.seed).text)
    await refused("has expired or was revoked", expired, type="gpu")


async def test_a_worker_whose_labels_were_changed_enrols_again(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    north = await join_token(manager, tmp_path, labels={"zone": "north"})
    south = await join_token(manager, tmp_path, labels={"zone": "south"})
    worker_id = new_id()
    for join, zone in ((north, "north"), (south, "south")):
        labels = {"zone": zone}
        async with worker(guarded_nats, tmp_path / "state", join=join, worker_id=worker_id, labels=labels) as one:
            assert one.keyring.jwt is not None
            held = bounds_in(one.keyring.jwt, account=guarded_nats.issuer.account, worker_id=worker_id)
            assert held.labels == labels


async def test_the_holder_of_a_join_token_may_do_nothing_else(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    catalogue = guarded_nats.catalogue
    join = JoinTokenText.parse((await join_token(manager, tmp_path)).read_text())
    other = JoinTokenText.parse((await join_token(manager, tmp_path)).read_text())
    held, inbox = Credentials(join.jwt, join.seed), catalogue.inbox("enrol", join.id)
    asked = claim(join.id).model_dump_json().encode()

    for subject in (catalogue.enrol(other.id), catalogue.agent(new_id(), "renew"), catalogue.event("jobs.created")):
        with pytest.raises(BusUnavailable):
            await run_errand(guarded_nats.url, Errand(held, inbox, subject, asked), name="test", deadline=0.5)
    # The worker manager does not publish its answer where the one who asks could not.
    foreign = Errand(held, catalogue.inbox("enrol", other.id), catalogue.enrol(join.id), asked)
    with pytest.raises(BusUnavailable):
        await run_errand(guarded_nats.url, foreign, name="test", deadline=0.5)
    assert await manager.call("GET", f"/enrolments?join_token_id={join.id}") == []


async def test_credentials_are_renewed_at_half_life_on_a_live_connection(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    enrolments(manager)._life = 4.0
    join = await join_token(manager, tmp_path)
    async with worker(guarded_nats, tmp_path / "state", join=join) as one:
        first = Credentials.read(credentials_in(tmp_path / "state"))
        renewed: list[bool] = []
        one.bus.on_change(renewed.append)
        await until(lambda: renewed == [False, True], one.bus)
        second = Credentials.read(credentials_in(tmp_path / "state"))
        assert second.seed == first.seed
        assert first.expiry is not None
        assert second.expiry is not None
        assert second.expiry > first.expiry
        assert not one.left.is_set()


async def test_an_outage_beyond_the_credentials_life_locks_no_worker_out(
    start: Start, own: GuardedNats, tmp_path: Path
) -> None:
    manager = await start(agent=stub("normal"), guarded=own)
    enrolments(manager)._life = 3.0
    join = await join_token(manager, tmp_path)
    async with worker(own, tmp_path / "state", join=join) as one:
        expiry = Credentials.read(credentials_in(tmp_path / "state")).expiry
        assert expiry is not None
        await own.server.stop()
        await asyncio.sleep(max(0.0, expiry + 1 - now().timestamp()))  # NATS goes by the clock
        await own.server.start()
        await until(lambda: one.bus.connected, one.bus)
        assert (Credentials.read(credentials_in(tmp_path / "state")).expiry or 0) > expiry


async def test_a_revoked_worker_is_out_and_stays_out(start: Start, own: GuardedNats, tmp_path: Path) -> None:
    manager = await start(agent=stub("normal"), guarded=own)
    join = await join_token(manager, tmp_path, max_uses=2)
    worker_id = new_id()
    async with worker(own, tmp_path / "state", join=join, worker_id=worker_id) as one:
        gone = asyncio.create_task(until(lambda: not one.bus.connected, one.bus))
        await manager.call("POST", f"/workers/{worker_id}/revoke")
        await gone
        async with asyncio.timeout(60):
            await one.left.wait()  # it has noticed, and ends

        async def knocks() -> None:
            for file in (credentials_in, renewal_in):
                held = Credentials.read(file(tmp_path / "state"))
                catalogue = own.catalogue
                errand = Errand(
                    held,
                    catalogue.inbox("agents", worker_id),
                    catalogue.agent(worker_id, "renew"),
                    Renew(user_key=held.public).model_dump_json().encode(),
                )
                with pytest.raises(NotAdmitted):
                    await run_errand(own.url, errand, name="test")

        await knocks()
        # A server that lost the accounts, with the revocations in them, is told again.
        await own.server.stop()
        shutil.rmtree(own.server.data_dir / "accounts")
        pushed = manager.part(Revocations).next_run
        await own.server.start()
        async with asyncio.timeout(DEADLINE):
            while not (await _result(pushed)).get("revoked"):
                pass
        await knocks()


async def test_each_account_is_signed_later_than_the_one_before_though_the_clock_was_set_back(manager: Running) -> None:
    """A server that starts takes the newest that it finds."""
    signed: list[datetime] = []

    async def note(revoked: Collection[str], signed_at: datetime) -> None:
        signed.append(signed_at)

    revocations = manager.part(Revocations)
    revocations._push = note
    for back in (0, 1, 2):
        revocations._clock = lambda back=back: now() - timedelta(days=back)
        await revocations.run_once()
    assert signed == sorted(set(signed))
    assert int(signed[-1].timestamp()) > int(signed[-2].timestamp())


async def test_more_than_a_message_has_room_for_is_an_error_that_names_the_setting(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    join = JoinTokenText.parse((await join_token(manager, tmp_path)).read_text())
    catalogue = guarded_nats.catalogue
    errand = Errand(
        Credentials(join.jwt, join.seed), catalogue.inbox("enrol", join.id), catalogue.enrol(join.id), b"x" * (16 << 20)
    )
    with pytest.raises(MessageTooLarge, match="16,777,216 bytes are more than this server's max_payload of"):
        await run_errand(guarded_nats.url, errand, name="test")


def agent(nats: GuardedNats, **variables: str) -> Any:
    """Start an agent as a process."""
    return asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "worker_manager.agent"),
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "NATS_URL": nats.url,
            "HODEI_NAMESPACE": nats.catalogue.namespace,
            **variables,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """The exit code of an agent and its standard error, once it has ended by itself."""
    try:
        async with asyncio.timeout(40):
            _, told = await process.communicate()
        return process.returncode, told.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_revoked_worker_ends_with_one_line_and_exit_code_2(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    join, state, worker_id = await join_token(manager, tmp_path, max_uses=2), tmp_path / "state", new_id()
    known = {"HODEI_STATE_DIR": str(state), "HODEI_WORKER_ID": worker_id}
    heard = asyncio.Event()

    def hear(heartbeat: Heartbeat) -> None:
        if heartbeat.worker_id == worker_id:
            heard.set()

    manager.part(HeartbeatListener)._listeners.append(hear)
    running = await agent(guarded_nats, **known, HODEI_JOIN=str(join))
    try:
        async with asyncio.timeout(40):
            await heard.wait()
        await manager.call("POST", f"/workers/{worker_id}/revoke")
    except BaseException:
        running.kill()
        raise
    code, told = await ended(running)
    assert (code, told.count("agent: ")) == (2, 1), told
    assert f"worker {worker_id} was revoked; a new worker needs another state folder" in told

    # Started again: NATS refuses its credentials. With a join token the worker manager says why.
    given: dict[str, str]
    for given, words in (({}, "it was revoked"), ({"HODEI_JOIN": str(join)}, f"worker {worker_id} was revoked")):
        # Waiting for NATS until the deadline of the start would be exit code 1.
        code, told = await ended(await agent(guarded_nats, **known, **given))
        assert (code, told.count("agent: ")) == (2, 1), told
        assert words in told
        assert "a new worker needs another state folder (--state-dir) and a join token" in told


async def test_a_worker_without_credentials_ends_with_what_it_needs(guarded_nats: GuardedNats, tmp_path: Path) -> None:
    code, told = await ended(await agent(guarded_nats, HODEI_STATE_DIR=str(tmp_path / "state")))

    assert code == 2
    assert told == (
        "agent: NATS asks for credentials, and this worker has none: it needs a join token "
        "(hodei worker --join FILE; docs/workers.md)\n"
    )


async def _result(run: Callable[[], Any]) -> Any:
    try:
        return await run()
    except BusUnavailable:
        return {}


async def test_own_workers_and_a_worker_that_joins_really_run(
    start: Start, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    manager = await start(guarded=guarded_nats)
    own_worker = await manager.call("POST", "/workers", json={"slots": 1})
    assert own_worker["status"] == "running"  # its heartbeat was heard

    join, worker_id = await join_token(manager, tmp_path), new_id()
    heard = asyncio.Event()

    def hear(heartbeat: Heartbeat) -> None:
        if heartbeat.worker_id == worker_id:
            assert heartbeat.credentials == Credentials.read(credentials_in(tmp_path / "state")).jwt
            heard.set()

    manager.part(HeartbeatListener)._listeners.append(hear)
    with join.open("rb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "worker_manager.agent"),
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "NATS_URL": guarded_nats.url,
                "HODEI_NAMESPACE": guarded_nats.catalogue.namespace,
                "HODEI_WORKER_ID": worker_id,
                "HODEI_STATE_DIR": str(tmp_path / "state"),
                "HODEI_JOIN": f"/dev/fd/{file.fileno()}",
            },
            pass_fds=[file.fileno()],
            stdout=asyncio.subprocess.DEVNULL,
        )
    try:
        async with asyncio.timeout(30):
            await heard.wait()
        assert str(join) not in await asyncio.to_thread(_open_files, process.pid)
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _open_files(pid: int) -> list[str]:
    try:
        return [str(one.resolve()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    except PermissionError:  # agents hide them from other processes of their user
        return []


async def test_an_unusable_join_token_is_an_error_of_the_configuration(
    guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    file = tmp_path / "join"
    file.write_text("hodei_join_nonsense")
    with pytest.raises(Exception, match="HODEI_JOIN: the join token is incomplete or mistyped: it has 19 characters"):
        async with worker(guarded_nats, tmp_path / "state", join=file):
            pass


async def test_expired_credentials_without_a_way_to_renew_them_are_refused(
    manager: Running, guarded_nats: GuardedNats, tmp_path: Path
) -> None:
    pair, worker_id = KeyPair.new(Kind.USER), new_id()
    allowed = permissions.agent(guarded_nats.catalogue, worker_id)
    past = guarded_nats.issuer.user(pair.public, worker_id, allowed, expires=now() - timedelta(seconds=1))
    text = Credentials(past, pair.seed).text()
    keep_keys(tmp_path / "state", text, text)
    with pytest.raises(Refused, match="have expired: start it with a new join token"):
        async with worker(guarded_nats, tmp_path / "state", worker_id=worker_id):
            pass
