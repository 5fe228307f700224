"""Every task can be explained: those in the queue, and those of which the scheduler has never heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from schemas.events import TaskScheduled
from schemas.questions import TASK, StepState, TaskAnswer, TaskQuestion
from schemas.states import JobStatus, TaskStatus
from shared.bus import Answering, answer, questions_asked
from shared.errors import NotFound
from shared.ids import new_id
from shared.telemetry import Metrics
from tests.integration.scheduler.conftest import House, Opener, finished, queued

Stand = Callable[[House, dict[str, TaskAnswer]], Awaitable[None]]


@pytest.fixture
async def orchestrator() -> AsyncIterator[Stand]:
    """Something that answers as the orchestrator does, out of a table."""
    async with AsyncExitStack() as stack:

        async def stand(here: House, tasks: dict[str, TaskAnswer]) -> None:
            async def how(asked: TaskQuestion) -> TaskAnswer:
                if asked.task_id not in tasks:
                    raise NotFound("task", asked.task_id)
                return tasks[asked.task_id]

            answering = Answering(here.bus, questions_asked(Metrics()), [answer(TASK, how)])
            await answering.start()
            await here.bus.flush()
            stack.push_async_callback(answering.stop)

        yield stand


def told(task_id: str, status: TaskStatus, *steps: StepState) -> TaskAnswer:
    return TaskAnswer(
        task_id=task_id,
        job_id=new_id(),
        name="deploy",
        status=status,
        attempt=1,
        job_status=JobStatus.RUNNING,
        depends_on=list(steps),
    )


async def explained(here: House, task_id: str) -> dict[str, object]:
    found = await here.get(f"/api/v1/tasks/{task_id}/explain")
    assert isinstance(found, dict)
    return found


async def test_a_task_that_waits_for_another_step_is_explained(house: Opener, orchestrator: Stand) -> None:
    here, waits, skipped = await house(), new_id(), new_id()
    build = StepState(name="build", status=TaskStatus.RUNNING, satisfied=False)
    broken = StepState(name="build", status=TaskStatus.FAILED, satisfied=False)
    await orchestrator(
        here,
        {waits: told(waits, TaskStatus.PENDING, build), skipped: told(skipped, TaskStatus.SKIPPED, broken)},
    )
    found = await explained(here, waits)
    assert (found["status"], found["position"], found["workers"]) == ("pending", None, [])
    assert found["summary"] == "waits for step build, which is running"
    assert (await explained(here, skipped))["summary"] == "does not wait: it was skipped, because step build failed"


async def test_the_next_attempt_counts_and_not_the_one_that_the_scheduler_saw_end(
    house: Opener, orchestrator: Stand
) -> None:
    here = await house()
    await here.agent(slots=1)
    one = queued()
    await orchestrator(here, {one.task_id: told(one.task_id, TaskStatus.RUNNING)})
    await here.say(one)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(finished(placed))
    await here.say(queued())
    await here.ears.wait(TaskScheduled, 2)
    assert (await explained(here, one.task_id))["status"] == "running"


async def test_only_what_does_not_exist_is_not_found(house: Opener, orchestrator: Stand) -> None:
    here = await house()
    await orchestrator(here, {})
    await here.get(f"/api/v1/tasks/{new_id()}/explain", status=404)
    await here.get("/api/v1/tasks/nonsense/explain", status=404)


async def test_without_an_answer_an_unknown_task_is_503_and_a_known_one_is_explained_from_here(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    one = queued()
    await here.say(one)
    [placed] = await here.ears.wait(TaskScheduled)
    assert (await explained(here, one.task_id))["summary"] == (
        f"is placed on worker {placed.worker_name} ({placed.worker_id}) as execution {placed.execution_id}"
    )
    problem = await here.get(f"/api/v1/tasks/{new_id()}/explain", status=503)
    assert isinstance(problem, dict)
    assert problem["detail"] == "the orchestrator is not available"
