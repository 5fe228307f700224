"""What is published of an end whose outputs are larger than the NATS server takes by now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.undeliverable import UndeliverableEnds
from schemas.events import EventData, ExecutionFinished, TaskFailed, TaskSucceeded
from schemas.states import ExecutionStatus, Reason
from shared.errors import MessageTooLarge
from shared.recall import UndeliverableOutcomes

OUTPUTS = {"TAG": "v1"}
TASK: dict[str, Any] = {"task_id": "t", "job_id": "j", "attempt": 1, "name": "a"}


class Outbox:
    """Keeps the events of each transaction."""

    def __init__(self) -> None:
        self.emitted: list[EventData] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Outbox]:
        yield self

    def emit(self, *events: EventData) -> None:
        self.emitted += events


@pytest.fixture
def outbox() -> Any:
    return Outbox()


async def test_the_end_of_a_task_is_published_without_them(outbox: Any) -> None:
    succeeded = TaskSucceeded(**TASK, outputs=OUTPUTS)
    failed = TaskFailed(**TASK, outputs=OUTPUTS, reason=Reason.BAD_OUTPUT, detail="line 2")
    await UndeliverableEnds(outbox)([succeeded, failed])
    assert outbox.emitted == [TaskSucceeded(**TASK), failed.model_copy(update={"outputs": None})]
    with pytest.raises(MessageTooLarge):
        await UndeliverableEnds(outbox)([TaskSucceeded(**TASK)])


async def test_an_outcome_that_is_published_again_without_them_has_failed(outbox: Any) -> None:
    ids = {"execution_id": "e", "task_id": "t", "job_id": "j", "attempt": 1, "worker_id": "w", "incarnation": "i"}
    outcome = {"status": "succeeded", "exit_code": 0, "finished_at": datetime(2026, 1, 1, tzinfo=UTC)}
    whole = ExecutionFinished.model_validate({**ids, **outcome, "outputs": OUTPUTS})
    await UndeliverableOutcomes(outbox).handle([whole])
    [event] = outbox.emitted
    assert (event.status, event.reason, event.outputs) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT, None)
    with pytest.raises(MessageTooLarge):
        await UndeliverableOutcomes(outbox).handle([event])
