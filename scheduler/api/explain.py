"""/api/v1/tasks/{id}/explain: why a task waits, where it runs, or how it ended."""

from dataclasses import dataclass
from typing import assert_never

from aiohttp import web

from scheduler.domain.explain import Waiting, summary, verdicts
from scheduler.domain.model import SHUN_FOR, Outcome, TaskState
from scheduler.domain.whereabouts import in_words, worker_in_words
from scheduler.store.listing import KnownTask, Listing
from schemas.model import rfc3339
from schemas.questions import TASK, TaskQuestion
from schemas.rest.schedules import Explanation
from schemas.states import TaskStatus
from shared.bus import Bus, ask
from shared.clock import now
from shared.errors import NotFound, Unavailable
from shared.web import Api, json_response


@dataclass(frozen=True, slots=True)
class ExplainRoutes:
    """The handler of the route, over the tables, the placement rules, and the orchestrator's answers."""

    listing: Listing
    bus: Bus

    async def explain_task(self, _request: web.Request, id: str) -> web.StreamResponse:
        """For a task that waits for a worker: its position, and for each worker why it does not take the task. For any
        other: the step that it waits for, where it runs, or how it ended. These facts come from the orchestrator: 503
        when it does not answer and the scheduler does not know the task."""
        task = await self.listing.task(id)
        if task is not None and task.state is TaskState.WAITING:
            return json_response(await _waiting(self.listing, task))
        try:
            told = await ask(self.bus, TASK, TaskQuestion(task_id=id))
        except (NotFound, Unavailable):
            if task is None:
                raise
            return json_response(_as_known_here(task))
        return json_response(
            Explanation(
                task_id=told.task_id,
                job_id=told.job_id,
                status=told.status,
                position=None,
                summary=in_words(told, now()),
                workers=[],
            )
        )


def api(routes: ExplainRoutes) -> Api:
    """The route."""
    api = Api(tag="queue", description="The queue: tasks that wait for a worker, and why.")
    api.get(
        "/api/v1/tasks/{id}/explain",
        summary="Explain why a task waits, where it runs, or how it ended",
        answers={200: Explanation},
    )(routes.explain_task)
    return api


def _as_known_here(task: KnownTask) -> Explanation:
    """The latest attempt in the scheduler's tables, for when the orchestrator does not answer or know the task."""
    if task.state is TaskState.PLACED:
        text = f"is placed on {worker_in_words(task.worker_id, task.worker_name)} as execution {task.execution_id}"
        status = TaskStatus.SCHEDULED
    else:
        outcome = task.outcome or Outcome.FAILED
        text = f"does not wait: attempt {task.attempt} ended as {outcome.value}"
        status = _status(outcome)
    return Explanation(task_id=task.task_id, job_id=task.job_id, status=status, position=None, summary=text, workers=[])


def _status(outcome: Outcome) -> TaskStatus:
    match outcome:
        case Outcome.SUCCEEDED:
            return TaskStatus.SUCCEEDED
        case Outcome.FAILED | Outcome.TIMED_OUT | Outcome.LOST | Outcome.EXPIRED:
            return TaskStatus.FAILED
        case Outcome.CANCELLED | Outcome.WITHDRAWN:
            return TaskStatus.CANCELLED
    assert_never(outcome)


async def _waiting(listing: Listing, task: KnownTask) -> Explanation:
    patient_until = task.ready_at + SHUN_FOR if task.shuns else None
    waiting = Waiting(
        task.task_id,
        (-task.priority, task.ready_at, task.task_id),
        task.shuns,
        rfc3339(patient_until) if patient_until is not None and patient_until > now() else None,
    )
    candidates = await listing.candidates()
    answers, others = verdicts(task.shape, candidates, waiting, offline=await listing.offline())
    if task.delayed:
        position, text = None, f"is not due before {rfc3339(task.ready_at)}"
    else:
        position = await listing.position(task)
        kept = (one.worker.name for one in candidates if one.reserved and one.reserved.task.task_id == task.task_id)
        text = summary(position, answers, others, kept=next(kept, None))
    return Explanation(
        task_id=task.task_id,
        job_id=task.job_id,
        status=TaskStatus.QUEUED,
        position=position,
        summary=text,
        workers=answers,
        others=others,
    )
