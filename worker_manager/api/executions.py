"""/api/v1/executions: every execution that was handed to a worker or requested directly."""

from dataclasses import dataclass

from aiohttp import web

from schemas.rest.executions import ExecutionQuery, ManagedExecution
from shared.errors import NotFound
from shared.web import Api, json_response
from shared.web.paging import answer_page
from worker_manager.store.executions import ExecutionStore


@dataclass(frozen=True, slots=True)
class ExecutionRoutes:
    """The handlers of the routes, over the executions' table."""

    store: ExecutionStore

    async def list_executions(self, request: web.Request, query: ExecutionQuery) -> web.StreamResponse:
        """Filters are fields of an execution; several narrow the list down."""
        return await answer_page(request, query, self.store.list)

    async def get_execution(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Its status, times and outcome."""
        body = await self.store.get(id)
        if body is None:
            raise NotFound("execution", id)
        return json_response(body)


def api(routes: ExecutionRoutes) -> Api:
    """The routes."""
    api = Api(tag="executions", description="Executions: attempts of tasks on workers.")
    api.get(
        "/api/v1/executions",
        summary="List executions, newest first",
        query=ExecutionQuery,
        answers={200: list[ManagedExecution]},
    )(routes.list_executions)
    api.get("/api/v1/executions/{id}", summary="Show an execution", answers={200: ManagedExecution})(
        routes.get_execution
    )
    return api
