"""Measures placement alone: `python benchmarks/placement.py`.

Full plans of many tasks on many workers, and the usual case: a few free slots and a long queue, where the cost must
grow with the placed tasks and not with the waiting ones.
"""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scheduler.domain.desk import Desk
from scheduler.domain.model import Moment, Task
from scheduler.domain.placement import Snapshot, place
from schemas.agents import PROTOCOL, Heartbeat
from schemas.events import ExecutionFinished, TaskQueued
from schemas.specs import Resources, RunSpec
from schemas.states import ExecutionStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = Moment(START + timedelta(hours=1), 1000.0)
ZONES = ("a", "b", "c", "d")
PRIORITIES = ("low", "normal", "high", "critical")


def a_desk(*, tasks: int, workers: int, slots: int, shapes: int) -> Desk:
    """A desk with `tasks` waiting tasks of `shapes` different shapes, and `workers` workers with `slots` slots each."""
    desk = Desk(lease=15.0, patience=75.0, new_id=lambda: str(uuid.uuid4()), born=NOW)
    for number in range(workers):
        desk.heartbeat(
            Heartbeat(
                protocol=PROTOCOL,
                worker_id=f"w{number:06}",
                incarnation="i",
                slots=slots,
                name="",
                type="default",
                labels={"zone": ZONES[number % 4]},
                capacity=Resources(cpu_m=64_000, memory_mb=256_000),
                sent_at=START,
            ),
            NOW,
        )
    for number in range(tasks):
        desk.arrive(
            TaskQueued(
                task_id=f"t{number:08}",
                job_id="j",
                attempt=1,
                name="",
                priority=PRIORITIES[number % 4],
                requires={"zone": ZONES[number % 4]} if shapes > 1 else {},
                resources=Resources(cpu_m=1 + number % shapes) if shapes > 1 else None,
                run=RunSpec(command="true"),
                queued_at=START + timedelta(milliseconds=number),
            ),
            NOW,
        )
    return desk


def best(work: Callable[[], int], *, times: int = 5) -> tuple[float, int]:
    """The shortest of some runs in seconds, and the count that `work` returned."""
    found, count = float("inf"), 0
    for _ in range(times):
        began = time.perf_counter()
        count = work()
        found = min(found, time.perf_counter() - began)
    return found, count


def full_plan(tasks: int, workers: int, shapes: int) -> tuple[float, int]:
    desk = a_desk(tasks=tasks, workers=workers, slots=10, shapes=shapes)
    return best(lambda: len(place(Snapshot(desk.queue.lanes(), desk.roster.rooms()))))


def few_slots(tasks: int, workers: int, freed: int) -> tuple[float, int]:
    """All slots are busy; `freed` executions finish, and their slots get new tasks."""
    desk = a_desk(tasks=tasks + workers, workers=workers, slots=1, shapes=1)
    desk.place(NOW)
    desk.written(desk.take(), [])

    def turn() -> int:
        busy: list[Task] = []
        for worker in desk.roster:
            busy += list(worker.placed.values())[:1]
            if len(busy) >= freed:
                break
        for task in busy:
            desk.finish(
                ExecutionFinished.model_construct(
                    execution_id=task.execution_id or "",
                    task_id=task.task_id,
                    job_id=task.job_id,
                    attempt=task.attempt,
                    worker_id=task.worker_id or "",
                    incarnation="i",
                    status=ExecutionStatus.SUCCEEDED,
                    finished_at=START,
                )
            )
        placed = desk.place(NOW)
        desk.written(desk.take(), [])
        return placed

    return best(turn)


def main() -> None:
    rows = [
        ("full plan, 1 shape", 10_000, 1_000, full_plan(10_000, 1_000, 1)),
        ("full plan, 16 shapes", 10_000, 1_000, full_plan(10_000, 1_000, 16)),
        ("full plan, 400 shapes", 10_000, 1_000, full_plan(10_000, 1_000, 400)),
        ("10 slots freed", 1_000, 1_000, few_slots(1_000, 1_000, 10)),
        ("10 slots freed", 10_000, 1_000, few_slots(10_000, 1_000, 10)),
        ("10 slots freed", 100_000, 1_000, few_slots(100_000, 1_000, 10)),
        ("500 slots freed", 100_000, 1_000, few_slots(100_000, 1_000, 500)),
    ]
    print(f"{'':<24}{'waiting':>10}{'workers':>10}{'placed':>10}{'ms':>10}{'us/placed':>12}")
    for name, tasks, workers, (seconds, placed) in rows:
        per = seconds * 1e6 / max(1, placed)
        print(f"{name:<24}{tasks:>10}{workers:>10}{placed:>10}{seconds * 1e3:>10.2f}{per:>12.1f}")


if __name__ == "__main__":
    main()
