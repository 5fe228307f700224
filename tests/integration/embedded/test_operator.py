"""The embedded NATS that asks for credentials: streams of before, revocations over a restart, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from hodei.up_keys import UpKeys
from hodei.up_settings import UpSettings
from schemas.subjects import DEAD_LETTERS, SCHEDULER_VERDICTS, Catalogue
from shared.bus import Bus, Errand, run_errand
from shared.errors import Unavailable
from shared.keys import ISSUER, NATS, OPERATOR_CONF, Credentials, Issuer, claims, make, service_credentials
from shared.keys.pairs import KeyPair, Kind

CATALOGUE = Catalogue("hodei")


@asynccontextmanager
async def bus_of(server: EmbeddedNats, service: str, keys: Path | None) -> AsyncIterator[Bus]:
    credentials = None if keys is None else keys / NATS / service_credentials(service)
    bus = Bus(server.url, name=service, start_deadline=10, credentials=credentials)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


async def test_what_was_stored_without_credentials_is_there_with_them(tmp_path: Path) -> None:
    """An upgrade: the messages, and how far each consumer was."""
    settings = UpSettings.read({}, data_dir=tmp_path)
    store, keys = tmp_path / "nats", tmp_path / "keys"
    async with EmbeddedNats(store) as server, bus_of(server, "scheduler", None) as bus:
        await bus.declare()
        for number in range(3):
            await bus.publish(CATALOGUE.event("schedules.confirmed"), b"[]", msg_id=f"c{number}")
        await bus.publish(CATALOGUE.dead(SCHEDULER_VERDICTS.durable), b"{}", msg_id="d")

    await UpKeys(settings).make()

    async with (
        EmbeddedNats(store, operator=keys / NATS / OPERATOR_CONF) as server,
        bus_of(server, "scheduler", keys) as bus,
    ):
        api = bus._connection.api
        consumer = await api(f"CONSUMER.INFO.hodei-events.{SCHEDULER_VERDICTS.durable}", {})
        letters = await api(f"STREAM.INFO.{CATALOGUE.stream(DEAD_LETTERS)}", {})
        assert consumer["num_pending"] == 3
        assert letters["state"]["messages"] == 1
        await bus.declare()


async def test_a_revoked_user_stays_out_after_a_restart(tmp_path: Path) -> None:
    """Though the configuration still has the account as it was made, and whenever his JWT was signed."""
    keys = tmp_path / "keys"
    make(keys)
    issuer = Issuer(keys / ISSUER)
    scheduler = Credentials.read(keys / NATS / service_credentials("scheduler"))
    pair, allowed = KeyPair.new(Kind.USER), claims.permissions_in(scheduler.jwt)
    files = []
    for name, signed_at in (("today", datetime.now(UTC)), ("ahead", datetime.now(UTC) + timedelta(hours=1))):
        jwt = claims.user(issuer._account, pair.public, "scheduler", allowed, now=signed_at)
        files.append(tmp_path / f"{name}.creds")
        files[-1].write_text(Credentials(jwt, pair.seed).text())
        files[-1].chmod(0o600)
    ahead = files[-1]
    async with EmbeddedNats(tmp_path / "nats", operator=keys / NATS / OPERATOR_CONF) as server:
        admitted = Bus(server.url, name="scheduler", start_deadline=10, credentials=ahead)
        await admitted.start()
        await admitted.stop()
        account = issuer.signed_account("hodei", [pair.public], now=datetime.now(UTC))
        push = Errand(
            Credentials.read(issuer.system_credentials),
            CATALOGUE.inbox("system"),
            "$SYS.REQ.CLAIMS.UPDATE",
            account.encode(),
        )
        assert b'"code":200' in await run_errand(server.url, push, name="test")

        await server.restart()

        for file in files:
            refused = Bus(server.url, name="scheduler", start_deadline=1, credentials=file)
            with pytest.raises(Unavailable, match=r"(?i)authorization violation"):
                await refused.start()
        async with bus_of(server, "orchestrator", keys) as bus:
            await bus.declare()
