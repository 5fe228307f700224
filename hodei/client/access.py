"""The client's calls about access: who it acts for, and tokens."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import Fields, body_of, one, pages, quoted
from hodei.client.filters import TokenFilters
from hodei.client.services import Services
from schemas.rest.access import Token, TokenCreate, TokenCreated, WhoAmI


class AccessCalls(Services):
    """Tokens, and who the client's own token is for."""

    async def whoami(self, service: str = "orchestrator") -> WhoAmI:
        """Who this client's requests act for, as a service (`orchestrator`, `scheduler` or `worker-manager`) knows it.
        Raises ValueError for another name, ApiError (401) without a valid token."""
        return one(WhoAmI, await self.service(service).request("GET", "/api/v1/whoami"))

    def tokens(self, **filters: Unpack[TokenFilters]) -> AsyncIterator[Token]:
        """All tokens, newest first, without their texts."""
        return pages(self.orchestrator, Token, "/api/v1/tokens", filters)

    async def create_token(self, token: TokenCreate | Fields) -> TokenCreated:
        """Create a token. Its text, `token`, is in this response only; it is None if the first response was lost on the
        way, and the token is then of no use."""
        answer = await self.orchestrator.request(
            "POST", "/api/v1/tokens", body=body_of(TokenCreate, token), creates=True
        )
        return one(TokenCreated, answer)

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a token: every service refuses it, and its sessions, within about a second."""
        await self.orchestrator.request("DELETE", f"/api/v1/tokens/{quoted(token_id)}")
