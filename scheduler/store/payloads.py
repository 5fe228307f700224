"""What tasks run, on its way through the scheduler: not in the leader's memory, but at hand where it is wanted soon.

What arrives in a turn is at hand until the turn ends. Of what then has to wait, the newest is kept, as much as fits;
the rest is read from its rows when it is placed. So a short queue costs no further query, and a long one no memory.
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
"""What one payload takes beside its text, about."""


class Payloads:
    """The payloads of waiting tasks. `kept_bytes` is about what those in memory may take."""

    def __init__(self, database: Database, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._get_runs = load_queries("scheduler")["get_runs"]
        self._most = kept_bytes
        self._kept: dict[str, tuple[int, RunSpec, int]] = {}
        """By task id, with the attempt and the cost, the oldest first."""
        self._cost = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, arrivals: Collection[Task], runs: Mapping[str, RunSpec]) -> None:
        """These are written: keep what those run that wait."""
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
        """What these run, by task id; it is not kept any longer. Raises Unavailable when the tables do not know one,
        for then this leader's memory is not what they say."""
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
        """These are over."""
        for task in tasks:
            self._forget(task.task_id)

    def _forget(self, task_id: str) -> None:
        _, _, cost = self._kept.pop(task_id, (0, None, 0))
        self._cost -= cost
