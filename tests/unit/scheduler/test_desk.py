"""What every piece of news does to the leader's memory, in whatever order and however often it comes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.domain import priorities
from scheduler.domain.changes import Changes
from scheduler.domain.desk import Desk
from scheduler.domain.model import Outcome, TaskState
from scheduler.domain.priorities import JobPriority, Priorities
from schemas.events import (
    EventData,
    ExecutionCancelRequested,
    ExecutionLost,
    JobReprioritized,
    TaskExpired,
    TaskQueued,
    TaskWithdrawn,
    WorkerDraining,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerStopped,
    WorkerUnhealthy,
)
from schemas.specs import Priority, Resources
from schemas.states import Reason, WorkerProcessStatus, WorkerStatus
from tests.unit.scheduler.making import LEASE, at, beat, cancel, desk, finished, queued, returned, settle


def with_worker(slots: int = 2, prefetch: int = 0) -> Desk:
    one = desk()
    one.heartbeat(beat(slots=slots, prefetch=prefetch), at(0))
    settle(one)
    return one


def kinds(changes: Changes) -> list[type[EventData]]:
    return [type(event) for event in changes.events]


def test_a_task_that_is_placed_at_once_is_written_once_as_placed() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    changes = settle(one)
    assert [(t.task_id, t.state) for t in changes.arrivals] == [("a", TaskState.PLACED)]
    assert changes.updates == []
    assert [t.worker_id for t in changes.scheduled] == ["w1"]


def test_an_attempt_that_comes_again_changes_nothing() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    settle(one)
    one.arrive(queued("a"), at(1))
    assert not settle(one)


def test_what_the_tables_refuse_gives_its_room_back() -> None:
    one = with_worker(slots=1)
    one.arrive(queued("over"), at(0))
    one.arrive(queued("waits", queued_at=1), at(0))
    one.place(at(0))
    changes = one.take()
    assert [t.task_id for t in changes.scheduled] == ["over"]
    assert one.written(changes, ["over"]) == 1
    assert [t.task_id for t in settle(one).scheduled] == ["waits"]


def test_the_wanted_execution_id_is_used_once() -> None:
    one = with_worker()
    one.arrive(queued("a", execution_id="wanted"), at(0))
    placed = settle(one).scheduled[0]
    assert placed.execution_id == "wanted"
    one.give_back(returned(placed), at(1))
    assert settle(one).scheduled[0].execution_id not in (None, "wanted")


def test_a_finish_frees_the_slot_for_the_next() -> None:
    one = with_worker(slots=1)
    one.arrive(queued("a"), at(0))
    one.arrive(queued("b", queued_at=1), at(0))
    placed = settle(one).scheduled
    assert [t.task_id for t in placed] == ["a"]
    one.finish(finished(placed[0]))
    changes = settle(one)
    assert [(t.task_id, t.outcome) for t in changes.updates if t.state is TaskState.DONE] == [("a", Outcome.SUCCEEDED)]
    assert [t.task_id for t in changes.scheduled] == ["b"]


def test_a_finish_that_comes_again_frees_nothing_twice() -> None:
    one = with_worker(slots=1)
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    end = finished(placed)
    one.finish(end)
    settle(one)
    one.finish(end)
    changes = settle(one)
    assert changes.finished == [end], "what is unknown is settled by the tables"
    worker = one.roster.get("w1")
    assert worker is not None
    assert worker.busy == 0


def test_a_higher_attempt_takes_the_place_of_a_lower_one_and_never_the_other_way() -> None:
    one = with_worker(slots=2)
    one.arrive(queued("a"), at(0))
    first = settle(one).scheduled[0]
    one.arrive(queued("a", attempt=2), at(1))
    second = settle(one).scheduled[0]
    assert second.attempt == 2
    one.arrive(queued("a", attempt=1), at(2))
    one.finish(finished(first))
    assert not settle(one)
    worker = one.roster.get("w1")
    assert worker is not None
    assert list(worker.placed) == [second.execution_id]
    assert one.totals.stale == 2


def test_a_returned_execution_is_placed_again_elsewhere_under_a_new_id() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    given_back = returned(placed)
    one.heartbeat(beat(draining=True), at(1))
    one.heartbeat(beat("w2", incarnation="i2", slots=1), at(1))
    one.give_back(given_back, at(1))
    again = settle(one).scheduled[0]
    assert (again.task_id, again.attempt, again.worker_id) == ("a", 1, "w2")
    assert again.execution_id != given_back.execution_id
    one.give_back(given_back, at(2))
    assert not settle(one)


def test_cancelling_a_waiting_task_withdraws_it() -> None:
    one = desk()
    one.arrive(queued("a"), at(0))
    settle(one)
    one.cancel(cancel("a"))
    changes = settle(one)
    assert kinds(changes) == [TaskWithdrawn]
    assert len(one.queue) == 0


def test_cancelling_a_placed_task_asks_its_worker_once() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    one.cancel(cancel("a"))
    changes = settle(one)
    assert kinds(changes) == [ExecutionCancelRequested]
    assert [t.cancel_reason for t in changes.updates] == [Reason.CANCELLED]
    one.cancel(cancel("a"))
    assert not settle(one)
    one.give_back(returned(placed), at(1))
    assert kinds(settle(one)) == [TaskWithdrawn], "given back unstarted, it need not run at all"


def test_what_should_have_ended_and_still_runs_is_told_again() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    assert placed.execution_id is not None
    assert not one.heartbeat(beat(running=[placed.execution_id]), at(1))
    one.cancel(cancel("a"))
    settle(one)
    told = one.heartbeat(beat(running=[placed.execution_id]), at(2))
    assert (told.stopped, told.fenced, told.sought) == ({Reason.CANCELLED: [placed.execution_id]}, [], [])
    assert not one.heartbeat(beat(reporting=[placed.execution_id]), at(3)), "it has ended"
    assert not settle(one)


def test_what_a_worker_does_not_name_for_a_lease_is_asked_for_and_lost_when_it_is_over() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    assert placed.execution_id is not None
    assert not one.heartbeat(beat(running=[placed.execution_id]), at(100))
    assert not one.heartbeat(beat(), at(101))
    assert not one.heartbeat(beat(over=[placed.execution_id]), at(102)), "its outcome may still be under way"
    assert not settle(one)
    assert one.heartbeat(beat(), at(101 + LEASE)).sought == [placed.execution_id]
    assert not one.heartbeat(beat(), at(101.5 + LEASE)), "it is asked for once in each lease"
    assert not one.heartbeat(beat(over=[placed.execution_id]), at(102 + LEASE))
    changes = settle(one)
    assert kinds(changes) == [ExecutionLost]
    assert [t.outcome for t in changes.updates] == [Outcome.LOST]
    assert not one.heartbeat(beat(), at(103 + LEASE))


def test_what_is_named_again_is_not_asked_for() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    assert placed.execution_id is not None
    one.heartbeat(beat(), at(1))
    one.heartbeat(beat(running=[placed.execution_id]), at(10))
    assert not one.heartbeat(beat(), at(1 + LEASE))
    assert one.heartbeat(beat(), at(1 + 2 * LEASE)).sought == [placed.execution_id]


def test_what_never_reached_its_worker_is_not_lost() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    settle(one)
    asked = [one.heartbeat(beat(over=[]), at(moment)).sought for moment in range(1, 1000, 3)]
    assert 50 <= sum(map(bool, asked)) <= 1000 / LEASE
    assert not settle(one)


def test_an_outcome_that_comes_again_after_its_first_reader_died_is_waited_for() -> None:
    one = Desk(lease=LEASE, patience=75, new_id=lambda: "x", born=at(-100))
    one.heartbeat(beat(), at(0))
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    assert not any(one.heartbeat(beat(over=["x"]), at(moment)) for moment in range(1, 75, 3))
    one.finish(finished(placed))
    assert [t.outcome for t in settle(one).updates] == [Outcome.SUCCEEDED]


def test_nothing_is_missed_while_news_is_late() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    assert placed.execution_id is not None
    for moment in range(1, 100, 3):
        assert not one.heartbeat(beat(over=[placed.execution_id]), at(moment), timely=False)
    assert not one.heartbeat(beat(), at(101)), "it is timely only now"
    assert not settle(one)


def test_a_drain_that_the_agent_did_not_hear_is_told_again() -> None:
    one = with_worker()
    one.drain(WorkerDraining(worker_id="w1", ordered=True))
    assert one.heartbeat(beat(), at(1)).drain
    assert not one.heartbeat(beat(draining=True), at(2))


def test_cancelling_what_is_unknown_is_settled_by_the_tables() -> None:
    one = desk()
    one.cancel(cancel("a"))
    assert [event.task_id for event in settle(one).cancelled] == ["a"]


def test_waiting_too_long_expires_a_task_even_while_it_is_delayed() -> None:
    one = desk()
    one.arrive(queued("a", deadline=5), at(0))
    one.arrive(queued("b", run_at=100, deadline=6), at(0))
    settle(one)
    assert one.due_in(at(0)) == 5
    one.tick(at(5))
    assert kinds(settle(one)) == [TaskExpired]
    one.tick(at(6))
    assert kinds(settle(one)) == [TaskExpired]
    assert one.due_in(at(6)) is None


def test_a_delayed_task_is_placed_when_it_is_due() -> None:
    one = with_worker()
    one.arrive(queued("a", run_at=10), at(0))
    assert settle(one).scheduled == []
    assert one.due_in(at(0)) == 10
    one.tick(at(10))
    assert [t.task_id for t in settle(one, at_second=10).scheduled] == ["a"]


def test_an_unknown_worker_is_registered_by_its_first_heartbeat_only() -> None:
    one = desk()
    one.heartbeat(beat(), at(0))
    assert kinds(settle(one)) == [WorkerRegistered]
    one.heartbeat(beat(), at(1))
    assert not settle(one)


def test_a_lost_lease_loses_what_is_placed_there_and_the_worker_may_come_back() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    one.heartbeat(beat(running=[placed.execution_id or ""]), at(5))
    one.tick(at(5 + LEASE - 0.1))
    assert not settle(one)
    one.tick(at(5 + LEASE))
    changes = settle(one)
    assert kinds(changes) == [ExecutionLost, WorkerOffline]
    assert [(t.task_id, t.outcome) for t in changes.updates] == [("a", Outcome.LOST)]
    assert one.due_in(at(30)) is None
    assert one.heartbeat(beat(running=[placed.execution_id or ""]), at(30)).fenced == [placed.execution_id]
    assert kinds(settle(one)) == [WorkerRegistered]


def test_what_waited_while_the_only_worker_was_lost_is_placed_when_it_comes_back_as_it_was() -> None:
    one = with_worker()
    one.tick(at(LEASE))
    assert kinds(settle(one)) == [WorkerOffline]
    one.arrive(queued("late"), at(LEASE + 1))
    assert settle(one).scheduled == []

    one.heartbeat(beat(slots=2), at(LEASE + 2))

    assert [task.task_id for task in settle(one).scheduled] == ["late"]


def test_a_new_incarnation_loses_what_the_old_one_had_and_the_old_one_is_heard_no_more() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    one.heartbeat(beat(incarnation="i2"), at(1))
    changes = settle(one)
    assert kinds(changes) == [ExecutionLost, WorkerOffline, WorkerRegistered]
    assert one.heartbeat(beat(incarnation="i1", running=[placed.execution_id or ""]), at(2)).fenced == [
        placed.execution_id
    ]
    worker = one.roster.get("w1")
    assert worker is not None
    assert worker.incarnation == "i2"


def test_an_outcome_that_a_restarted_worker_is_about_to_report_is_waited_for() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    one.arrive(queued("b"), at(0))
    ended, running = settle(one).scheduled
    one.heartbeat(beat(incarnation="i2", reporting=[ended.execution_id or ""]), at(1))
    changes = settle(one)
    assert [event.task_id for event in changes.events if isinstance(event, ExecutionLost)] == [running.task_id]
    assert [(task.task_id, task.incarnation) for task in changes.updates if task.state is TaskState.PLACED] == [
        (ended.task_id, "i2")
    ]
    one.finish(finished(ended))
    assert ended.outcome is Outcome.SUCCEEDED


def test_a_worker_that_leaves_takes_nothing_new_and_may_still_report() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    one.heartbeat(beat(leaving=True), at(1))
    one.arrive(queued("b"), at(1))
    changes = settle(one)
    assert kinds(changes) == [WorkerOffline]
    assert changes.scheduled == []
    one.finish(finished(placed))
    settle(one)
    one.tick(at(100))
    assert not settle(one)


def stopped(*, clean: bool) -> WorkerStopped:
    return WorkerStopped(worker_id="w1", status=WorkerProcessStatus.FAILED, clean=clean, detail="killed by signal 9")


def test_a_process_that_died_loses_its_work_at_once_and_no_straggler_revives_it() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    settle(one)
    one.stopped(stopped(clean=False), at(2).wall, at(2))
    assert kinds(settle(one)) == [ExecutionLost, WorkerOffline]
    one.heartbeat(beat(), at(3))
    worker = one.roster.get("w1")
    assert worker is not None
    assert worker.status is WorkerStatus.OFFLINE


def test_old_news_of_a_stop_does_not_touch_a_worker_started_since() -> None:
    one = desk()
    one.heartbeat(beat(), at(10))
    settle(one)
    one.stopped(stopped(clean=False), at(10).wall - timedelta(seconds=1), at(11))
    assert not settle(one)


def test_what_just_ended_is_not_fenced_and_what_was_never_placed_is() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    placed = settle(one).scheduled[0]
    one.finish(finished(placed))
    settle(one)
    assert one.heartbeat(beat(reporting=[placed.execution_id or ""]), at(1)).fenced == []
    assert one.heartbeat(beat(running=["stranger"]), at(1)).fenced == ["stranger"]


def test_nothing_is_fenced_while_too_little_is_known() -> None:
    one = Desk(lease=LEASE, patience=LEASE, new_id=lambda: "x", born=at(0))
    assert one.heartbeat(beat(running=["stranger"]), at(LEASE - 1)).fenced == []
    assert one.heartbeat(beat(running=["stranger"]), at(LEASE)).fenced == ["stranger"]


def test_a_desk_made_anew_knows_what_the_old_one_knew_and_gives_every_lease_its_time() -> None:
    old = with_worker(slots=1)
    old.arrive(queued("a"), at(0))
    old.arrive(queued("b", queued_at=1), at(0))
    settle(old)
    new = desk()
    workers = list(old.roster)
    for worker in workers:
        worker.placed, worker.busy, worker.used = {}, 0, (0, 0, 0)
    new.restore(old.attempts.tasks.values(), workers, at(1000))
    assert not settle(new, at_second=1000)
    new.tick(at(1000 + LEASE - 1))
    assert not settle(new)
    new.tick(at(1000 + LEASE))
    assert kinds(settle(new)) == [ExecutionLost, WorkerOffline]


def test_a_new_leader_prefetches_nothing_on_the_word_of_the_tables() -> None:
    old = with_worker(slots=1, prefetch=64)
    [worker] = old.roster
    new = desk()
    new.restore([], [worker], at(0))
    for number in range(9):
        new.arrive(queued(f"t{number}"), at(0))
    assert len(settle(new).scheduled) == 1
    new.heartbeat(beat(slots=1, prefetch=3), at(1))
    assert len(settle(new).scheduled) == 3


def test_what_a_full_worker_gives_back_does_not_return_to_it_before_its_next_word() -> None:
    one = with_worker(slots=1, prefetch=8)
    for number in range(9):
        one.arrive(queued(f"t{number}", queued_at=number), at(0))
    _, *too_many = settle(one).scheduled
    for task in list(too_many):
        one.give_back(returned(task), at(1))
        assert settle(one).scheduled == [], "its offer of room was overtaken"
    one.heartbeat(beat(slots=1), at(2))
    assert settle(one).scheduled == []
    one.offer(beat(slots=1, prefetch=2), at(3))
    assert len(settle(one).scheduled) == 2


def test_each_of_many_that_no_heartbeat_names_has_its_turn_to_be_asked_about() -> None:
    one = with_worker(slots=5)
    for number in range(5):
        one.arrive(queued(f"t{number}"), at(0))
    placed = {task.execution_id for task in settle(one).scheduled}
    one.heartbeat(beat(slots=5), at(1))
    rounds = [[task.execution_id for task in one.unnamed(at(9), after=5, limit=2)] for _ in range(3)]
    assert {id for ids in rounds for id in ids} == placed
    assert rounds[2][1] == rounds[0][0], "and then from the first again"


def test_a_changed_offer_lets_more_be_placed() -> None:
    one = with_worker(slots=1)
    for number in range(3):
        one.arrive(queued(f"t{number}"), at(0))
    assert len(settle(one).scheduled) == 1
    one.offer(beat(slots=1, prefetch=1), at(1))
    assert len(settle(one).scheduled) == 1


def changed(number: int, priority: Priority, job_id: str = "job") -> JobPriority:
    said = JobReprioritized(job_id=job_id, priority=priority, previous="normal", priority_changes=number)
    change = JobPriority.of(said)
    assert change is not None
    return change


def restarted(one: Desk, priorities: Iterable[JobPriority]) -> Desk:
    """The next leader's desk, from rows as this one wrote them."""
    following = desk()
    rows = [replace(task, ticket=0, ready=False) for task in one.attempts.tasks.values()]
    following.restore(rows, [], at(0), priorities=priorities)
    return following


