"""The client's calls for the dead letters of each service."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import one, pages, quoted
from hodei.client.filters import DeadLetterFilters
from hodei.client.services import Services
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail


class DeadLetterCalls(Services):
    """Read, resend and delete dead letters."""

    def dead_letters(self, service: str, **filters: Unpack[DeadLetterFilters]) -> AsyncIterator[DeadLetter]:
        """The events that the handlers of a service (`orchestrator`, `scheduler` or `worker-manager`) rejected, newest
        first. Raises ValueError for another name."""
        return pages(self.service(service), DeadLetter, "/api/v1/dead-letters", filters)

    async def dead_letter(self, service: str, letter_id: str) -> DeadLetterDetail:
        """One dead letter with its event."""
        answer = await self.service(service).request("GET", f"/api/v1/dead-letters/{quoted(letter_id)}")
        return one(DeadLetterDetail, answer)

    async def resend_dead_letter(self, service: str, letter_id: str) -> DeadLetter:
        """Publish its event again and delete the letter. Raises ApiError (409) when the event was not kept
        completely."""
        answer = await self.service(service).request("POST", f"/api/v1/dead-letters/{quoted(letter_id)}/resend")
        return one(DeadLetter, answer)

    async def delete_dead_letter(self, service: str, letter_id: str) -> None:
        """Delete a dead letter with its event."""
        await self.service(service).request("DELETE", f"/api/v1/dead-letters/{quoted(letter_id)}")
