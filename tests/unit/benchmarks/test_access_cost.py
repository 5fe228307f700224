"""`make bench-access-cost` fails when a kind of submission costs more than its limit."""

import pytest

from benchmarks import access_cost
from benchmarks.access_cost import Measured

ROUNDS = 6


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measured]:
    """What the benchmark finds: to be filled by the test."""
    found: dict[str, Measured] = {}

    async def measure(rounds: int, posts: int, jobs: int) -> dict[str, Measured]:
        return found

    monkeypatch.setattr(access_cost, "measure", measure)
    return found


def _of(*, rate: float = 1.0, cpu: float = 1.0) -> Measured:
    """The ratios of on to off."""
    return Measured([(1000 * rate, 1000)] * ROUNDS, [(500 * cpu, 500)] * ROUNDS)


@pytest.mark.parametrize("others", ["before", "after"])
@pytest.mark.parametrize(
    ("rate", "cpu", "options", "code"),
    [
        (1.0, 1.02, [], 0),
        (1.0, 1.04, [], 1),
        (1.0, 1.04, ["--limit", "5"], 0),
        (0.98, 1.0, [], 0),
        (0.96, 1.0, [], 1),
        (0.96, 1.0, ["--limit", "5"], 0),
    ],
)
def test_each_kind_has_the_limit(
    measured: dict[str, Measured], others: str, rate: float, cpu: float, options: list[str], code: int
) -> None:
    if others == "before":
        measured["others"] = _of()
    measured["these"] = _of(rate=rate, cpu=cpu)
    if others == "after":
        measured["others"] = _of()
    assert access_cost.main(options) == code


def test_a_rate_that_is_lower_only_perhaps_is_no_failure(measured: dict[str, Measured]) -> None:
    rates = [(1000.0 * rate, 1000.0) for rate in (0.90, 0.92, 0.94, 0.95, 0.96, 0.99)]
    measured["these"] = Measured(rates, [(500.0, 500.0)] * ROUNDS)
    assert access_cost.main([]) == 0