STORY: list[JobPriority | TaskQueued] = [
    queued("a", job_id="job"),
    changed(1, "high"),
    queued("b", job_id="job", priority="high", priority_changes=1, run_at=50),
    changed(2, "low"),
    queued("c", job_id="job", priority="low", priority_changes=2),
    queued("a", job_id="job", attempt=2, priority="low", priority_changes=2),
    queued("other"),
]


@given(st.permutations(range(7)), st.lists(st.integers(0, 6), max_size=8), st.integers(0, 14))
def test_the_last_change_of_a_priority_holds_in_whatever_order_events_come(
    order: list[int], repeated: list[int], restart: int
) -> None:
    """Repeated events, later steps, retries and a new leader included."""
    one = desk()
    stored: dict[str, JobPriority] = {}
    for step, index in enumerate([*order, *repeated]):
        if step == restart:
            one = restarted(one, stored.values())
        said = STORY[index]
        if isinstance(said, JobPriority):
            one.reprioritize([said], at(0))
        else:
            one.arrive(said, at(0))
        changes = settle(one)
        stored |= {change.job_id: change for change in changes.priorities}
        assert {task.task_id: task.priority for task in (*changes.arrivals, *changes.updates)}.items() <= {
            task.task_id: task.priority for task in one.attempts.tasks.values()
        }.items()
    assert {id: task.priority for id, task in one.attempts.tasks.items()} == {"a": 0, "b": 0, "c": 0, "other": 1}
    one.heartbeat(beat(slots=4), at(60))
    one.tick(at(60))
    assert next(task.task_id for task in settle(one, at_second=60).scheduled) == "other"


