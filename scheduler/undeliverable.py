"""Ends entities whose event is too large for NATS, with a reason, instead of leaving them waiting for ever.

Requests are checked against the server's limit, so this happens only if the limit is lowered later.
"""

from collections.abc import Sequence

from scheduler.store.firings import FiringStore
from schemas.events import ExecutionFinished, ScheduleFailed, ScheduleFired, ScheduleRefused, TaskScheduled
from schemas.refusals import RefusalReason
from schemas.states import ExecutionStatus, Reason
from shared.clock import now
from shared.outbox import Outbox

DETAIL = "larger than the NATS server's max_payload, which was lowered after this was submitted"


class UndeliverableOrders:
    """Handler of undeliverable `tasks.scheduled`: the execution fails before it begins, which frees its slot."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle(self, orders: Sequence[TaskScheduled]) -> None:
        async with self._outbox.transaction() as tx:
            tx.emit(*(_failed(order) for order in orders))


class UndeliverableFirings:
    """Handler of undeliverable `schedules.fired`: the firing is refused."""

    def __init__(self, firings: FiringStore, outbox: Outbox) -> None:
        self._firings = firings
        self._outbox = outbox

    async def handle(self, firings: Sequence[ScheduleFired]) -> None:
        refused = [
            ScheduleRefused(schedule_id=one.schedule_id, job_id=one.job_id, reason=RefusalReason.INVALID, detail=DETAIL)
            for one in firings
        ]
        async with self._outbox.transaction() as tx:
            failed = await self._firings.refuse(tx, refused)
            tx.emit(*(ScheduleFailed(schedule_id=one.id, detail=one.detail) for one in failed))


def _failed(order: TaskScheduled) -> ExecutionFinished:
    return ExecutionFinished(
        execution_id=order.execution_id,
        task_id=order.task_id,
        job_id=order.job_id,
        attempt=order.attempt,
        worker_id=order.worker_id,
        worker_name=order.worker_name,
        incarnation=order.incarnation,
        labels=order.labels,
        status=ExecutionStatus.FAILED,
        reason=Reason.TOO_LARGE,
        detail=DETAIL,
        finished_at=now(),
    )
