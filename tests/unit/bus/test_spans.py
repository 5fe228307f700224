"""A set of whole numbers as spans."""

from __future__ import annotations

import random

from shared.bus.spans import Spans


def test_it_is_a_set_of_numbers() -> None:
    chance = random.Random(7)
    for _ in range(200):
        spans, numbers = Spans(), set[int]()
        for _ in range(40):
            first = chance.randint(1, 60)
            added = set(range(first, first + chance.randint(1, 6)))
            assert spans.add(min(added), max(added)) == (not added <= numbers)
            numbers |= added
            assert spans.count == len(numbers)
            assert len(spans) == sum(number - 1 not in numbers for number in numbers)


def test_numbers_that_follow_each_other_take_no_room() -> None:
    spans = Spans()
    for turn in range(1000):
        assert spans.add(turn * 1_000_000 + 1, (turn + 1) * 1_000_000)
    assert (len(spans), spans.count) == (1, 1_000_000_000)


def test_gaps_are_remembered_up_to_a_limit() -> None:
    spans = Spans(most=2)
    for number in (1, 3, 5, 7):
        assert spans.add(number, number)
    assert (len(spans), spans.count) == (3, 5), "the lowest gap counts as filled"
    assert not spans.add(2, 2)
    assert spans.add(4, 4)