def test_a_changed_priority_is_written_with_the_tasks_that_wait_and_those_that_may_come_back() -> None:
    one = with_worker(slots=1)
    for task_id in ("runs", "waits"):
        one.arrive(queued(task_id, job_id="job"), at(0))
    one.arrive(queued("other", queued_at=1), at(0))
    settle(one)
    one.reprioritize([changed(1, "low")], at(1))
    changes = settle(one)
    assert [(change.job_id, change.rank, change.changes) for change in changes.priorities] == [("job", 0, 1)]
    assert {task.task_id: (task.state, task.priority) for task in changes.updates} == {
        "runs": (TaskState.PLACED, 0),
        "waits": (TaskState.WAITING, 0),
    }
    one.reprioritize([changed(1, "low")], at(2))
    assert not settle(one), "it comes again"


def test_a_change_that_arrives_makes_room_go_to_another_task_in_the_same_turn() -> None:
    one = with_worker(slots=1)
    for second, task_id in enumerate(("runs", "first", "second")):
        one.arrive(queued(task_id, queued_at=second), at(0))
    [placed] = settle(one).scheduled
    one.reprioritize([changed(1, "critical", "job-of-second")], at(1))
    one.finish(finished(placed))
    assert [task.task_id for task in settle(one).scheduled] == ["second"]


