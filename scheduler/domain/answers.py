"""A heartbeat compared with the leader's memory: the orders that the worker must get.

Here: the comparison. Not here: what news does to the memory (`desk`), and how a worker is told (`leader`).
Times are monotonic seconds.
"""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

from scheduler.domain.worker import KnownWorker
from schemas.agents import Heartbeat
from schemas.states import Reason

MAX_SOUGHT: Final = 1000


@dataclass(slots=True)
class Answer:
    """What a worker is to be told after a heartbeat, by execution ids; mostly nothing."""

    fenced: list[str] = field(default_factory=list)
    """The worker holds them, and they are not placed there."""
    stopped: dict[Reason, list[str]] = field(default_factory=dict)
    """The worker holds them although it was ordered to end them: the order may be lost."""
    sought: list[str] = field(default_factory=list)
    """They are placed there, and the worker has not named them for long."""
    drain: bool = False
    """The worker takes work although a drain was ordered: the order may be lost."""
    resume: bool = False
    """The worker drains although no drain is ordered (any more): the order may be lost."""

    def __bool__(self) -> bool:
        return bool(self.fenced or self.stopped or self.sought or self.drain or self.resume)


def foreign(worker: KnownWorker, beat: Heartbeat, *, ended: Container[str]) -> list[str]:
    """What the worker holds and must not; what has just `ended` it may still name."""
    ours = worker.placed if beat.incarnation == worker.incarnation else {}
    return [id for id in (*beat.running, *beat.waiting, *beat.reporting) if id not in ours and id not in ended]


def stopped(worker: KnownWorker, beat: Heartbeat) -> dict[Reason, list[str]]:
    """What runs or waits there though its end was asked for. An order to stop is said once, on core NATS."""
    found: dict[Reason, list[str]] = {}
    for id in (*beat.running, *beat.waiting):
        task = worker.placed.get(id)
        if task is not None and task.cancel_reason is not None:
            found.setdefault(task.cancel_reason, []).append(id)
    return found


def missed(worker: KnownWorker, beat: Heartbeat, now: float, *, patience: float, timely: bool) -> list[str]:
    """What should be there and has not been named for longer than orders and outcomes are under way while news is
    timely, `patience` seconds. It is asked for that often: an order that never arrived may still come.
    """
    held, since = beat.held(), worker.missing if timely else {}
    missing = {id: since.get(id, now) for id in worker.placed if id not in held}
    sought = [id for id, moment in missing.items() if now - moment >= patience][:MAX_SOUGHT]
    worker.sought = (worker.sought & missing.keys()) | set(sought) if timely else set()
    worker.missing = missing | dict.fromkeys(sought, now)
    return sought
