"""/api/v1/workers: the workers and their drains. An agent's first heartbeat registers its worker."""

from dataclasses import dataclass

import structlog
from aiohttp import web

from scheduler.store.listing import Listing
from scheduler.store.workers import WorkerStore
from schemas.agents import Drain
from schemas.events import WorkerDraining, WorkerOffline, WorkerRegistered, WorkerResumed
from schemas.rest.workers import RegisteredWorker, RegisteredWorkerQuery, WorkerHeartbeat, WorkerRegister
from schemas.states import WorkerStatus
from shared.access import actor
from shared.bus import Bus
from shared.errors import BusUnavailable, Conflict, NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import Api, json_response
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerRoutes:
    """The handlers of the routes, over the tables. The leader learns of changes by events."""

    listing: Listing
    store: WorkerStore
    outbox: Outbox
    bus: Bus

    async def register_worker(self, request: web.Request, body: WorkerRegister) -> web.StreamResponse:
        """Registers a worker without an agent: it is listed, but no work is ever sent to it."""
        id = new_id()
        name = body.name or f"{body.type}-{id[-12:]}"
        async with idempotent(request, self.outbox) as tx:
            await self.store.insert(tx, id, type=body.type, name=name, labels=body.labels, capacity=body.capacity)
            tx.emit(
                WorkerRegistered(
                    worker_id=id,
                    type=body.type,
                    name=name,
                    labels=body.labels,
                    slots=0,
                    has_agent=False,
                    registered_by=actor(),
                )
            )
            response = tx.answer(200, await self.store.shown(tx, id), {"Location": f"/api/v1/workers/{id}"})
        return response

    async def list_workers(self, request: web.Request, query: RegisteredWorkerQuery) -> web.StreamResponse:
        """Includes offline workers. Filters are fields of a worker; several narrow the list down."""
        return await answer_page(request, query, self.listing.workers)

    async def get_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The worker's offer, and the number of executions placed there."""
        found = await self.listing.worker(id)
        if found is None:
            raise NotFound("worker", id)
        return json_response(found)

    async def beat_worker(self, _request: web.Request, id: str, body: WorkerHeartbeat) -> web.StreamResponse:
        """For workers without an agent: renews the lease, brings an offline worker back, and may change its `labels`.
        For a worker with an agent it only records the time, as the agent's own heartbeats decide."""
        async with self.outbox.transaction() as tx:
            beaten = await self.store.beat(tx, id, body.labels)
            if beaten is None:
                raise NotFound("worker", id)
            if body.labels is not None:
                tx.changes(id)
            if beaten.revived:
                tx.emit(
                    WorkerRegistered(
                        worker_id=id,
                        type=beaten.type,
                        name=beaten.name,
                        labels=beaten.labels,
                        slots=0,
                        has_agent=False,
                        draining=beaten.drained,
                    )
                )
            return json_response(await self.store.shown(tx, id))

    async def drain_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The worker gets no new work, gives back executions that have not started, and finishes the others. The drain
        lasts until `resume`, over restarts of the worker and the scheduler. 409 when the worker is offline."""
        async with self.outbox.transaction() as tx:
            worker = await self.store.lock(tx, id)
            if worker is None:
                raise NotFound("worker", id)
            again = worker.drained
            if worker.status is WorkerStatus.OFFLINE:
                raise Conflict(f"worker {id} is offline")
            if not again:
                by = actor()
                await self.store.drain(tx, id, by)
                tx.emit(WorkerDraining(worker_id=id, incarnation=worker.incarnation, ordered=True, drained_by=by))
            body = await self.store.shown(tx, id)
        if again and worker.has_agent:
            await self._tell_agent(id, Drain(exit=False))  # the leader sent the first order, which may have been lost
        return json_response(body, status=202)

    async def resume_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """The worker gets work again, an offline one when it comes back. Without a drain this changes nothing. 409 when
        the worker drains in order to stop, which cannot be undone."""
        async with self.outbox.transaction() as tx:
            worker = await self.store.lock(tx, id)
            if worker is None:
                raise NotFound("worker", id)
            if worker.drained:
                await self.store.resume(tx, id)
                tx.emit(WorkerResumed(worker_id=id, resumed_by=actor()))
            elif worker.status is WorkerStatus.DRAINING:
                raise Conflict(f"worker {id} drains in order to stop and cannot be resumed; start another worker")
            return json_response(await self.store.shown(tx, id), status=202)

    async def delete_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """409 while executions are placed there, unless the worker is offline. A running agent is told to end."""
        async with self.outbox.transaction() as tx:
            worker = await self.store.lock(tx, id)
            if worker is None:
                raise NotFound("worker", id)
            if worker.busy and worker.status is not WorkerStatus.OFFLINE:
                raise Conflict(f"{worker.busy} executions are placed on worker {id}: drain it first")
            await self.store.delete(tx, id)
            removed = WorkerOffline(
                worker_id=id, incarnation=worker.incarnation, detail="removed", removed=True, removed_by=actor()
            )
            tx.emit(removed)
        if worker.has_agent and worker.status is not WorkerStatus.OFFLINE:
            await self._tell_agent(id, Drain(exit=True))
        return web.Response(status=204)

    async def _tell_agent(self, worker_id: str, order: Drain) -> None:
        """Send an agent an order, best effort: placement does not depend on it."""
        try:
            await self.bus.send(self.bus.catalogue.agent(worker_id, "drain"), order.model_dump_json().encode())
        except BusUnavailable as error:
            _log.warning("worker.drain_unsent", worker_id=worker_id, error=str(error))


def api(routes: WorkerRoutes) -> Api:
    """The routes."""
    api = Api(tag="workers", description="Workers: where tasks are placed.")
    api.post(
        "/api/v1/workers",
        summary="Register a worker",
        body=WorkerRegister,
        answers={200: RegisteredWorker},
        creates=True,
    )(routes.register_worker)
    api.get(
        "/api/v1/workers",
        summary="List workers, newest first",
        query=RegisteredWorkerQuery,
        answers={200: list[RegisteredWorker]},
    )(routes.list_workers)
    api.get("/api/v1/workers/{id}", summary="Show a worker", answers={200: RegisteredWorker})(routes.get_worker)
    api.post(
        "/api/v1/workers/{id}/heartbeat",
        summary="Send a heartbeat for a worker",
        body=WorkerHeartbeat,
        answers={200: RegisteredWorker},
    )(routes.beat_worker)
    api.post("/api/v1/workers/{id}/drain", summary="Drain a worker", answers={202: RegisteredWorker})(
        routes.drain_worker
    )
    api.post("/api/v1/workers/{id}/resume", summary="Resume a drained worker", answers={202: RegisteredWorker})(
        routes.resume_worker
    )
    api.delete("/api/v1/workers/{id}", summary="Remove a worker", answers={204: None})(routes.delete_worker)
    return api