def test_the_priorities_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priorities, "MAX_REMEMBERED", 2)
    known = Priorities()
    known.learn([changed(1, "high", "a"), changed(1, "high", "b")])
    known.learn([changed(2, "low", "a"), changed(1, "high", "c")])
    assert [known.rank(job_id, 1) for job_id in "abc"] == [0, 1, 2]


@given(st.permutations(range(1, 7)), st.sampled_from([0, 3]))
def test_in_whatever_order_heartbeats_and_offers_arrive_the_newest_counts(order: list[int], offers_from: int) -> None:
    one = with_worker(slots=1)
    for second, number in enumerate(order, start=1):
        news = beat(slots=number, prefetch=10 * number, draining=number == 3, sequence=number)
        (one.offer if number > offers_from else one.heartbeat)(news, at(second))
    worker = one.roster.get("w1")
    assert worker is not None
    assert (worker.slots, worker.prefetch, worker.draining) == (6, 60, False)
    newest_first = [max(order[: i + 1]) for i in range(len(order))]
    assert one.totals.stale == len(order) - len(set(newest_first)), "each one that came too late is counted"


def test_a_goodbye_that_was_overtaken_counts() -> None:
    one = with_worker(slots=1)
    one.offer(beat(slots=1, sequence=9), at(1))
    one.heartbeat(beat(leaving=True, sequence=8), at(1))
    assert WorkerOffline in kinds(settle(one))


