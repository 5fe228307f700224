"""/api/v1/workers: worker processes, which are started, shown and stopped here."""

from dataclasses import dataclass

from aiohttp import web

from schemas.rest.enrolment import Enrolment
from schemas.rest.workers import ManagedWorker, ManagedWorkerQuery, ManagedWorkerState, StopQuery, WorkerStart
from schemas.specs import Capacity
from shared.access import actor
from shared.errors import NotFound
from shared.ids import new_id
from shared.outbox import Outbox
from shared.web import IDEMPOTENCY_KEY, Api, json_response, waiting
from shared.web.idempotency import idempotent
from shared.web.paging import answer_page
from worker_manager.enrolment import Enrolments
from worker_manager.fleet import Fleet
from worker_manager.providers.base import WorkerSpec
from worker_manager.store.enrolment import EnrolmentStore
from worker_manager.store.workers import WorkerStore


@dataclass(frozen=True, slots=True)
class WorkerRoutes:
    """The handlers of the routes, over the fleet and the workers' table."""

    fleet: Fleet
    store: WorkerStore
    outbox: Outbox
    enrolments: Enrolments
    enrolled: EnrolmentStore
    default_slots: int
    default_capacity: Capacity | None

    async def start_worker(self, request: web.Request, body: WorkerStart) -> web.StreamResponse:
        """Starts a real process, and answers once it runs. 503 when it does not come up, 429 when too many others are
        being started.

        A repeated request with the same key is answered with the first one's worker: once that runs, or as `starting`
        where another replica is starting it.
        """
        worker_id = new_id()
        spec = WorkerSpec(
            worker_id=worker_id,
            name=body.name or f"worker-{worker_id[-12:]}",
            type=body.type,
            labels=body.labels,
            slots=body.slots or self.default_slots,
            capacity=body.capacity or self.default_capacity,
        )
        location = {"Location": f"/api/v1/workers/{worker_id}"}
        with waiting(request):
            async with self.fleet.turn(request.headers.get(IDEMPOTENCY_KEY)):
                # The key is used before there is a process; the fleet keeps the answer up to date, or releases the key.
                async with idempotent(request, self.outbox) as tx:
                    tx.answer(200, await self.store.insert(tx, spec, body.provider, actor()), location)
                    tx.changes(worker_id)
                return json_response(await self.fleet.launch(spec, body.provider), headers=location)

    async def list_workers(self, request: web.Request, query: ManagedWorkerQuery) -> web.StreamResponse:
        """Those that are over included. Filters are fields of a worker; several narrow the list down."""
        return await answer_page(request, query, self.store.list)

    async def get_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """What its process does, and how it ended."""
        return json_response(_found(await self.store.get(id), id))

    async def get_worker_status(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Only its id and status."""
        return json_response(_found(await self.store.get_state(id), id))

    async def stop_worker(self, _request: web.Request, id: str, query: StopQuery) -> web.StreamResponse:
        """It takes nothing new, finishes what it has, and then its process ends. With `force` it ends now, and what
        it ran is queued again. Stopping one that is over changes nothing."""
        by = actor()
        return json_response(await (self.fleet.end(id, by) if query.force else self.fleet.drain(id, by)))

    async def revoke_worker(self, _request: web.Request, id: str) -> web.StreamResponse:
        """Wherever it runs. Within seconds NATS ends its connection and refuses it; what was placed there is lost and
        queued again. The worker can never enrol again under this id, but its machine can under another one, with a
        join token that is still valid: revoke that too if need be. Revoking it again changes nothing. 409 when the
        platform's NATS asks for no credentials."""
        _ = self.enrolments.issuer
        async with self.outbox.transaction() as tx:
            await self.enrolments.revoke(tx, id, by=actor(), detail="revoked over REST")
        return json_response(_found(await self.enrolled.enrolment(id), id))


def api(routes: WorkerRoutes) -> Api:
    """The routes."""
    api = Api(tag="workers", description="Worker processes: they run the executions.")
    api.post(
        "/api/v1/workers",
        summary="Start a worker",
        body=WorkerStart,
        answers={200: ManagedWorker},
        creates=True,
    )(routes.start_worker)
    api.get(
        "/api/v1/workers",
        summary="List workers, newest first",
        query=ManagedWorkerQuery,
        answers={200: list[ManagedWorker]},
    )(routes.list_workers)
    api.get("/api/v1/workers/{id}", summary="Show a worker", answers={200: ManagedWorker})(routes.get_worker)
    api.get("/api/v1/workers/{id}/status", summary="Show a worker's status", answers={200: ManagedWorkerState})(
        routes.get_worker_status
    )
    api.delete(
        "/api/v1/workers/{id}",
        summary="Stop a worker",
        query=StopQuery,
        answers={200: ManagedWorkerState},
    )(routes.stop_worker)
    api.post(
        "/api/v1/workers/{id}/revoke",
        summary="Revoke a worker's credentials",
        answers={200: Enrolment},
        problems=[409],
    )(routes.revoke_worker)
    return api


def _found(body: str | None, id: str) -> str:
    if body is None:
        raise NotFound("worker", id)
    return body
