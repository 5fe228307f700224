"""Which tasks of an earlier job a rerun keeps, and which run again. Pure.

A task is kept if it succeeded or was skipped by its `if`, the rerun does not begin with its step, and all that its step
depends on, directly or through others, is kept. So a kept task never depends on one that runs again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from orchestrator.domain.definition import TaskKey
from orchestrator.domain.graph import dependants
from orchestrator.domain.scope import hint, shown
from orchestrator.domain.wanted import FormerTask
from schemas.rest.jobs import FROM_FAILED, FROM_START
from schemas.states import Reason, TaskStatus


class UnknownStep(ValueError):
    """The rerun is to begin with a step that the job does not have; the message names the nearest one."""


class NothingFailed(ValueError):
    """The rerun is to begin with what failed, and there is nothing that would run."""


def kept(tasks: Sequence[FormerTask], start: str) -> dict[TaskKey, FormerTask]:
    """The tasks to keep. `start` is where the rerun begins: the name of a step, `failed` for all that did not succeed,
    or `start` for the whole job. Raises UnknownStep and NothingFailed."""
    if start == FROM_START:
        return {}
    if start == FROM_FAILED and all(_keepable(task) or task.reason is Reason.NOT_NEEDED for task in tasks):
        raise NothingFailed
    needs = {task.definition.rules.name: task.definition.rules.depends_on for task in tasks}
    if start != FROM_FAILED and start not in needs:
        raise UnknownStep(f"the job has no step {shown(start)!r}{hint(start, [*needs, *_WORDS])}")
    begins = set() if start == FROM_FAILED else {start}
    after = dependants(needs)
    whole = set(begins)  # the steps of which all tasks run again
    changed = deque(begins | {task.definition.rules.name for task in tasks if not _keepable(task)})
    while changed:
        for name in after.get(changed.popleft(), ()):
            if name not in whole:
                whole.add(name)
                changed.append(name)
    return {task.definition.key: task for task in tasks if _keepable(task) and task.definition.rules.name not in whole}


_WORDS: Final = (FROM_FAILED, FROM_START)


def _keepable(task: FormerTask) -> bool:
    return task.status is TaskStatus.SUCCEEDED or (
        task.status is TaskStatus.SKIPPED and task.reason is Reason.CONDITION
    )
