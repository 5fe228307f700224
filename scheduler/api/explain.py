"""/api/v1/tasks/{id}/explain: why a task waits, or where it is."""

from typing import Final

from aiohttp import web

from scheduler.domain.explain import summary, verdicts
from scheduler.domain.model import Outcome, TaskState
from scheduler.listing import KnownTask, Listing
from schemas.model import rfc3339
from schemas.rest.schedules import Explanation
from schemas.states import TaskStatus
from shared.errors import NotFound
from shared.web.api import Api
from shared.web.responses import json_response

_STATUS: Final = {
    Outcome.SUCCEEDED: TaskStatus.SUCCEEDED,
    Outcome.FAILED: TaskStatus.FAILED,
    Outcome.TIMED_OUT: TaskStatus.FAILED,
    Outcome.CANCELLED: TaskStatus.CANCELLED,
    Outcome.LOST: TaskStatus.FAILED,
    Outcome.EXPIRED: TaskStatus.FAILED,
    Outcome.WITHDRAWN: TaskStatus.CANCELLED,
}


def api(listing: Listing) -> Api:
    """The route, over the tables and the rules that place."""
    api = Api(tag="queue", description="What waits for a worker, and why.")

    @api.get("/api/v1/tasks/{id}/explain", summary="Explain why a task waits", answers={200: Explanation})
    async def explain_task(_request: web.Request, id: str) -> web.StreamResponse:
        """Its position, and per worker what refuses it. The status is that of the attempt which the scheduler knows
        last; what comes after it is the orchestrator's to decide."""
        task = await listing.task(id)
        if task is None:
            raise NotFound("task", id)
        match task.state:
            case TaskState.WAITING:
                return json_response(await _waiting(listing, task))
            case TaskState.PLACED:
                text = f"is placed on worker {task.worker_id} as execution {task.execution_id}"
                return json_response(_elsewhere(task, TaskStatus.SCHEDULED, text))
            case TaskState.DONE:
                outcome = task.outcome or Outcome.FAILED
                text = f"does not wait: attempt {task.attempt} ended as {outcome.value}"
                return json_response(_elsewhere(task, _STATUS[outcome], text))

    return api


async def _waiting(listing: Listing, task: KnownTask) -> Explanation:
    answers = verdicts(task.shape, await listing.candidates())
    if task.delayed:
        position, text = None, f"is not due before {rfc3339(task.ready_at)}"
    else:
        position = await listing.position(task)
        text = summary(position, answers)
    return Explanation(
        task_id=task.task_id,
        job_id=task.job_id,
        status=TaskStatus.QUEUED,
        position=position,
        summary=text,
        workers=answers,
    )


def _elsewhere(task: KnownTask, status: TaskStatus, text: str) -> Explanation:
    return Explanation(task_id=task.task_id, job_id=task.job_id, status=status, position=None, summary=text, workers=[])
