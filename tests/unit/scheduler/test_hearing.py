"""The clock of leases: it runs while workers can be heard, and stops soon after the last proof that they can."""

from scheduler.hearing import HeardTime


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def heard_time(*, lease: float = 15) -> tuple[HeardTime, Clock]:
    clock = Clock()
    return HeardTime(lease=lease, clock=clock), clock


def test_with_proofs_it_runs_as_time_does() -> None:
    heard, clock = heard_time()
    for _ in range(10):
        clock.seconds += 2
        assert heard.prove() == 0
    clock.seconds += 1
    assert heard.now() == heard.stretch() == 21


def test_without_it_stands_still_and_what_passed_is_told_afterwards() -> None:
    heard, clock = heard_time()
    clock.seconds += 60
    assert heard.now() == 3
    assert heard.stretch() == 0
    assert heard.prove() == 57
    assert (heard.now(), heard.stretch()) == (3, 0)
    clock.seconds += 2
    assert (heard.now(), heard.stretch()) == (5, 2)


def test_of_a_short_lease_a_silence_takes_a_fifth() -> None:
    heard, clock = heard_time(lease=5)
    clock.seconds += 60
    assert heard.now() == 1
