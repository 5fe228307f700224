"""POST /api/v1/execute: run one command, or an earlier job's command, without a request to the orchestrator.

The ids are made here, and the orchestrator makes a job with them, so that it is a job like any other. Only the
orchestrator knows whether a `job_id` exists: the request waits for its verdict, but not for long.
"""

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from schemas.access import Role
from schemas.events import EventData, ExecutionCompleted, ExecutionRequested, JobTarget
from schemas.rest.executions import ExecuteRequest, ManagedExecution
from shared.access import actor, lacking
from shared.bus import Listening
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.verdicts import verdict
from worker_manager.domain.reports import settle
from worker_manager.store.executions import ExecutionStore


@dataclass(frozen=True, slots=True)
class ExecuteRoutes:
    """The handler of the route. `verdicts` hears `executions.refused`, `executions.completed` and `jobs.created`; a
    request that hears none in time is answered with a `pending` execution."""

    store: ExecutionStore
    outbox: Outbox
    verdicts: Listening[EventData]

    async def execute(self, request: web.Request, body: ExecuteRequest) -> web.StreamResponse:
        """The execution is `pending` until a worker has room for it. A worker that drains or has no room after all
        gives it back: it is `cancelled` then, for the reason `returned`, and `continued_as` names the execution that
        took its place. The execution of a job without steps is `succeeded` at once. An unknown `job_id` is 404, one
        whose pipeline is archived 409. A submitter runs only jobs again that it submitted (403), as the new job has
        the secrets of the old one."""
        execution_id, task_id, job_id = new_id(), new_id(), new_id()
        by = actor()
        requested = ExecutionRequested(
            execution_id=execution_id, task_id=task_id, job_id=job_id, attempt=1, target=_target(body), created_by=by
        )
        self.outbox.must_fit(requested, "body", "env")
        with self.verdicts.about(execution_id, job_id) as listener:
            async with idempotent(request, self.outbox) as tx:
                target = requested.target.model_dump_json(exclude_none=True)
                shown = await self.store.request(tx, execution_id, task_id, job_id, target, by)
                tx.emit(requested)
                response = tx.answer(201, shown, {"Location": f"/api/v1/executions/{execution_id}"})
            if body.job_id is not None and self.verdicts.hearing:
                heard = await verdict(
                    request,
                    listener,
                    outbox=self.outbox,
                    undo=partial(self.store.forget, execution_id),
                    of=("job", body.job_id),
                )
                if isinstance(heard, ExecutionCompleted):
                    return await self._completed(execution_id, heard)
        return response

    async def _completed(self, execution_id: str, completed: ExecutionCompleted) -> web.Response:
        """The answer for an execution that was over before the request was answered."""
        await self.store.settle(settle(completed, completed.finished_at))
        headers = {"Location": f"/api/v1/executions/{execution_id}"}
        return json_response(await self.store.get(execution_id) or "", status=201, headers=headers)


def api(routes: ExecuteRoutes) -> Api:
    """The route."""
    api = Api(tag="executions")
    api.post(
        "/api/v1/execute",
        summary="Run a command, or an earlier job's command once more",
        body=ExecuteRequest,
        answers={201: ManagedExecution},
        creates=True,
        role=Role.SUBMITTER,
    )(routes.execute)
    return api


def _target(body: ExecuteRequest) -> JobTarget:
    if body.job_id is not None:
        limited = lacking(Role.OPERATOR)
        only_of = None if limited is None else limited.id
        return JobTarget(job_id=body.job_id, only_of=only_of, name=body.name, priority=body.priority, env=body.env)
    return JobTarget(command=body.command_spec(), name=body.name, priority=body.priority)
