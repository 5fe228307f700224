"""The recovery benchmark: which faults are chosen, in which order, and what counts as a failure."""

from __future__ import annotations

import dataclasses
import random

import pytest

from benchmarks.recovery.__main__ import schedule
from benchmarks.recovery.faults import PARTS, Fault, every, named
from benchmarks.recovery.trial import Result

GOOD = Result(Fault("kill", "scheduler", "rest"), fresh=1.0, in_hand=2.0, jobs=3, twice=0, lost=0, never=0)


def test_every_part_is_killed_asked_and_frozen_and_both_servers_are_cut_off() -> None:
    for kind in ("kill", "term", "stop"):
        assert {fault.part for fault in every() if fault.kind == kind} == set(PARTS)
    assert {(fault.part, fault.seconds) for fault in every() if fault.kind == "cut"} == {
        (part, seconds) for part in ("nats", "postgres") for seconds in (1.0, 20.0, 60.0)
    }


@pytest.mark.parametrize(
    ("words", "count"), [("kill", 18), ("kill:nats", 3), (":worker", 7), ("cut:nats:20", 2), ("kill:nats,kill", 18)]
)
def test_faults_are_chosen_by_words(words: str, count: int) -> None:
    assert len(named(words)) == count


def test_a_word_that_chooses_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="kill:nat"):
        named("kill:nat")


def test_the_order_is_decided_by_the_seed_and_each_fault_comes_as_often_as_is_due() -> None:
    faults = named("kill,term")
    order = schedule(faults, None, random.Random(3))
    assert order == schedule(faults, None, random.Random(3))
    assert order != schedule(faults, None, random.Random(4))
    assert all(order.count(fault) == (20 if fault.kind == "kill" else 5) for fault in faults)


@pytest.mark.parametrize(
    ("change", "faulty"),
    [
        ({}, False),
        ({"fresh": 5.1}, True),
        ({"in_hand": 5.1}, True),
        ({"twice": 1}, True),
        ({"lost": 1}, True),
        ({"never": 1}, True),
    ],
)
def test_a_figure_beyond_its_limit_and_any_job_that_was_not_run_once_is_a_failure(
    change: dict[str, float], faulty: bool
) -> None:
    assert bool(dataclasses.replace(GOOD, **change).faulty(1.0)) is faulty  # type: ignore[arg-type]  # by name
    at_worker = dataclasses.replace(GOOD, fault=Fault("kill", "worker", "rest"), **change)  # type: ignore[arg-type]
    assert bool(at_worker.faulty(1.0)) is (faulty and "twice" not in change and "in_hand" not in change)


def test_a_slow_machine_is_given_a_margin_in_seconds_and_none_in_jobs() -> None:
    assert not dataclasses.replace(GOOD, fresh=9.9, in_hand=9.9).faulty(2.0)
    assert dataclasses.replace(GOOD, lost=1).faulty(2.0)
