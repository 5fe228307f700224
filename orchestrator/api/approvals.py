"""/api/v1/approvals and /api/v1/tasks: what waits for a decision, and the decisions."""

from dataclasses import dataclass

from aiohttp import web

from orchestrator.api.masked import masked_approval, visible
from orchestrator.api.shown import shown_decision
from orchestrator.aside import Aside
from orchestrator.domain.parameters import InvalidParameters
from orchestrator.domain.run import JobRun, NotAsked
from orchestrator.store.jobs import JobStore
from orchestrator.unit_of_work import UnitOfWork
from schemas.ids import is_id
from schemas.rest.jobs import DecidedTask, DecisionRequest, WaitingApproval
from schemas.rest.lists import PageQuery
from schemas.steps import Decision
from shared.access import actor
from shared.clock import now
from shared.errors import Conflict, FieldError, Invalid, NotFound
from shared.postgres import Page
from shared.web import Api, json_response
from shared.web.paging import answer_page


@dataclass(frozen=True, slots=True)
class ApprovalRoutes:
    """The handlers of the approvals' routes, and the objects that they use."""

    jobs: JobStore
    work: UnitOfWork
    aside: Aside

    async def list_approvals(self, request: web.Request, query: PageQuery) -> web.StreamResponse:
        """Only approvals that wait for a decision. For callers with a role below `operator`, defaults of inputs that
        look like secrets are `***`."""

        async def find(query: PageQuery, before: str | None) -> Page:
            found = await self.jobs.find_approvals(query, before)
            return Page(await visible(found.rows, masked_approval, self.aside), found.last)

        return await answer_page(request, query, find)

    async def approve_task(self, _request: web.Request, id: str, body: DecisionRequest) -> web.StreamResponse:
        """The task succeeds, and the steps that depend on it may run. `inputs` become its outputs. 409 unless it waits
        for a decision; 422 for inputs that are not as the step declares."""
        return await self._decide(id, body, approved=True)

    async def reject_task(self, _request: web.Request, id: str, body: DecisionRequest) -> web.StreamResponse:
        """The task fails with the reason `rejected`. 409 unless it waits for a decision."""
        return await self._decide(id, body, approved=False)

    async def _decide(self, id: str, body: DecisionRequest, *, approved: bool) -> web.StreamResponse:
        moment = now()
        if body.inputs and not approved:
            at = "body", "inputs"
            raise Invalid([FieldError(at, "are given to approve; a rejection has none", "inputs_of_rejection")])
        decision = Decision(
            approved=approved, by=body.by, comment=body.comment, decided_by=actor(), at=moment, inputs=body.inputs
        )
        job_id = await self.jobs.job_of_task(id) if is_id(id) else None
        if job_id is None:
            raise NotFound("task", id)

        def settle(run: JobRun) -> None:
            try:
                run.settle(id, decision, moment)
            except NotAsked as error:
                raise Conflict(str(error)) from None
            except InvalidParameters as error:
                raise Invalid([FieldError(("body", *one.loc), one.msg, one.type) for one in error.faults]) from None

        runs = await self.work.change([job_id], settle, moment)
        if job_id not in runs:
            raise NotFound("task", id)
        task = runs[job_id].tasks[id]
        return json_response(
            DecidedTask(
                id=id, job_id=job_id, name=task.name, status=task.status, decision=shown_decision(task) or decision
            )
        )


def api(routes: ApprovalRoutes) -> Api:
    """The routes."""
    api = Api(tag="approvals", description="Approvals: steps that wait for a decision.")
    api.get(
        "/api/v1/approvals",
        summary="List approvals that wait, newest first",
        query=PageQuery,
        answers={200: list[WaitingApproval]},
    )(routes.list_approvals)
    api.post("/api/v1/tasks/{id}/approve", summary="Approve a step", body=DecisionRequest, answers={200: DecidedTask})(
        routes.approve_task
    )
    api.post("/api/v1/tasks/{id}/reject", summary="Reject a step", body=DecisionRequest, answers={200: DecidedTask})(
        routes.reject_task
    )
    return api
