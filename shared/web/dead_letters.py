"""/api/v1/dead-letters: events that this service's handlers failed to handle.

Here: the routes, the same in each service, over the letters of its own consumers. Not here: reading and deleting
letters (`shared.bus.letters`), and when an event becomes one (`shared.bus.settling`).
"""

from aiohttp import web

from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail, DeadLetterQuery
from shared import masking
from shared.bus import Bus, Letter, Letters, members, resent
from shared.errors import Conflict, NotFound
from shared.postgres import Page
from shared.telemetry import Metrics
from shared.web.api import Api
from shared.web.paging import answer_page
from shared.web.responses import json_response


def api(bus: Bus, letters: Letters, metrics: Metrics) -> Api:
    """The routes."""
    api = Api(tag="dead letters", description="Events that this service's handlers could not take.")
    again = metrics.counter("dead_letters_resent_total", "Dead letters whose event was published again.", ["consumer"])

    async def found(id: str) -> Letter:
        letter = await letters.get(id)
        if letter is None:
            raise NotFound("dead letter", id)
        return letter

    @api.get(
        "/api/v1/dead-letters",
        summary="List dead letters, newest first",
        query=DeadLetterQuery,
        answers={200: list[DeadLetter]},
    )
    async def list_dead_letters(request: web.Request, query: DeadLetterQuery) -> web.StreamResponse:
        """The letters of this service's consumers, without their content. A page may be short, or empty, though another
        follows: use the `Link` header. Letters are kept for 30 days."""

        async def find(query: DeadLetterQuery, before: str | None) -> Page:
            wanted = query.model_dump(exclude={"limit", "cursor"}, exclude_none=True)

            def matches(letter: Letter) -> bool:
                shown = dict(members(letter))
                return all(shown[name] == value for name, value in wanted.items())

            hits = await letters.page(matches, limit=query.limit, before=None if before is None else int(before))
            rows = [_summary(letter).model_dump_json() for letter in hits.letters]
            return Page(rows, None if hits.before is None else str(hits.before))

        return await answer_page(request, query, find, key="int")

    @api.get("/api/v1/dead-letters/{id}", summary="Show a dead letter", answers={200: DeadLetterDetail})
    async def get_dead_letter(_request: web.Request, id: str) -> web.StreamResponse:
        """With the event as it was received; variables and parameters that look like secrets are masked."""
        letter = await found(id)
        return json_response(DeadLetterDetail(**dict(members(letter)), event=masking.shown_event(letter.content.event)))

    @api.post("/api/v1/dead-letters/{id}/resend", summary="Publish its event again", answers={202: DeadLetter})
    async def resend_dead_letter(_request: web.Request, id: str) -> web.StreamResponse:
        """Publishes the event to all consumers of its type, and deletes the letter. Handlers ignore an event that they
        have handled before. If a handler fails again, there will be a new letter. 409 for an event that was not kept
        whole."""
        letter = await found(id)
        if not letter.whole:
            raise Conflict("the event was not kept whole, so that it cannot be published again")
        await bus.publish(bus.catalogue.event(letter.event_type), resent(letter), msg_id=f"resent-{letter.id}")
        await letters.delete(letter)
        again.labels(letter.content.consumer).inc()
        return json_response(_summary(letter), status=202)

    @api.delete("/api/v1/dead-letters/{id}", summary="Drop a dead letter", answers={204: None})
    async def delete_dead_letter(_request: web.Request, id: str) -> web.StreamResponse:
        """Deletes the letter and its event for good."""
        await letters.delete(await found(id))
        return web.Response(status=204)

    return api


def _summary(letter: Letter) -> DeadLetter:
    return DeadLetter(**dict(members(letter)))
