"""Whether a failed or lost attempt is retried, and after how long.

There are two separate budgets: `retry.max_attempts` counts attempts that ended by themselves, `max_crashes` those that
were lost with their worker. The attempt number counts both.
"""

from orchestrator.domain.definition import StepRules
from schemas.specs import RetrySpec


def delay(retry: RetrySpec, failures: int, *, draw: float) -> float:
    """Seconds to wait after the `failures`-th failure (from 1). `draw` in [0, 1) is the random number of the jitter."""
    # A large exponent would overflow a float; the cap is reached long before it.
    try:
        whole = min(retry.delay * retry.factor ** (failures - 1), retry.max_delay)
    except OverflowError:
        whole = retry.max_delay if retry.delay else 0.0
    return whole * (0.5 + draw / 2) if retry.jitter else whole


def again_after_failure(retry: RetrySpec | None, *, failures: int, exit_code: int | None) -> bool:
    """Whether a task that has failed `failures` times (this one included) is retried."""
    if retry is None or failures >= retry.max_attempts:
        return False
    return retry.on_exit_codes is None or exit_code in retry.on_exit_codes


def again_after_loss(rules: StepRules, *, crashes: int) -> bool:
    """Whether a task whose worker was lost for the `crashes`-th time (this one included) is retried."""
    return rules.retry_on_lost and crashes <= rules.max_crashes
