"""Tasks whose order the bus does not take: they fail with a reason, instead of waiting for ever.

Submissions are checked against the server's limit, so this happens only when the limit is lowered later.
"""

from collections import defaultdict
from collections.abc import Sequence

from orchestrator.domain.run import JobRun
from orchestrator.unit_of_work import UnitOfWork
from schemas.events import TaskQueued
from shared.clock import now


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
