"""One service asks another over the bus: it gets an answer, a refusal, or in good time the word that nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from schemas.questions import TASK, TaskAnswer, TaskQuestion
from schemas.states import JobStatus, TaskStatus
from shared.bus import Answering, Bus, answer, ask, questions_asked
from shared.errors import NotFound, Unavailable
from shared.telemetry import Metrics

How = Callable[[TaskQuestion], Awaitable[TaskAnswer]]
Serve = Callable[[How], Awaitable[Answering]]


@pytest.fixture
async def bus(nats_url: str, namespace: str) -> AsyncIterator[Bus]:
    one = Bus(nats_url, name="test", namespace=namespace, start_deadline=10)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def serve(bus: Bus) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(how: How) -> Answering:
            answering = Answering(bus, questions_asked(Metrics()), [answer(TASK, how)])
            await answering.start()
            await bus.flush()
            stack.push_async_callback(answering.stop)
            return answering

        yield start


async def known(asked: TaskQuestion) -> TaskAnswer:
    return TaskAnswer(
        task_id=asked.task_id,
        job_id="j",
        name="build",
        status=TaskStatus.PENDING,
        attempt=1,
        job_status=JobStatus.RUNNING,
    )


async def test_a_question_is_answered_by_one_of_the_replicas(bus: Bus, serve: Serve) -> None:
    asked: list[str] = []

    async def note(question: TaskQuestion) -> TaskAnswer:
        asked.append(question.task_id)
        return await known(question)

    await serve(note)
    await serve(note)
    found = await asyncio.gather(*(ask(bus, TASK, TaskQuestion(task_id=f"t{number}")) for number in range(20)))
    assert [one.task_id for one in found] == [f"t{number}" for number in range(20)]
    assert sorted(asked) == sorted(f"t{number}" for number in range(20)), "each was answered once"


async def test_what_does_not_exist_is_not_found(bus: Bus, serve: Serve) -> None:
    async def unknown(question: TaskQuestion) -> TaskAnswer:
        raise NotFound("task", question.task_id)

    await serve(unknown)
    with pytest.raises(NotFound, match="there is no task t"):
        await ask(bus, TASK, TaskQuestion(task_id="t"))


async def test_nobody_to_answer_is_told_at_once(bus: Bus) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="the orchestrator is not available"):
            await ask(bus, TASK, TaskQuestion(task_id="t"), deadline=30)


async def test_an_owner_that_hangs_costs_no_more_than_the_deadline(bus: Bus, serve: Serve) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(question: TaskQuestion) -> TaskAnswer:
        asked.set()
        await over.wait()
        return await known(question)

    await serve(hang)
    with pytest.raises(Unavailable):
        await ask(bus, TASK, TaskQuestion(task_id="t"), deadline=0.1)
    assert asked.is_set()
    over.set()


async def test_a_slow_answer_holds_up_no_other(bus: Bus, serve: Serve) -> None:
    over = asyncio.Event()

    async def slow_for_one(question: TaskQuestion) -> TaskAnswer:
        if question.task_id == "slow":
            await over.wait()
        return await known(question)

    await serve(slow_for_one)
    slow = asyncio.create_task(ask(bus, TASK, TaskQuestion(task_id="slow"), deadline=10))
    assert (await ask(bus, TASK, TaskQuestion(task_id="quick"))).task_id == "quick"
    over.set()
    assert (await slow).task_id == "slow"


async def test_a_question_that_breaks_its_owner_is_answered_with_unavailable(bus: Bus, serve: Serve) -> None:
    async def broken(_question: TaskQuestion) -> TaskAnswer:
        raise RuntimeError("a bug")

    await serve(broken)
    with pytest.raises(Unavailable) as first:
        await ask(bus, TASK, TaskQuestion(task_id="t"), deadline=10)
    assert repr(first.value.__cause__) == "Refused('it could not be answered')"
    with pytest.raises(Unavailable):
        await ask(bus, TASK, TaskQuestion(task_id="t"), deadline=10)
