"""Events that the bus does not take: a task whose order is too large fails with a reason, instead of waiting for ever,
and a task's end that is too large is published without its outputs.

Submissions and outputs fit the server's limit, so this happens only when the limit is lowered later.
"""

from collections import defaultdict
from collections.abc import Sequence

from orchestrator.domain.run import JobRun
from orchestrator.unit_of_work import UnitOfWork
from schemas.events import TaskFailed, TaskQueued, TaskSucceeded
from shared.clock import now
from shared.errors import MessageTooLarge
from shared.outbox import Outbox


class UndeliverableTasks:
    """Handler of undeliverable `tasks.queued`."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work

    async def __call__(self, orders: Sequence[TaskQueued]) -> None:
        moment = now()
        by_job: dict[str, list[TaskQueued]] = defaultdict(list)
        for order in orders:
            by_job[order.job_id].append(order)

        def refuse(run: JobRun) -> None:
            for order in by_job[run.job.id]:
                run.refuse(order.task_id, order.attempt, moment)

        await self._work.change(by_job, refuse, moment)


class UndeliverableEnds:
    """Handler of undeliverable `tasks.succeeded` and `tasks.failed`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, ends: Sequence[TaskSucceeded | TaskFailed]) -> None:
        """Publish them without their outputs. Raises MessageTooLarge for one without any."""
        if not all(one.outputs for one in ends):
            raise MessageTooLarge(f"the end of task {', '.join(one.task_id for one in ends)} is too large")
        async with self._outbox.transaction() as tx:
            tx.emit(*(one.model_copy(update={"outputs": None}) for one in ends))
