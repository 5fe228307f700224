"""What the three services tell about themselves: asked on the bus, and remembered for a moment."""

import asyncio
from collections.abc import Mapping
from typing import Final

from schemas.permissions import SERVICES
from schemas.questions import SERVICE_OF, ServiceAnswer, ServiceQuestion
from schemas.subjects import Owner
from shared.bus import Bus, ask
from shared.errors import Unavailable
from shared.introduction import Introduction

FRESH: Final = 2.0
"""Seconds for which the answers are used again."""
DEADLINE: Final = 1.0
"""Seconds that a service has to answer."""


class Parts:
    """Asks the other services, and answers for its own."""

    def __init__(self, bus: Bus, own: Introduction) -> None:
        self._bus = bus
        self._own = own
        self._now: dict[Owner, ServiceAnswer] = {}
        self._last: dict[Owner, ServiceAnswer] = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def now(self) -> Mapping[Owner, ServiceAnswer]:
        """The services that answer. Questions are at least FRESH seconds apart, however many requests there are."""
        clock = asyncio.get_running_loop().time
        async with self._asking:
            if clock() >= self._until:
                answers = await asyncio.gather(*map(self._ask, SERVICES))
                self._now = {owner: one for owner, one in zip(SERVICES, answers, strict=True) if one is not None}
                self._last |= self._now
                self._until = clock() + FRESH
        return self._now

    def last(self, owner: Owner) -> ServiceAnswer | None:
        """The last answer of a service; None before the first."""
        return self._last.get(owner)

    async def _ask(self, owner: Owner) -> ServiceAnswer | None:
        if owner == "orchestrator":
            return await self._own.answer(ServiceQuestion())
        try:
            return await ask(self._bus, SERVICE_OF[owner], ServiceQuestion(), deadline=DEADLINE)
        except Unavailable:
            return None
