"""/api/v1/dead-letters: events that this service's handlers failed to handle.

Here: the routes, the same in each service, over the letters of its own consumers. Not here: reading and deleting
letters (`shared.bus.letters`), and when an event becomes one (`shared.bus.settling`).
"""

from dataclasses import dataclass

from aiohttp import web
from prometheus_client import Counter

from schemas.access import Role
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail, DeadLetterQuery
from shared import masking
from shared.audit import recorded
from shared.bus import Bus, Letter, Letters, resent
from shared.errors import Conflict, NotFound
from shared.outbox import Outbox
from shared.postgres import Page
from shared.telemetry import Metrics
from shared.web.api import Api
from shared.web.paging import answer_page
from shared.web.responses import json_response


@dataclass(frozen=True, slots=True)
class DeadLetterRoutes:
    """The handlers of the routes, over the letters of one service's consumers."""

    bus: Bus
    letters: Letters
    outbox: Outbox
    resent: Counter
    """`dead_letters_resent_total`, by consumer."""

    async def list_dead_letters(self, request: web.Request, query: DeadLetterQuery) -> web.StreamResponse:
        """The letters of this service's consumers, without their content. A page may be short, or empty, though another
        follows: use the `Link` header. Letters are kept for 30 days."""
        return await answer_page(request, query, self._find, key="int")

    async def get_dead_letter(self, _request: web.Request, id: str) -> web.StreamResponse:
        """With the event as it was received; variables and parameters that look like secrets are masked."""
        letter = await self._found(id)
        event = masking.shown_event(letter.content.event)
        return json_response(DeadLetterDetail(**dict(_summary(letter)), event=event))

    async def resend_dead_letter(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Publishes the event to all consumers of its type, and deletes the letter. Handlers ignore an event that they
        have handled before. If a handler fails again, there will be a new letter. 409 for an event that was not kept
        whole."""
        letter = await self._found(id)
        if not letter.whole:
            raise Conflict("the event was not stored in full, so it cannot be published again")
        async with recorded(self.outbox):
            await self.bus.publish(
                self.bus.catalogue.event(letter.event_type), resent(letter), msg_id=f"resent-{letter.id}"
            )
            await self.letters.delete(letter)
        self.resent.labels(letter.content.consumer).inc()
        return json_response(_summary(letter), status=202)

    async def delete_dead_letter(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Deletes the letter and its event for good."""
        letter = await self._found(id)
        async with recorded(self.outbox):
            await self.letters.delete(letter)
        return web.Response(status=204)

    async def _find(self, query: DeadLetterQuery, before: str | None) -> Page:
        wanted = query.model_dump(exclude={"limit", "cursor"}, exclude_none=True)

        def matches(letter: Letter) -> bool:
            shown = _summary(letter)
            return all(getattr(shown, name) == value for name, value in wanted.items())

        hits = await self.letters.page(matches, limit=query.limit, before=None if before is None else int(before))
        rows = [_summary(letter).model_dump_json() for letter in hits.letters]
        return Page(rows, None if hits.before is None else str(hits.before))

    async def _found(self, id: str) -> Letter:
        letter = await self.letters.get(id)
        if letter is None:
            raise NotFound("dead letter", id)
        return letter


def api(bus: Bus, letters: Letters, outbox: Outbox, metrics: Metrics) -> Api:
    """The routes."""
    counter = metrics.counter(
        "dead_letters_resent_total", "Dead letters whose event was published again.", ["consumer"]
    )
    routes = DeadLetterRoutes(bus, letters, outbox, counter)
    api = Api(tag="dead letters", description="Events that this service's handlers failed to handle.")
    api.get(
        "/api/v1/dead-letters",
        summary="List dead letters, newest first",
        query=DeadLetterQuery,
        answers={200: list[DeadLetter]},
        role=Role.OPERATOR,
    )(routes.list_dead_letters)
    api.get(
        "/api/v1/dead-letters/{id}", summary="Show a dead letter", answers={200: DeadLetterDetail}, role=Role.OPERATOR
    )(routes.get_dead_letter)
    api.post(
        "/api/v1/dead-letters/{id}/resend", summary="Publish a dead letter's event again", answers={202: DeadLetter}
    )(routes.resend_dead_letter)
    api.delete("/api/v1/dead-letters/{id}", summary="Delete a dead letter", answers={204: None})(
        routes.delete_dead_letter
    )
    return api


def _summary(letter: Letter) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        consumer=letter.content.consumer,
        event_type=letter.event_type,
        entity_id=letter.member("subject"),
        job_id=letter.member("job_id"),
        error=letter.content.error,
        deliveries=letter.content.deliveries,
        stored_at=letter.stored_at,
        resendable=letter.whole,
    )
