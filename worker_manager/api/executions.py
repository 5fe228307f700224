"""/api/v1/executions: every execution that was handed to a worker, or asked for directly."""

from aiohttp import web

from schemas.rest.executions import ExecutionQuery, ManagedExecution
from shared.errors import NotFound
from shared.web import Api, json_response
from shared.web.paging import answer_page
from worker_manager.store import ExecutionStore


def api(store: ExecutionStore) -> Api:
    """The routes, over what is recorded."""
    api = Api(tag="executions", description="Executions: attempts of tasks on workers.")

    @api.get(
        "/api/v1/executions",
        summary="List executions, newest first",
        query=ExecutionQuery,
        answers={200: list[ManagedExecution]},
    )
    async def list_executions(request: web.Request, query: ExecutionQuery) -> web.StreamResponse:
        """Filters are fields of an execution; several narrow the list down."""
        return await answer_page(request, query, store.list)

    @api.get("/api/v1/executions/{id}", summary="Show an execution", answers={200: ManagedExecution})
    async def get_execution(_request: web.Request, id: str) -> web.StreamResponse:
        """Its status, times and outcome."""
        body = await store.get(id)
        if body is None:
            raise NotFound("execution", id)
        return json_response(body)

    return api
