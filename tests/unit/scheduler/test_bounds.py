"""What a worker claims to be, in its heartbeats, against what its credentials allow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.bounds import CLOCKS_APART, WorkerBounds
from schemas import permissions
from schemas.agents import Heartbeat
from schemas.subjects import Catalogue
from shared.clock import now
from shared.keys import ISSUER, NATS, Credentials, Issuer, KeyPair, Kind, bounds_tag, make, service_credentials

WORKER, OTHER = "01a20000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000002"
Sign = Callable[..., str]


def beat(credentials: str | None, *, type: str = "gpu", labels: dict[str, str] | None = None) -> Heartbeat:
    return Heartbeat(
        worker_id=WORKER,
        incarnation=OTHER,
        slots=1,
        name="w",
        type=type,
        labels=labels or {},
        sent_at=datetime(2026, 11, 29, tzinfo=UTC),
        credentials=credentials,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def sign(keys: Path) -> Sign:
    def sign(
        worker_id: str = WORKER, *, folder: Path = keys, lasts: timedelta = timedelta(hours=1), **bounds: Any
    ) -> str:
        tags = [bounds_tag(bounds.get("type"), bounds.get("labels"))] if bounds.get("tag", True) else []
        allowed = permissions.agent(Catalogue(), worker_id)
        key = KeyPair.new(Kind.USER).public
        return Issuer(folder / ISSUER).user(key, worker_id, allowed, expires=now() + lasts, tags=tags)

    return sign


@pytest.fixture
def bounds(keys: Path) -> WorkerBounds:
    return WorkerBounds(keys / NATS / service_credentials("scheduler"))


def test_a_worker_may_be_what_its_issuer_signed(bounds: WorkerBounds, sign: Sign) -> None:
    narrow = sign(type="gpu", labels={"zone": "north", "disk": "ssd"})
    assert bounds.broken_by(beat(narrow, labels={"zone": "north"})) is None
    assert bounds.broken_by(beat(narrow, labels={"zone": "south"})) == (
        "its credentials do not allow the label zone=south"
    )
    assert bounds.broken_by(beat(narrow, type="cpu")) == "its credentials do not allow the type 'cpu'"
    wide = sign(type=None, labels=None)
    assert bounds.broken_by(beat(wide, type="cpu", labels={"anything": "goes"})) is None


def test_a_worker_shows_credentials_of_its_own_that_are_still_good(
    bounds: WorkerBounds, sign: Sign, tmp_path: Path
) -> None:
    make(tmp_path / "others")
    good = sign(type="gpu")
    cut = good.rpartition(".")[0] + "." + sign(type="cpu").rpartition(".")[2]
    for shown, why in (
        (None, "shows no credentials"),
        (sign(OTHER), "not the JWT of that worker"),
        (sign(tag=False), "not the JWT of that worker"),
        (sign(folder=tmp_path / "others"), "not signed by the platform's account"),
        (cut, "not signed by the platform's account"),
        ("nonsense", "not a JWT"),
        (sign(lasts=-timedelta(seconds=CLOCKS_APART + 5)), "have expired"),
    ):
        assert why in (bounds.broken_by(beat(shown)) or ""), why
    assert bounds.broken_by(beat(good)) is None


def test_without_keys_of_the_platform_nothing_is_checked(keys: Path, tmp_path: Path) -> None:
    assert WorkerBounds(None).broken_by(beat(None)) is None
    issuer = Issuer(keys / ISSUER)
    foreign: Credentials = issuer.credentials("mine", permissions.service(Catalogue(), "scheduler"))
    (tmp_path / "own.creds").write_text(foreign.text())
    assert WorkerBounds(tmp_path / "own.creds").broken_by(beat(None)) is None
