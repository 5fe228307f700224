"""What the NATS server does not take in one message, or not with its outputs, because its limit was lowered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.cloudevents import CloudEvent, decode_batch, encode_batch, travelling_bytes
from schemas.events import EventData, ExecutionFinished
from schemas.states import ExecutionStatus, Reason
from schemas.subjects import Catalogue
from shared.bus.bus import LEAST_PAYLOAD
from shared.errors import MessageTooLarge
from shared.outbox.messages import HEAD_ROOM
from worker_manager.agent.delivery import Delivery
from worker_manager.agent.identity import Identity
from worker_manager.agent.spool import Message, Spool

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CATALOGUE = Catalogue("test")
LARGE = {"TAG": "x" * 10_000}


class Bus:
    """Takes messages of at most 5,000 bytes."""

    connected = True
    catalogue = CATALOGUE

    def __init__(self) -> None:
        self.taken: dict[str, CloudEvent[EventData]] = {}

    async def publish(self, subject: str, payload: bytes, *, msg_id: str, deadline: float = 5.0) -> None:
        if len(payload) > 5_000:
            raise MessageTooLarge(subject)
        [self.taken[msg_id]] = decode_batch(CATALOGUE.event_type(subject), payload)

    def on_change(self, _listener: Callable[[bool], None]) -> Callable[[], None]:
        return lambda: None


def outcome(name: str, **fields: Any) -> ExecutionFinished:
    ids = {"execution_id": name, "task_id": "t", "job_id": "j", "attempt": 1, "worker_id": "w", "incarnation": "i"}
    return ExecutionFinished.model_validate(
        {**ids, "status": "succeeded", "exit_code": 0, "finished_at": NOON, **fields}
    )


def message(*outcomes: ExecutionFinished) -> Message:
    signed = [Identity("w", "worker", "default").sign(one, time=NOON) for one in outcomes]
    subject = CATALOGUE.event(ExecutionFinished.event_type)
    return Message(
        subject, "m", encode_batch(signed), essential=True, reports=tuple(one.execution_id for one in outcomes)
    )


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def delivery(bus: Bus, tmp_path: Path) -> Delivery:
    return Delivery(
        bus, worker_id="w", reports=Spool(tmp_path / "r", limit=1 << 20), logs=Spool(tmp_path / "l", limit=1 << 20)
    )


async def test_a_batch_that_is_too_large_travels_event_by_event(bus: Bus, delivery: Delivery) -> None:
    outcomes = [outcome(f"e{number}", outputs={"TAG": "x" * 2_000}) for number in range(3)]
    for one in outcomes:
        delivery.hold(one.execution_id)
    assert await delivery.deliver(message(*outcomes))
    assert {key: event.data for key, event in bus.taken.items()} == {f"m-{n}": one for n, one in enumerate(outcomes)}
    assert (delivery.unsettled, delivery.lost) == (set(), 0)


async def test_an_outcome_that_is_too_large_arrives_without_its_outputs(bus: Bus, delivery: Delivery) -> None:
    succeeded = outcome("e0", outputs=LARGE)
    failed = outcome("e1", status="failed", exit_code=3, reason="exit_code", outputs=LARGE)
    assert await delivery.deliver(message(succeeded, failed, outcome("e2")))
    first, second, third = (event.data for event in bus.taken.values())
    assert isinstance(first, ExecutionFinished)
    assert isinstance(second, ExecutionFinished)
    assert (first.status, first.reason, first.outputs) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT, None)
    assert (second.status, second.reason, second.outputs) == (ExecutionStatus.FAILED, Reason.EXIT_CODE, None)
    assert first.detail == second.detail
    assert "outputs were dropped: they are larger than the NATS server takes" in (first.detail or "")
    assert third == outcome("e2")


@pytest.mark.parametrize("outputs", [{"A": "\x01" * 65_533}, {f"{number:04x}": "" for number in range(10_922)}])
def test_the_largest_outputs_travel_with_every_server_that_the_platform_works_with(outputs: dict[str, str]) -> None:
    assert sum(len(name) + len(value) + 2 for name, value in outputs.items()) > 65_500
    whole = outcome("e" * 36, outputs=outputs, worker_name="x" * 200, detail="x" * 500)
    assert travelling_bytes(whole) < LEAST_PAYLOAD - HEAD_ROOM


async def test_what_is_too_large_without_outputs_is_given_up_and_the_rest_arrives(bus: Bus, delivery: Delivery) -> None:
    delivery.hold("e0")
    assert not await delivery.deliver(message(outcome("e0", detail="x" * 6_000), outcome("e1")))
    assert [event.subject for event in bus.taken.values()] == ["e1"]
    assert (delivery.unsettled, delivery.lost) == (set(), 1)
