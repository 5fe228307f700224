"""What a batch of the scheduler's decisions becomes: which message each worker gets."""

from datetime import UTC, datetime

from schemas.agents import Assignment, Dispatch, Stop
from schemas.states import Reason
from shared.ids import new_id
from tests.unit.worker_manager.events import Script, said
from worker_manager.domain import handover

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sendable(orders: list[handover.Order]) -> list[tuple[str, str, bytes]]:
    return [(order.worker_id, order.incarnation, order.assignment) for order in orders]


def test_a_worker_gets_one_message_with_all_its_orders_in_order() -> None:
    worker, incarnation = new_id(), new_id()
    scripts = [Script(worker, incarnation) for _ in range(3)]
    orders = handover.orders([said(script.scheduled()) for script in scripts])

    [message] = handover.dispatches(sendable(orders))

    dispatch = Dispatch.model_validate_json(message.payload)
    assert (message.worker_id, message.count, dispatch.incarnation) == (worker, 3, incarnation)
    assert [one.execution_id for one in dispatch.assignments] == [script.execution_id for script in scripts]


def test_an_order_carries_the_whole_run_and_its_trace() -> None:
    script = Script(labels={"team": "web"})
    scheduled = script.scheduled(command=["echo", "ä"], type="exec", working_dir="/tmp", timeout=3.5)

    [order] = handover.orders([said(scheduled, traceparent=TRACE)])

    assert Assignment.model_validate_json(order.assignment) == Assignment(
        execution_id=script.execution_id,
        task_id=script.task_id,
        job_id=script.job_id,
        attempt=1,
        name="step",
        labels={"team": "web"},
        run=scheduled.run,
        traceparent=TRACE,
    )


def test_an_order_without_labels_has_no_field_for_them() -> None:
    [order] = handover.orders([said(Script().scheduled())])
    assert b"labels" not in order.assignment


def test_workers_and_incarnations_are_told_apart() -> None:
    worker = new_id()
    orders = handover.orders(
        [said(Script(worker, new_id()).scheduled()) for _ in range(2)] + [said(Script().scheduled())]
    )

    messages = list(handover.dispatches(sendable(orders)))

    assert [message.count for message in messages] == [1, 1, 1]
    assert [message.worker_id for message in messages].count(worker) == 2


def test_large_orders_are_spread_over_messages_below_the_limit() -> None:
    worker, incarnation = new_id(), new_id()
    big = "x" * 2000
    orders = handover.orders([said(Script(worker, incarnation).scheduled(command=big)) for _ in range(10)])

    messages = list(handover.dispatches(sendable(orders), limit=8000))

    assert sum(message.count for message in messages) == 10
    assert all(len(message.payload) < 8200 for message in messages)
    assert len(messages) == 4  # three of some 2.3 KB fit


def test_an_order_above_the_limit_goes_alone() -> None:
    worker, incarnation = new_id(), new_id()
    scripts = [Script(worker, incarnation) for _ in range(3)]
    sizes = [10, 5000, 10]
    orders = handover.orders(
        [said(script.scheduled(command="x" * size)) for script, size in zip(scripts, sizes, strict=True)]
    )

    messages = list(handover.dispatches(sendable(orders), limit=1000))

    assert [message.count for message in messages] == [1, 1, 1]


def test_an_order_that_stands_twice_in_a_batch_is_sent_once() -> None:
    scheduled = Script().scheduled()

    assert len(handover.orders([said(scheduled), said(scheduled)])) == 1


def test_stops_are_gathered_per_worker_and_reason() -> None:
    worker = new_id()
    scripts = [Script(worker) for _ in range(2)]
    other = Script().cancel()

    messages = handover.stops([said(script.cancel()) for script in scripts] + [said(other)])

    assert [message.worker_id for message in messages] == [worker, other.worker_id]
    stop = Stop.model_validate_json(messages[0].payload)
    assert stop.execution_ids == [script.execution_id for script in scripts]
    assert stop.reason is Reason.CANCELLED


def test_what_is_too_large_to_be_handed_over_has_failed() -> None:
    script = Script()
    [message] = handover.dispatches(sendable(handover.orders([said(script.scheduled())])))

    [outcome] = handover.undeliverable(message, MOMENT)

    ids = (outcome.execution_id, outcome.worker_id, outcome.incarnation, outcome.attempt)
    assert ids == (script.execution_id, script.worker_id, script.incarnation, 1)
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("failed", Reason.TOO_LARGE, None)
