"""The client's calls about credentials for NATS: join tokens, workers that enrolled, read-only credentials."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import Fields, body_of, one, pages, quoted
from hodei.client.filters import CredentialsFilters, EnrolmentFilters, JoinTokenFilters
from hodei.client.services import Services
from schemas.rest.enrolment import (
    Credentials,
    CredentialsCreate,
    CredentialsCreated,
    Enrolment,
    JoinToken,
    JoinTokenCreate,
    JoinTokenCreated,
)


class EnrolmentCalls(Services):
    """Who may run workers, and who may subscribe."""

    async def create_join_token(self, wanted: JoinTokenCreate | Fields) -> JoinTokenCreated:
        """Create a join token, with which workers enrol. Raises ApiError (409) when the platform's NATS asks for no
        credentials."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/join-tokens", body=body_of(JoinTokenCreate, wanted), creates=True
        )
        return one(JoinTokenCreated, answer)

    def join_tokens(self, **filters: Unpack[JoinTokenFilters]) -> AsyncIterator[JoinToken]:
        """All join tokens that match, newest first, without their texts."""
        return pages(self.worker_manager, JoinToken, "/api/v1/join-tokens", filters)

    async def join_token(self, join_token_id: str) -> JoinToken:
        """One join token, without its text."""
        path = f"/api/v1/join-tokens/{quoted(join_token_id)}"
        return one(JoinToken, await self.worker_manager.request("GET", path))

    async def revoke_join_token(self, join_token_id: str) -> None:
        """Revoke a join token. Workers that enrolled with it stay."""
        await self.worker_manager.request("DELETE", f"/api/v1/join-tokens/{quoted(join_token_id)}")

    def enrolments(self, **filters: Unpack[EnrolmentFilters]) -> AsyncIterator[Enrolment]:
        """All workers that have credentials, newest first."""
        return pages(self.worker_manager, Enrolment, "/api/v1/enrolments", filters)

    async def revoke_worker(self, worker_id: str) -> Enrolment:
        """Revoke a worker's credentials, wherever it runs. It can never enrol again under its id."""
        path = f"/api/v1/workers/{quoted(worker_id)}/revoke"
        return one(Enrolment, await self.worker_manager.request("POST", path))

    async def create_credentials(self, wanted: CredentialsCreate | Fields) -> CredentialsCreated:
        """Create read-only credentials for a subscriber. Raises ApiError (409) when the platform's NATS asks for no
        credentials."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/credentials", body=body_of(CredentialsCreate, wanted), creates=True
        )
        return one(CredentialsCreated, answer)

    def all_credentials(self, **filters: Unpack[CredentialsFilters]) -> AsyncIterator[Credentials]:
        """All read-only credentials that match, newest first, without their texts."""
        return pages(self.worker_manager, Credentials, "/api/v1/credentials", filters)

    async def credentials(self, credentials_id: str) -> Credentials:
        """Read-only credentials, without their text."""
        path = f"/api/v1/credentials/{quoted(credentials_id)}"
        return one(Credentials, await self.worker_manager.request("GET", path))

    async def revoke_credentials(self, credentials_id: str) -> None:
        """Revoke read-only credentials, and end the connections of their subscribers."""
        await self.worker_manager.request("DELETE", f"/api/v1/credentials/{quoted(credentials_id)}")
