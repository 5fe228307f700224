"""The client's call for the platform's events, to the orchestrator."""

from collections.abc import AsyncIterator, Callable
from typing import Unpack

from hodei.client.calls import query_of
from hodei.client.filters import EventFilters
from hodei.client.services import Services
from schemas.rest.events import FeedEvent


class EventCalls(Services):
    """Follow what happens on the platform."""

    async def feed(
        self, *, after: str | None = None, on_gap: Callable[[], None] = lambda: None, **filters: Unpack[EventFilters]
    ) -> AsyncIterator[FeedEvent]:
        """The platform's events that match, from the next that happens, from the time `since`, or after the position of
        an earlier event; live, or up to now with `follow=False`. `on_gap` is called where some may be missing, because
        they are not kept any more."""
        async for event in self.orchestrator.stream("/api/v1/events", query=query_of(filters), last_id=after):
            if event.event == "gap":
                on_gap()
            elif event.event not in ("open", "end"):
                yield self.orchestrator.read(FeedEvent, event.data)
