"""Compares a heartbeat with the leader's memory, and finds the orders that the worker must get.

Not here: how a heartbeat changes the memory (`leases`), and sending the orders (`leader`). Times are monotonic seconds.
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
    """The orders for a worker after a heartbeat, by execution ids; usually there are none."""

    fenced: list[str] = field(default_factory=list)
    """The worker holds them, but they are not placed there: it must stop them."""
    stopped: dict[Reason, list[str]] = field(default_factory=dict)
    """The worker holds them although it was ordered to stop them: the order may be lost."""
    sought: list[str] = field(default_factory=list)
    """They are placed there, but heartbeats have not listed them for long: the worker is asked for them."""
    drain: bool = False
    """The worker does not drain although a drain was ordered: the order may be lost."""
    resume: bool = False
    """The worker drains although no drain is in force: the order to resume may be lost."""

    def __bool__(self) -> bool:
        return bool(self.fenced or self.stopped or self.sought or self.drain or self.resume)


def foreign(worker: KnownWorker, beat: Heartbeat, *, ended: Container[str]) -> list[str]:
    """The executions that the worker holds but that are not placed there. Those that just `ended` are left out."""
    ours = worker.placed if beat.incarnation == worker.incarnation else {}
    return [id for id in (*beat.running, *beat.waiting, *beat.reporting) if id not in ours and id not in ended]


def stopped(worker: KnownWorker, beat: Heartbeat) -> dict[Reason, list[str]]:
    """The executions that run or wait there after an order to stop them, which is sent once, on core NATS."""
    found: dict[Reason, list[str]] = {}
    for id in (*beat.running, *beat.waiting):
        task = worker.placed.get(id)
        if task is not None and task.cancel_reason is not None:
            found.setdefault(task.cancel_reason, []).append(id)
    return found


def missed(worker: KnownWorker, beat: Heartbeat, now: float, *, patience: float, timely: bool) -> list[str]:
    """The placed executions that heartbeats have not listed for `patience` seconds, which is longer than orders and
    outcomes travel while news is `timely`. The worker is asked for each again after as long, because a missing order
    may still arrive.
    """
    held, since = beat.held(), worker.missing if timely else {}
    missing = {id: since.get(id, now) for id in worker.placed if id not in held}
    sought = [id for id, moment in missing.items() if now - moment >= patience][:MAX_SOUGHT]
    worker.sought = (worker.sought & missing.keys()) | set(sought) if timely else set()
    worker.missing = missing | dict.fromkeys(sought, now)
    return sought
