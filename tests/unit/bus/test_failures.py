"""Which messages are handled together, and what is known of those that failed."""

from dataclasses import dataclass

from shared.bus.failures import DEADLY_AFTER, SUSPECT_AFTER, Failures, groups
from shared.bus.pull import Position


@dataclass(frozen=True)
class Message:
    position: Position


def message(seq: int, deliveries: int) -> Message:
    return Message(Position(deliveries, seq, seq, 0))


def test_suspects_go_first_and_alone_then_what_comes_again_then_what_is_new() -> None:
    new, again, late, early = message(1, 1), message(2, 2), message(4, SUSPECT_AFTER + 1), message(3, DEADLY_AFTER)
    assert groups([new, late, again, early]) == [[early], [late], [again], [new]]
    assert groups([]) == []


def test_a_message_that_failed_here_is_not_deadly() -> None:
    failures = Failures()
    often = Position(DEADLY_AFTER, 7, 7, 0)
    assert failures.deadly(often)
    assert not failures.deadly(Position(DEADLY_AFTER - 1, 7, 7, 0))
    assert failures.note(7) == 1
    assert not failures.deadly(often)
    failures.forget(7)
    assert failures.of(7) == 0


def test_a_message_that_was_given_back_in_good_order_is_handled_once_more_before_it_is_deadly() -> None:
    failures = Failures()
    often = Position(DEADLY_AFTER, 7, 7, 0)
    failures.spare(7)
    assert not failures.deadly(often)
    assert Failures().deadly(often), "a process that it ended has no memory of it"


def test_copies_of_a_message_that_is_done_with_are_known_and_other_messages_of_its_number_are_not() -> None:
    failures = Failures(at_most=2)
    failures.spare(1)
    failures.settle(1, 10.5)
    assert failures.settled(1, 10.5)
    assert not failures.settled(1, 99.5), "the stream began anew"
    assert failures.deadly(Position(DEADLY_AFTER, 1, 1, 0))
    failures.settle(2, 11.5)
    failures.settle(3, 12.5)
    assert not failures.settled(1, 10.5)


def test_only_so_many_failures_are_remembered() -> None:
    failures = Failures(at_most=2)
    for seq in (1, 2, 1, 3):
        failures.note(seq)
    assert [failures.of(seq) for seq in (1, 2, 3)] == [2, 0, 1]