def test_a_heartbeat_that_was_overtaken_still_tells_of_what_is_over() -> None:
    one = with_worker(slots=1)
    one.arrive(queued("a"), at(0))
    [task] = settle(one).scheduled
    assert task.execution_id is not None
    sought = [id for second in range(1, 30) for id in one.heartbeat(beat(sequence=second), at(second)).sought]
    assert task.execution_id in sought
    one.offer(beat(sequence=100), at(30))
    one.heartbeat(beat(sequence=99, over=[task.execution_id]), at(30))
    assert ExecutionLost in kinds(settle(one))


def test_the_numbers_of_a_new_incarnation_begin_anew() -> None:
    one = with_worker(slots=1)
    one.heartbeat(beat(sequence=50), at(1))
    one.heartbeat(beat(incarnation="i2", slots=3, sequence=1), at(2))
    worker = one.roster.get("w1")
    assert worker is not None
    assert (worker.slots, one.totals.stale) == (3, 0)


def test_an_agent_that_does_not_count_is_heard_in_the_order_of_arrival() -> None:
    one = with_worker(slots=1)
    for slots in (4, 2):
        one.heartbeat(beat(slots=slots), at(slots))
    worker = one.roster.get("w1")
    assert worker is not None
    assert (worker.slots, one.totals.stale) == (2, 0)


