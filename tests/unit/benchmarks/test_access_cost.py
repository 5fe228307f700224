"""`make bench-access-cost` fails when jobs in batches cost more than its limit."""

import pytest

from benchmarks import access_cost
from benchmarks.access_cost import Measured

PAIRS = 6


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measured]:
    """What the benchmark finds: to be filled by the test."""
    found: dict[str, Measured] = {}

    async def measure(pairs: int, rounds: int, posts: int, jobs: int) -> dict[str, Measured]:
        return found

    monkeypatch.setattr(access_cost, "measure", measure)
    return found


def _of(*, rate: float, cpu: float) -> Measured:
    """The ratios of on to off."""
    return Measured([(1000 * rate, 1000)] * PAIRS, [(500 * cpu, 500)] * PAIRS)


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
def test_batches_have_a_limit(
    measured: dict[str, Measured], rate: float, cpu: float, options: list[str], code: int
) -> None:
    measured["300 single POSTs, 8 at a time"] = _of(rate=0.5, cpu=2.0)
    measured[f"1000 {access_cost.BATCHES}"] = _of(rate=rate, cpu=cpu)
    assert access_cost.main(options) == code


def test_a_rate_that_is_lower_only_perhaps_is_no_failure(measured: dict[str, Measured]) -> None:
    rates = [(1000.0 * rate, 1000.0) for rate in (0.90, 0.92, 0.94, 0.95, 0.96, 0.99)]
    measured[f"1000 {access_cost.BATCHES}"] = Measured(rates, [(500.0, 500.0)] * PAIRS)
    assert access_cost.main([]) == 0
