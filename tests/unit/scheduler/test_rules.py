"""Placing and explaining go by the same rules: what one says of a worker, the other does."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import event, given
from hypothesis import strategies as st

from scheduler.domain.explain import Candidate, Waiting, refusal, verdicts
from scheduler.domain.model import Shape, Task
from scheduler.domain.placement import Lane, Snapshot, place
from scheduler.domain.reservations import held_room
from scheduler.domain.room import Spot
from scheduler.domain.roster import Roster
from scheduler.domain.rules import RULES, SHAPE_RULES, WholeRule
from scheduler.domain.worker import KnownWorker
from schemas.specs import Resources
from tests.unit.scheduler.making import START, task

SHAPES = st.sampled_from(
    [Shape(), Shape((("zone", "a"),)), Shape((("type", "rust"),)), Shape(cpu_m=500), Shape(cpu_m=900, gpu=1)]
)


@st.composite
def workers(draw: st.DrawFn) -> list[KnownWorker]:
    """Some workers, with what is placed on each; mostly they take work."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        rarely = st.sampled_from([False, False, False, False, True])
        worker = KnownWorker(
            id=f"w{number}",
            type=draw(st.sampled_from(["default", "rust"])),
            name=f"w{number}",
            incarnation="i",
            since=START,
            labels=draw(st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}])),
            capacity=draw(st.sampled_from([None, Resources(cpu_m=1000, gpu=1), Resources(cpu_m=600)])),
            slots=draw(st.integers(0, 3)),
            prefetch=draw(st.integers(0, 2)),
            online=not draw(rarely),
            drained=draw(rarely),
            draining=draw(rarely),
            lifted=draw(rarely),
            unhealthy="no fork" if draw(rarely) else None,
        )
        made.append(worker)
    return made


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    roster = Roster()
    for worker in draw(workers()):
        roster.add(worker)
        for number in range(draw(st.integers(0, 3))):
            placed = task(number, shape=draw(SHAPES))
            placed.execution_id = f"{worker.id}-{number}"
            roster.occupy(worker, placed)
    return roster


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Roster, Task, Snapshot, list[Candidate], Waiting]:
    """A task that waits alone, as the leader would place it, and the same as an explanation sees it."""
    roster = draw(rosters())
    known = list(roster)
    shuns = tuple(draw(st.sets(st.sampled_from([worker.id for worker in known]), max_size=2)))
    waiting = task(100, priority=1, shape=draw(SHAPES), ready=10, avoid=draw(st.sampled_from([None, "w0"])))
    waiting.shuns = shuns
    reserved = {}
    for worker in known:
        other = draw(st.sampled_from([None, None, "self", "before", "after"]))
        if other == "self":
            kept_for = waiting
        elif other is not None:
            kept_for = task(200, priority=3 if other == "before" else 0, shape=draw(SHAPES), ready=0)
        else:
            continue
        since = list(worker.placed.values())[: draw(st.integers(0, 2))]
        reserved[worker.id] = held_room(worker, kept_for, since)
    patient = draw(st.booleans())
    snapshot = Snapshot(
        [Lane(waiting.shape, waiting.priority, [waiting], shuns)],
        roster.rooms(),
        list(reserved.values()),
        lambda one: patient and roster.another_fits(one),
    )
    candidates = [Candidate(worker, reserved.get(worker.id)) for worker in known]
    until = (START + timedelta(seconds=25)).isoformat() if patient else None
    return roster, waiting, snapshot, candidates, Waiting(waiting.task_id, waiting.claim(), shuns, until)


@given(pictures())
def test_a_worker_is_chosen_only_if_the_explanation_calls_it_fit(
    picture: tuple[Roster, Task, Snapshot, list[Candidate], Waiting],
) -> None:
    _, one, snapshot, candidates, waiting = picture
    answers, _ = verdicts(one.shape, candidates, waiting)
    fit = {answer.worker_id for answer in answers if answer.fits}
    chosen = {placement.worker_id for placement in place(snapshot)}
    event(f"fit: {min(len(fit), 2)}, chosen: {len(chosen)}")
    assert chosen <= fit
    assert bool(chosen) == bool(fit), "one that fits may be chosen"


@given(pictures())
def test_each_worker_by_itself_is_chosen_or_refused_as_explained(
    picture: tuple[Roster, Task, Snapshot, list[Candidate], Waiting],
) -> None:
    _, one, snapshot, candidates, waiting = picture
    answers, _ = verdicts(one.shape, candidates, waiting)
    for answer in answers:
        rooms = [room for room in snapshot.rooms if room.worker_id == answer.worker_id]
        alone = Snapshot(snapshot.lanes, rooms, snapshot.held, snapshot.waits)
        assert bool(place(alone)) == answer.fits, answer.refusal


@given(rosters(), SHAPES)
def test_what_a_rule_for_the_whole_worker_refuses_is_refused_by_the_rule_that_places(
    roster: Roster, shape: Shape
) -> None:
    placing = {rule.name: rule for rule in SHAPE_RULES}
    for rule, worker in itertools.product(RULES, roster):
        if isinstance(rule, WholeRule) and not rule.allows(shape, worker):
            assert not placing[rule.implied_by].allows(shape, Spot(worker.room()))


def test_a_room_where_it_failed_and_that_is_kept_for_another_task_is_refused_by_both() -> None:
    """Even when the task waits for no other worker any more."""
    worker = KnownWorker(id="w", type="t", name="w", incarnation="i", since=START, slots=4)
    roster = Roster()
    roster.add(worker)
    held = held_room(worker, task(1, priority=3))
    one = task(2)
    lane = Lane(one.shape, one.priority, [one], ("w",))
    assert place(Snapshot([lane], roster.rooms(), [held])) == []
    said = refusal(one.shape, Candidate(worker, held), Waiting(one.task_id, one.claim(), ("w",)))
    assert said == f"is reserved for task {held.task.task_id}, which needs more"
