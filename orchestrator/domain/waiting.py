"""What a task is doing or waiting for, in words, to explain why a job ended before its steps did. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from schemas.specs import Resources

MOST: Final = 3
"""The most steps that one sentence names."""
MOST_LABELS: Final = 5


def for_a_worker(seconds: float, requires: Mapping[str, str] | None, resources: Resources | None) -> str:
    """`waited 5 s for a worker with labels x=1 and cpu_m 4000`."""
    labels = [f"{key}={value}" for key, value in sorted((requires or {}).items())]
    wants = [f"labels {_some(labels)}"] if labels else []
    if resources is not None:
        wants += [f"{name} {need}" for name, need in resources.model_dump().items() if need]
    return f"waited {in_seconds(seconds)} for a worker" + (f" with {_all(wants)}" if wants else "")


def in_seconds(seconds: float) -> str:
    """`0.4 s`, `5 s`."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 0.95 else f"{seconds:.0f} s"


def summed_up(began: bool, steps: Sequence[str]) -> str:
    """What a job was doing at its time limit. `steps` has one sentence for each step."""
    named = "; ".join(steps[:MOST]) or "no step was ready to run"
    more = f"; and {len(steps) - MOST} more" if len(steps) > MOST else ""
    return f"{'' if began else 'nothing began: '}{named}{more}"


def since(earlier: datetime | None, now: datetime) -> float:
    """Seconds since then; 0 when the time is not known."""
    return 0.0 if earlier is None else (now - earlier).total_seconds()


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return ", ".join(labels[:MOST_LABELS]) + more


def _all(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
