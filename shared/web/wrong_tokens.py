"""Slows down clients that send wrong tokens, by address: each answer to them waits longer, up to a limit.

A token cannot be guessed, as it has 256 random bits; this keeps the attempts from costing the service much, and from
filling its logs. Requests with a valid token, and those without any, are not looked at. Here: the table of addresses
and the waiting. Not here: whether a token is valid (`guard`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from shared.errors import Overloaded
from shared.proxies import read_address
from shared.telemetry import Metrics

FREE: Final = 5
"""Wrong tokens of one address that are answered at once."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
FORGOTTEN_AFTER: Final = 60.0
"""Seconds without a wrong token after which an address starts anew."""
MOST_ADDRESSES: Final = 1024
MOST_WAITING: Final = 64
"""The most answers that wait at a time; beyond that, 429 is answered at once."""
MOST_WAITING_OF_ONE: Final = 4
"""Of these, those to one address."""


@dataclass(slots=True)
class _Client:
    wrong: int = 0
    waiting: int = 0
    last: float = 0.0


class WrongTokens:
    """The addresses that sent wrong tokens lately. An IPv6 client counts by its /64 network, all of it its own."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._clock = clock
        self._sleep = sleep
        self._waiting = 0
        self._slowed = metrics.counter(
            "access_slowed_requests_total", "Requests with a wrong token whose answers were delayed."
        )

    def __len__(self) -> int:
        return len(self._clients)

    async def hold(self, address: str) -> None:
        """Note a wrong token of this address, and wait as long as its earlier ones demand. Raises Overloaded when too
        many answers wait already."""
        client = self._client(address)
        client.wrong += 1
        if client.wrong <= FREE:
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(client.wrong - FREE - 1, 16))
        if client.waiting >= MOST_WAITING_OF_ONE or self._waiting >= MOST_WAITING:
            raise Overloaded(pause, kind="wrong_tokens", why="too many requests with a wrong token")
        self._slowed.inc()
        client.waiting += 1
        self._waiting += 1
        try:
            await self._sleep(pause)
        finally:
            client.waiting -= 1
            self._waiting -= 1

    def _client(self, address: str) -> _Client:
        key = _network(address)
        now = self._clock()
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _Client()
            if len(self._clients) > MOST_ADDRESSES:
                self._clients.popitem(last=False)
        elif now - client.last > FORGOTTEN_AFTER:
            client.wrong = 0
        self._clients.move_to_end(key)
        client.last = now
        return client


def _network(address: str) -> str:
    found = read_address(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address