def test_resources_are_given_back() -> None:
    one = desk()
    one.heartbeat(beat(slots=5, capacity=Resources(cpu_m=1000)), at(0))
    for name in ("a", "b"):
        one.arrive(queued(name, resources=Resources(cpu_m=600)), at(0))
    placed = settle(one).scheduled
    assert [t.task_id for t in placed] == ["a"]
    one.finish(finished(placed[0]))
    assert [t.task_id for t in settle(one).scheduled] == ["b"]


def drains(changes: Changes) -> list[str | None]:
    return [event.incarnation for event in changes.events if isinstance(event, WorkerDraining)]


def test_an_agent_that_begins_to_drain_is_told_of_once() -> None:
    one = with_worker()
    one.offer(beat(draining=True), at(1))
    changes = settle(one)
    assert drains(changes) == ["i1"]
    assert [worker.status for worker in changes.workers] == [WorkerStatus.DRAINING]
    one.heartbeat(beat(draining=True), at(2))
    [told] = [event for event in changes.events if isinstance(event, WorkerDraining)]
    assert not one.drain(told), "our own word"
    assert not settle(one)


def test_a_drain_that_was_asked_for_is_not_told_of_again_when_the_agent_obeys() -> None:
    one = with_worker()
    assert one.drain(WorkerDraining(worker_id="w1", incarnation="i1", ordered=True))
    one.offer(beat(draining=True), at(1))
    assert drains(settle(one)) == []


def test_a_drain_that_the_agent_began_is_over_with_its_process() -> None:
    one = with_worker()
    one.offer(beat(draining=True), at(1))
    [told] = [event for event in settle(one).events if isinstance(event, WorkerDraining)]
    one.heartbeat(beat(draining=True, leaving=True), at(2))
    one.heartbeat(beat(incarnation="i2"), at(3))
    assert not one.drain(told)
    [worker] = one.roster
    assert worker.status is WorkerStatus.ONLINE
    one.offer(beat(incarnation="i2", draining=True), at(4))
    assert drains(settle(one)) == ["i2"]


