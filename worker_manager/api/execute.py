"""POST /api/v1/execute: run one command, or an earlier job's command, without going through the orchestrator's door.

The ids are made here and the orchestrator makes the job of them, so that what runs is a job like any other. Only the
orchestrator knows whether a `job_id` exists; its verdict is waited for, but not for long.
"""

from typing import Final

from aiohttp import web

from schemas.events import ExecutionCompleted, ExecutionRefused, ExecutionRequested, JobTarget
from schemas.rest.executions import ExecuteRequest, ManagedExecution
from shared.errors import Conflict, FieldError, HodeiError, Invalid, NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import IDEMPOTENCY_KEY, Api, json_response, waiting
from shared.web.idempotency import idempotent
from worker_manager.announcements import Announcements
from worker_manager.domain.reports import settle
from worker_manager.store import ExecutionStore

VERDICT: Final = 2.0
"""Seconds to wait for the orchestrator to know or not to know a job; after that the answer is `pending`."""


def api(store: ExecutionStore, outbox: Outbox, announcements: Announcements, *, verdict: float = VERDICT) -> Api:
    """The route; `announcements` hears executions.refused and jobs.created."""
    api = Api(tag="executions")

    @api.post(
        "/api/v1/execute",
        summary="Run a command, or an earlier job's command once more",
        body=ExecuteRequest,
        answers={201: ManagedExecution},
        creates=True,
    )
    async def execute(request: web.Request, body: ExecuteRequest) -> web.StreamResponse:
        """The execution is `pending` until a worker has room for it. A worker that drains or has no room after all
        gives it back: it is `cancelled` then, for the reason `returned`, and `continued_as` names the execution that
        took its place. The execution of a job without steps is `succeeded` at once. An unknown `job_id` is 404, one
        whose pipeline is archived 409."""
        execution_id, task_id, job_id = new_id(), new_id(), new_id()
        requested = ExecutionRequested(
            execution_id=execution_id, task_id=task_id, job_id=job_id, attempt=1, target=_target(body)
        )
        outbox.must_fit(requested, "body", "env")
        with announcements.about(execution_id, job_id) as listener:
            async with idempotent(request, outbox) as tx:
                target = requested.target.model_dump_json(exclude_none=True)
                shown = await store.request(tx, execution_id, task_id, job_id, target)
                tx.emit(requested)
                response = tx.answer(201, shown, {"Location": f"/api/v1/executions/{execution_id}"})
            if body.job_id is not None and announcements.hearing:
                with waiting(request):
                    said = await listener.next(verdict)
                if isinstance(said, ExecutionRefused):
                    # Answered as if it had never been asked: also to a second request with the same key.
                    key = request.headers.get(IDEMPOTENCY_KEY)
                    await store.forget(execution_id, route=f"{request.method} {request.path}", key=key)
                    raise _refusal(said, body.job_id)
                if isinstance(said, ExecutionCompleted):
                    return await closed(execution_id, said)
        return response

    async def closed(execution_id: str, said: ExecutionCompleted) -> web.Response:
        """The answer for an execution that was over before it could be answered."""
        await store.settle(settle(said, said.finished_at))
        headers = {"Location": f"/api/v1/executions/{execution_id}"}
        return json_response(await store.get(execution_id) or "", status=201, headers=headers)

    return api


def _target(body: ExecuteRequest) -> JobTarget:
    if body.job_id is not None:
        return JobTarget(job_id=body.job_id, name=body.name, priority=body.priority, env=body.env)
    return JobTarget(command=body.command_spec(), name=body.name, priority=body.priority)


def _refusal(said: ExecutionRefused, job_id: str) -> HodeiError:
    match said.status:
        case 404:
            return NotFound("job", job_id)
        case 409:
            return Conflict(said.detail)
        case _:
            return Invalid([FieldError(("body", "job_id"), said.detail, "refused")])
