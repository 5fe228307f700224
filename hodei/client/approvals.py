"""The client's calls for approvals, to the orchestrator."""

from collections.abc import AsyncIterator, Mapping
from typing import Unpack

from hodei.client.calls import body_of, one, pages, quoted
from hodei.client.filters import PageFilters
from hodei.client.services import Services
from schemas.params import Scalar
from schemas.rest.jobs import DecidedTask, DecisionRequest, WaitingApproval


class ApprovalCalls(Services):
    """List the approvals that wait, and decide them."""

    def approvals(self, **filters: Unpack[PageFilters]) -> AsyncIterator[WaitingApproval]:
        """All approvals that wait for a decision, newest first, page by page."""
        return pages(self.orchestrator, WaitingApproval, "/api/v1/approvals", filters)

    async def approve(
        self,
        task_id: str,
        *,
        by: str | None = None,
        comment: str | None = None,
        inputs: Mapping[str, Scalar] | None = None,
    ) -> DecidedTask:
        """Approve a step that waits for it. Raises ApiError: 409 if it was decided before, 422 for inputs that are not
        as declared."""
        fields = {"by": by, "comment": comment, "inputs": dict(inputs or {})}
        return await self._decide(task_id, "approve", DecisionRequest.model_validate(fields))

    async def reject(self, task_id: str, *, by: str | None = None, comment: str | None = None) -> DecidedTask:
        """Reject a step that waits for an approval. Raises ApiError with status 409 if it was decided before."""
        return await self._decide(task_id, "reject", DecisionRequest(by=by, comment=comment))

    async def _decide(self, task_id: str, verb: str, request: DecisionRequest) -> DecidedTask:
        path = f"/api/v1/tasks/{quoted(task_id)}/{verb}"
        return one(DecidedTask, await self.orchestrator.request("POST", path, body=body_of(DecisionRequest, request)))