def test_a_worker_that_is_first_met_draining_is_told_of() -> None:
    one = desk()
    one.heartbeat(beat(draining=True), at(0))
    assert kinds(settle(one)) == [WorkerRegistered, WorkerDraining]


def test_a_task_that_states_no_resources_goes_by_slots_alone() -> None:
    one = desk()
    one.heartbeat(beat(slots=3, capacity=Resources(cpu_m=1000)), at(0))
    one.arrive(queued("a", resources=Resources(cpu_m=600)), at(0))
    settle(one)
    one.heartbeat(beat(slots=3, capacity=Resources(cpu_m=500)), at(1))  # less than is claimed there
    one.arrive(queued("states some", resources=Resources(cpu_m=1)), at(1))
    one.arrive(queued("states none", queued_at=1), at(1))
    assert [t.task_id for t in settle(one).scheduled] == ["states none"]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["arrive", "finish", "return", "cancel", "beat", "renew", "lose"]), st.integers(0, 4)),
    max_size=40,
)


@given(ACTIONS)
def test_room_is_never_miscounted_whatever_happens(actions: list[tuple[str, int]]) -> None:
    one = desk()
    last: dict[str, object] = {}
    for step, (action, number) in enumerate(actions):
        now, task_id, worker_id = at(step), f"t{number}", f"w{number % 2}"
        match action:
            case "arrive":
                one.arrive(queued(task_id, attempt=1 + step // 8), now)
            case "finish" if task_id in last:
                one.finish(finished(last[task_id]))  # type: ignore[arg-type]
            case "return" if task_id in last:
                one.give_back(returned(last[task_id]), now)  # type: ignore[arg-type]
            case "cancel":
                one.cancel(cancel(task_id, attempt=1 + number % 3))
            case "beat":
                one.heartbeat(beat(worker_id, incarnation="i1", slots=1 + number), now)
            case "renew":
                one.heartbeat(beat(worker_id, incarnation=f"i{step}", slots=2), now)
            case "lose":
                one.tick(at(step + (LEASE if number == 0 else 0)))
        changes = settle(one, at_second=step)
        for placed in changes.scheduled:
            last[placed.task_id] = finished_copy(placed)
        held = [t for t in one.attempts.tasks.values() if t.state is TaskState.PLACED]
        assert sorted(t.execution_id or "" for t in held) == sorted(id for w in one.roster for id in w.placed)
        assert sum(t.state is TaskState.WAITING for t in one.attempts.tasks.values()) == len(one.queue)
        for worker in one.roster:
            assert worker.busy == len(worker.placed)
            assert worker.used == (0, 0, 0)


def finished_copy(placed: object) -> object:
    """What was placed, as it was then: the desk goes on changing its own."""
    return copy.copy(placed)


def test_an_unhealthy_worker_gets_nothing_until_it_has_recovered() -> None:
    one = with_worker()
    one.offer(beat(unhealthy="no process can be started"), at(1))
    one.arrive(queued("t1"), at(1))
    changes = settle(one)
    [worker] = changes.workers
    assert (worker.status, worker.reason) == (WorkerStatus.UNHEALTHY, "no process can be started")
    assert kinds(changes) == [WorkerUnhealthy]
    one.heartbeat(beat(unhealthy="the disk is full"), at(2))
    changes = settle(one)
    assert ([worker.reason for worker in changes.workers], kinds(changes)) == (["the disk is full"], [])
    one.heartbeat(beat(), at(3))
    changes = settle(one)
    assert kinds(changes) == [WorkerRecovered]
    assert [task.worker_id for task in changes.scheduled] == ["w1"]


def test_what_an_unhealthy_worker_gives_back_is_the_same_attempt_and_is_not_sent_there_again() -> None:
    one = with_worker()
    one.arrive(queued("t1"), at(1))
    [placed] = settle(one).scheduled
    one.offer(beat(unhealthy="no process can be started"), at(2))
    one.give_back(returned(placed), at(2))
    assert settle(one).scheduled == []
    one.heartbeat(beat("w2"), at(3))
    [again] = settle(one).scheduled
    assert (again.worker_id, again.attempt) == ("w2", placed.attempt)
