"""The client's calls to the worker manager: worker processes and executions."""

from collections.abc import AsyncIterator
from typing import Unpack

from hodei.client.calls import Fields, body_of, one, pages, query_of, quoted
from hodei.client.filters import ExecutionFilters, LogBeginning, LogPart, ManagedWorkerFilters
from hodei.client.services import Services
from hodei.client.transport import Query
from schemas.rest.executions import ExecuteRequest, ExecutionLogs, LogLineView, ManagedExecution
from schemas.rest.workers import ManagedWorker, ManagedWorkerState, WorkerStart


class RunningCalls(Services):
    """Worker processes, executions and their output."""

    async def start_worker(self, worker: WorkerStart | Fields) -> ManagedWorker:
        """Start a worker process."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/workers", body=body_of(WorkerStart, worker), creates=True
        )
        return one(ManagedWorker, answer)

    def workers(self, **filters: Unpack[ManagedWorkerFilters]) -> AsyncIterator[ManagedWorker]:
        """All workers that the worker manager started, newest first."""
        return pages(self.worker_manager, ManagedWorker, "/api/v1/workers", filters)

    async def worker(self, worker_id: str) -> ManagedWorker:
        """One worker as the worker manager sees it."""
        return one(ManagedWorker, await self.worker_manager.request("GET", f"/api/v1/workers/{quoted(worker_id)}"))

    async def stop_worker(self, worker_id: str, *, force: bool = False) -> ManagedWorkerState:
        """Drain a worker and stop it. With `force`, stop it at once; its tasks are queued again."""
        answer = await self.worker_manager.request(
            "DELETE", f"/api/v1/workers/{quoted(worker_id)}", query={"force": str(force).lower()}
        )
        return one(ManagedWorkerState, answer)

    async def execute(self, request: ExecuteRequest | Fields) -> ManagedExecution:
        """Run a command as a single execution."""
        answer = await self.worker_manager.request(
            "POST", "/api/v1/execute", body=body_of(ExecuteRequest, request), creates=True
        )
        return one(ManagedExecution, answer)

    def executions(self, **filters: Unpack[ExecutionFilters]) -> AsyncIterator[ManagedExecution]:
        """All executions that match, newest first."""
        return pages(self.worker_manager, ManagedExecution, "/api/v1/executions", filters)

    async def execution(self, execution_id: str) -> ManagedExecution:
        """One execution."""
        path = f"/api/v1/executions/{quoted(execution_id)}"
        return one(ManagedExecution, await self.worker_manager.request("GET", path))

    async def execution_logs(self, execution_id: str, **part: Unpack[LogPart]) -> ExecutionLogs:
        """One execution's output, or a part of it. It is held in memory: for a long output, use
        `execution_log_lines`."""
        path = f"/api/v1/executions/{quoted(execution_id)}/logs"
        return one(ExecutionLogs, await self.worker_manager.request("GET", path, query=query_of(part)))

    def execution_log_lines(self, execution_id: str, *, after: str | None = None) -> AsyncIterator[LogLineView]:
        """An execution's output so far, from its start (or after a line's id): line by line, as it is received, so that
        an output of any length takes little memory."""
        return self._execution_log_lines(execution_id, {"follow": "false"}, after, live=False)

    def follow_execution_logs(
        self, execution_id: str, *, after: str | None = None, **beginning: Unpack[LogBeginning]
    ) -> AsyncIterator[LogLineView]:
        """An execution's output from its start (or after a line's id), live until the execution ends."""
        return self._execution_log_lines(execution_id, query_of(beginning), after, live=True)

    async def _execution_log_lines(
        self, execution_id: str, query: Query, after: str | None, *, live: bool
    ) -> AsyncIterator[LogLineView]:
        path = f"/api/v1/executions/{quoted(execution_id)}/logs"
        async for event in self.worker_manager.stream(path, query=query, last_id=after, live=live):
            if event.event != "end":
                line = self.worker_manager.read(LogLineView, event.data)
                yield line.model_copy(update={"id": event.id})
