"""What a worker says to a task that it does not take."""

from __future__ import annotations

import pytest

from scheduler.domain.explain import Candidate, Waiting, refusal, summary, verdicts
from scheduler.domain.model import Shape, Task
from scheduler.domain.reservations import held_room
from scheduler.domain.worker import KnownWorker
from schemas.specs import Resources
from tests.unit.scheduler.making import START


def worker(**changes: object) -> KnownWorker:
    made = KnownWorker(id="w1", type="rust", name="one", incarnation="i1", since=START, labels={"zone": "a"}, slots=2)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("candidate", "shape", "words"),
    [
        (Candidate(worker()), Shape(), None),
        (Candidate(worker(has_agent=False)), Shape(), "has no agent"),
        (Candidate(worker(online=False)), Shape(), "is offline"),
        (Candidate(worker(drained=True)), Shape(), "is draining and accepts no new work"),
        (Candidate(worker(unhealthy="no fork")), Shape(), "is unhealthy: no fork"),
        (Candidate(worker()), Shape((("gpu", "yes"),)), "lacks the label gpu=yes"),
        (Candidate(worker()), Shape((("type", "go"),)), "has type=rust, the task requires type=go"),
        (Candidate(worker(busy=2)), Shape(), "has no free slot: 2 placed, 2 slots"),
        (Candidate(worker(slots=0)), Shape(), "offers no slots"),
        (
            Candidate(worker(capacity=Resources(cpu_m=500))),
            Shape(cpu_m=800),
            "has cpu_m 500 in all, the task needs 800",
        ),
        (
            Candidate(worker(capacity=Resources(cpu_m=900), used=(400, 0, 0), busy=1)),
            Shape(cpu_m=800),
            "has cpu_m 500 free, the task needs 800",
        ),
    ],
)
def test_a_refusal_says_what_is_needed_and_what_is_lacking(
    candidate: Candidate, shape: Shape, words: str | None
) -> None:
    assert refusal(shape, candidate) == words


def test_the_summary_says_why_it_waits() -> None:
    assert summary(1, []) == "waits: no worker is known"
    assert summary(1, *verdicts(Shape(), [], offline=3)) == "waits: no worker is online"
    assert summary(1, *verdicts(Shape(), [Candidate(worker(has_agent=False))])) == "waits: the only worker has no agent"
    full = [Candidate(worker(busy=2))] * 2
    assert summary(1, *verdicts(Shape(), full)) == "waits: every worker has no free slot: 2 placed, 2 slots"
    assert summary(3, *verdicts(Shape(), [Candidate(worker())])) == "waits behind 2 others for 1 fitting workers"


def test_workers_that_are_offline_do_not_hide_why_the_others_refuse_a_task() -> None:
    mars, gone = Shape((("zone", "mars"),)), Candidate(worker(online=False))
    one = [Candidate(worker(labels={}))]
    assert (
        summary(1, *verdicts(mars, one, offline=1)) == "waits: the only worker that is online lacks the label zone=mars"
    )
    assert (
        summary(1, *verdicts(mars, [gone, *one])) == "waits: the only worker that is online lacks the label zone=mars"
    )
    assert summary(1, *verdicts(mars, one * 2, offline=5)) == (
        "waits: every worker that is online lacks the label zone=mars"
    )
    assert summary(1, *verdicts(mars, [gone])) == "waits: no worker is online"


def test_the_commonest_refusal_is_named_with_its_number() -> None:
    gpu, other = Shape((("gpu", "yes"),)), Candidate(worker(drained=True))
    without = [Candidate(worker())] * 2
    assert summary(1, *verdicts(gpu, [other, *without])) == (
        "waits: none of 3 workers can take it now: 2 lack the label gpu=yes"
    )
    assert summary(1, *verdicts(gpu, [*without, other, other, other], offline=9)) == (
        "waits: none of 5 workers that are online can take it now: 3 are draining and accept no new work"
    )
    assert summary(1, *verdicts(gpu, [other, without[0]])) == (
        "waits: none of 2 workers can take it now: 1 is draining and accepts no new work"
    )


def test_refusals_that_differ_in_their_figures_only_are_one_reason() -> None:
    full = [Candidate(worker(busy=2)), Candidate(worker(busy=3, slots=3))]
    assert summary(1, *verdicts(Shape(), full)) == "waits: every worker has no free slot"


LARGE = Task("large", "j", 1, "", 3, Shape(cpu_m=4000), START, START)


def kept(one: KnownWorker) -> Candidate:
    """A worker that is kept for LARGE."""
    return Candidate(one, held_room(one, LARGE))


@pytest.mark.parametrize(
    ("task", "shape", "words"),
    [
        (Waiting("small", (-1, START, "small")), Shape(cpu_m=1000), "is reserved for task large, which needs more"),
        (Waiting("tiny", (-1, START, "tiny")), Shape(), None),
        (Waiting("urgent", (-4, START, "urgent")), Shape(cpu_m=1000), None),
        (Waiting("large", LARGE.claim()), LARGE.shape, None),
    ],
    ids=["no room beside the large one", "room beside it", "a higher claim", "the large one itself"],
)
def test_a_worker_that_is_kept_for_a_task_names_it(task: Waiting, shape: Shape, words: str | None) -> None:
    assert refusal(shape, kept(worker(capacity=Resources(cpu_m=4000))), task) == words


def test_a_task_for_which_a_worker_is_kept_is_told_which_and_until_when() -> None:
    full = worker(capacity=Resources(cpu_m=4000), used=(1000, 0, 0), busy=1)
    answers, others = verdicts(LARGE.shape, [kept(full)], Waiting("large", LARGE.claim()))
    assert summary(1, answers, others, kept="one") == (
        "waits: worker one is reserved for it, until the executions placed there have ended"
    )


def test_a_worker_where_an_attempt_failed_says_until_when_another_is_waited_for() -> None:
    other = worker(busy=2)
    other.id = "w2"
    both = [Candidate(worker()), Candidate(other)]
    waiting = Waiting("a", (-1, START, "a"), ("w1",), "2026-11-23T08:15:30Z")
    (shunned, full), _ = verdicts(Shape(), both, waiting)
    assert shunned.refusal == (
        "had an attempt that failed: the task waits for another worker until 2026-11-23T08:15:30Z"
    )
    assert full.refusal == "has no free slot: 2 placed, 2 slots"
    [alone], _ = verdicts(Shape(), both[:1], waiting)
    assert alone.fits, "there is no other worker to wait for"
