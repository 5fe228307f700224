"""Wrong tokens are answered more and more slowly, by address; valid ones never are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.access import Role, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens
from shared.errors import Overloaded
from shared.telemetry import Metrics
from shared.web.wrong_tokens import (
    FIRST_PAUSE,
    FORGOTTEN_AFTER,
    FREE,
    LONGEST_PAUSE,
    MOST_ADDRESSES,
    MOST_WAITING,
    MOST_WAITING_OF_ONE,
    WrongTokens,
)
from tests.unit.web.conftest import Settings

GOOD, WRONG = (token_of(bytes([n]) * 32) for n in range(2))


@pytest.fixture(autouse=True)
def wrong_tokens_are_answered_at_once() -> None:
    """Not here."""


class Waits:
    """A clock, and a sleep that notes how long it should last."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.over = asyncio.Event()
        self.over.set()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.over.wait()

    def table(self) -> WrongTokens:
        return WrongTokens(Metrics(), clock=lambda: self.now, sleep=self.sleep)


@pytest.fixture
async def waits() -> Waits:
    return Waits()


async def test_each_wrong_token_waits_longer_up_to_a_limit(waits: Waits) -> None:
    table = waits.table()
    for _ in range(FREE):
        await table.hold("192.0.2.1")
    assert waits.pauses == []
    for _ in range(100):
        await table.hold("192.0.2.1")

    assert waits.pauses[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert waits.pauses == sorted(waits.pauses)
    assert waits.pauses[-1] == LONGEST_PAUSE


async def test_other_addresses_and_later_times_start_anew(waits: Waits) -> None:
    table = waits.table()
    for _ in range(FREE + 1):
        await table.hold("192.0.2.1")
    await table.hold("192.0.2.2")
    waits.now += FORGOTTEN_AFTER + 1
    await table.hold("192.0.2.1")

    assert waits.pauses == [FIRST_PAUSE]


async def test_an_ipv6_client_counts_by_its_network(waits: Waits) -> None:
    table = waits.table()
    for number in range(FREE + 1):
        await table.hold(f"2001:db8::{number:x}")
    await table.hold("2001:db8:0:1::1")

    assert waits.pauses == [FIRST_PAUSE]


async def test_the_table_and_those_that_wait_are_bounded(waits: Waits) -> None:
    table = waits.table()
    for number in range(2 * MOST_ADDRESSES):
        await table.hold(f"10.0.{number // 256}.{number % 256}")
    assert len(table) == MOST_ADDRESSES

    addresses = [f"192.0.2.{number}" for number in range(MOST_WAITING // MOST_WAITING_OF_ONE + 1)]
    for address in addresses:
        for _ in range(FREE):
            await table.hold(address)
    waits.over.clear()
    waiting = []
    for address in addresses[:-1]:
        waiting += [asyncio.create_task(table.hold(address)) for _ in range(MOST_WAITING_OF_ONE)]
    await asyncio.sleep(0)
    for address in (addresses[0], addresses[-1]):
        with pytest.raises(Overloaded, match="too many requests with a wrong token"):
            await table.hold(address)
    waits.over.set()
    await asyncio.gather(*waiting)
    await table.hold(addresses[-1])
    assert len(waits.pauses) == MOST_WAITING + 1


# -- in the guard ------------------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses whose answers were held."""
    held: list[str] = []

    async def hold(_self: WrongTokens, address: str) -> None:
        held.append(address)

    monkeypatch.setattr(WrongTokens, "hold", hold)
    return held


@pytest.mark.parametrize(
    ("headers", "slowed"),
    [
        ({}, False),
        ({"Authorization": f"Bearer {GOOD}"}, False),
        ({"Authorization": f"Bearer {WRONG}"}, True),
        ({"Authorization": f"Bearer {WRONG[:-1]}"}, True),
        ({"Authorization": "Basic YTpi"}, True),
    ],
)
async def test_only_wrong_tokens_are_slowed_down(
    make_app: Callable[..., web.Application], held: list[str], headers: dict[str, str], slowed: bool
) -> None:
    async with _client(make_app) as client:
        response = await client.get("/api/v1/things", headers=headers)

    assert (response.status == 401) == (headers == {} or slowed)
    assert held == (["127.0.0.1"] if slowed else [])


@pytest.mark.parametrize(("trusted", "address"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.5")])
async def test_a_trusted_proxy_names_the_client(
    make_app: Callable[..., web.Application], held: list[str], trusted: str, address: str
) -> None:
    headers = {"Authorization": f"Bearer {WRONG}", "X-Forwarded-For": "127.0.0.1, 203.0.113.5"}
    async with _client(make_app, settings=Settings(trusted_proxies=trusted)) as client:
        await client.get("/api/v1/things", headers=headers)

    assert held == [address]


def _client(make_app: Callable[..., web.Application], **changes: object) -> TestClient[Any, Any]:
    known = KnownTokens()
    known.put(hash_of(GOOD), Principal("id", "me", Role.ADMIN))
    return TestClient(TestServer(make_app(tokens=known, **changes)))
