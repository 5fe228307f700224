"""A bounded cache of the run specs of waiting tasks, which are not part of the leader's memory.

The run specs of a turn's arrivals are at hand until the turn ends. Those of tasks that then wait are kept, the newest
first, as far as they fit; the others are read from their rows when the tasks are placed. So a short queue needs no
further query, and a long one no memory.
"""

from collections.abc import Collection, Mapping
from typing import Final

from scheduler.domain.model import Task, TaskState
from schemas.sizes import command_characters, environment_characters
from schemas.specs import RunSpec
from shared.errors import Unavailable
from shared.postgres import Database, load_queries

KEPT_BYTES: Final = 8 << 20
_COST: Final = 2048
"""Approximate bytes of one payload beside its text."""


class Payloads:
    """The payloads of waiting tasks. `kept_bytes` limits approximately the memory that they take."""

    def __init__(self, database: Database, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._get_runs = load_queries("scheduler")["get_runs"]
        self._most = kept_bytes
        self._kept: dict[str, tuple[int, RunSpec, int]] = {}
        """By task id: the attempt, the run spec and the cost; the oldest first."""
        self._cost = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, arrivals: Collection[Task], runs: Mapping[str, RunSpec]) -> None:
        """Keep the run specs of written arrivals that wait."""
        for task in arrivals:
            if task.state is not TaskState.WAITING or task.task_id not in runs:
                continue
            run = runs[task.task_id]
            cost = _COST + 2 * (command_characters(run.command) + environment_characters(run.env))
            self._forget(task.task_id)
            self._kept[task.task_id] = task.attempt, run, cost
            self._cost += cost
        while self._cost > self._most:
            self._forget(next(iter(self._kept)))

    async def take(self, tasks: Collection[Task]) -> dict[str, RunSpec]:
        """Returns the run specs of these tasks, by task id, and drops them from the cache. Raises Unavailable when a
        row is missing, because the leader's memory then differs from the tables."""
        found: dict[str, RunSpec] = {}
        missing: list[Task] = []
        for task in tasks:
            attempt, run, _ = self._kept.get(task.task_id, (0, None, 0))
            self._forget(task.task_id)
            if run is not None and attempt == task.attempt:
                found[task.task_id] = run
            else:
                missing.append(task)
        if missing:
            rows = await self._database.fetch(
                self._get_runs, [task.task_id for task in missing], [task.attempt for task in missing]
            )
            found.update((row["task_id"], RunSpec.model_validate_json(row["run"])) for row in rows)
        if len(found) < len(tasks):
            raise Unavailable("what a task runs")
        return found

    def forget(self, tasks: Collection[Task]) -> None:
        """Drop the run specs of ended tasks."""
        for task in tasks:
            self._forget(task.task_id)

    def _forget(self, task_id: str) -> None:
        _, _, cost = self._kept.pop(task_id, (0, None, 0))
        self._cost -= cost
