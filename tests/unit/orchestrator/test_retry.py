"""Retries: how often, and after how long."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import retry
from orchestrator.domain.definition import StepRules
from schemas.specs import RetrySpec

specs = st.builds(
    RetrySpec,
    max_attempts=st.integers(1, 100),
    delay=st.floats(0, 86_400),
    factor=st.floats(1, 100),
    max_delay=st.floats(0, 86_400),
    jitter=st.booleans(),
)


def test_each_delay_is_longer_by_the_factor() -> None:
    spec = RetrySpec(max_attempts=9, delay=2, factor=3, max_delay=50, jitter=False)
    assert [retry.delay(spec, n, draw=0.5) for n in (1, 2, 3, 4)] == [2, 6, 18, 50]


@given(specs, st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_within_the_upper_half_of_what_it_may_be(spec: RetrySpec, failures: int, draw: float) -> None:
    wait = retry.delay(spec, failures, draw=draw)
    assert 0 <= wait <= spec.max_delay
    assert wait >= retry.delay(spec.model_copy(update={"jitter": False}), failures, draw=0) / 2


def test_only_the_exit_codes_named_are_retried() -> None:
    spec = RetrySpec(max_attempts=3, on_exit_codes=[75])
    assert retry.again_after_failure(spec, failures=1, exit_code=75)
    assert not retry.again_after_failure(spec, failures=1, exit_code=1)
    assert not retry.again_after_failure(spec, failures=1, exit_code=None)


def test_attempts_run_out() -> None:
    spec = RetrySpec(max_attempts=2)
    assert retry.again_after_failure(spec, failures=1, exit_code=1)
    assert not retry.again_after_failure(spec, failures=2, exit_code=1)
    assert not retry.again_after_failure(None, failures=1, exit_code=1)


def test_crashes_have_a_budget_of_their_own() -> None:
    assert retry.again_after_loss(StepRules("a", retry_on_lost=True, max_crashes=3), crashes=3)
    assert not retry.again_after_loss(StepRules("a", retry_on_lost=True, max_crashes=3), crashes=4)
    assert not retry.again_after_loss(StepRules("a", retry_on_lost=False, max_crashes=3), crashes=1)
