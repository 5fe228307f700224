"""The agent's credentials: whose they are, and who decides that they are no longer good."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.enrolment import Grant
from schemas.permissions import Permissions
from schemas.subjects import Catalogue
from shared.bus import Errand, NotAdmitted
from shared.clock import now
from shared.ids import new_id
from shared.keys import Credentials, KeyPair, Kind
from shared.keys.claims import user
from shared.worker_keys import credentials_in, keep_keys
from worker_manager.agent.identity import Identity
from worker_manager.agent.keyring import Keyring, Refused
from worker_manager.agent.state import StateFolder


def credentials(worker_id: str, *, lasts: timedelta | None = None) -> Credentials:
    pair = KeyPair.new(Kind.USER)
    expires = None if lasts is None else now() + lasts
    allowed = Permissions((), ())
    return Credentials(
        user(KeyPair.new(Kind.ACCOUNT), pair.public, worker_id, allowed, now=now(), expires=expires), pair.seed
    )


def keep_credentials(state: Path, worker_id: str, *, lasts: timedelta | None = None) -> None:
    text = credentials(worker_id, lasts=lasts).text()
    keep_keys(state, text, text)


def keyring(state: Path, worker_id: str, *, clock: Callable[[], float] = time.time) -> Keyring:
    return Keyring(
        state,
        Identity(worker_id, "w", "default"),
        Catalogue("test"),
        url="nats://127.0.0.1:1",
        join=None,
        start_deadline=1,
        leave=lambda: None,
        clock=clock,
    )


@pytest.mark.parametrize("lost", [b"", None], ids=["empty", "missing"])
def test_a_worker_whose_id_was_lost_is_the_one_that_its_credentials_name(tmp_path: Path, lost: bytes | None) -> None:
    enrolled = new_id()
    keep_credentials(tmp_path, enrolled)
    if lost is not None:
        (tmp_path / "worker-id").write_bytes(lost)
    state = StateFolder(tmp_path, None)
    assert state.worker_id == enrolled
    assert state.known
    assert (tmp_path / "worker-id").read_text().strip() == enrolled
    state.close()


async def test_another_workers_credentials_are_refused_in_one_line(tmp_path: Path) -> None:
    holder, other = new_id(), new_id()
    keep_credentials(tmp_path, holder)
    with pytest.raises(Refused, match=f"has the credentials of worker {holder}, not of {other}"):
        await keyring(tmp_path, other).start()


async def test_a_worker_starts_with_its_own_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def admit(*_: object, **__: object) -> None:
        """NATS accepts them."""

    monkeypatch.setattr("worker_manager.agent.keyring.knock", admit)
    worker_id = new_id()
    keep_credentials(tmp_path, worker_id)
    keys = keyring(tmp_path, worker_id)
    await keys.start()
    await keys.stop()
    assert keys.jwt is not None


class Nats:
    """Answers each errand with `answer`, and counts them."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked: list[Errand] = []

    async def __call__(self, _url: str, errand: Errand, *, name: str, ca: Path | None) -> bytes:
        self.asked.append(errand)
        if self.answer is None:
            raise NotAdmitted(errand.subject, "NATS does not accept these credentials")
        return self.answer


async def test_a_worker_whose_clock_is_wrong_asks_nats_whether_its_credentials_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id = new_id()
    keep_credentials(tmp_path, worker_id, lasts=timedelta(days=30))
    held = Credentials.read(credentials_in(tmp_path))
    renewed = credentials(worker_id, lasts=timedelta(days=1)).jwt
    fresh = Credentials(renewed, held.seed)
    nats = Nats(Grant(jwt=fresh.jwt, renewal_jwt=fresh.jwt).model_dump_json().encode())
    monkeypatch.setattr("worker_manager.agent.keyring.run_errand", nats)
    kept: list[str] = []
    monkeypatch.setattr(
        "worker_manager.agent.keyring.keep_keys", lambda _state, good, renewal: kept.extend((good, renewal))
    )
    keys = keyring(tmp_path, worker_id, clock=lambda: time.time() + 31 * 86400)
    await keys.start()
    await keys.stop()
    assert [errand.credentials for errand in nats.asked] == [held]
    assert kept == [fresh.text(), fresh.text()]


@pytest.mark.parametrize(
    ("ahead", "says"), [(0, "it was revoked"), (31 * 86400, "have expired: start it with a new join token")]
)
async def test_only_nats_refuses_a_worker(
    ahead: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id = new_id()
    keep_credentials(tmp_path, worker_id, lasts=timedelta(days=30))
    credentials_in(tmp_path).write_text(credentials(worker_id, lasts=timedelta(seconds=-1)).text())
    nats = Nats(None)
    monkeypatch.setattr("worker_manager.agent.keyring.run_errand", nats)
    with pytest.raises(Refused, match=says):
        await keyring(tmp_path, worker_id, clock=lambda: time.time() + ahead).start()
    assert len(nats.asked) == 1
