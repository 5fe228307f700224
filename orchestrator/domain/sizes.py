"""Checks whether a job is too large: for the processes that run its steps, for the bus, for this service.

A job's environment is stored once, but each of its steps is sent with all of it, so its sum over all steps has a limit.
A count of characters shows that nearly every job is small; bytes are counted only for the others.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.environment import merged
from schemas.sizes import (
    MAX_PROCESS,
    argument_bytes,
    command_characters,
    environment_bytes,
    environment_characters,
    too_large_variables,
)

MAX_ENVIRONMENTS: Final = 8 << 20
"""The most bytes in the environments of all steps of one job."""

MAX_REQUEST: Final = 32 << 20
"""The most characters in the environments and commands of all steps of all jobs that one request creates."""

_SMALL: Final = 32_000
"""Characters that fit a process and a message in any encoding; those of the command count five times."""

_WIDEST: Final = 4


class Scale:
    """Checks the jobs of one request. `payload` is the most bytes that the bus takes for one order."""

    def __init__(self, *, payload: int) -> None:
        self._payload = payload
        self._characters = 0

    def fault(
        self,
        shared: Mapping[str, str],
        definitions: Iterable[TaskDefinition],
        order_bytes: Callable[[TaskDefinition], int],
    ) -> str | None:
        """The reason why a job is too large, in one sentence, or None.

        `shared` is the environment that its tasks share; `order_bytes` returns the size of a task's order on the bus.
        """
        definitions = [one for one in definitions if one.run is not None]
        common = environment_characters(shared)
        variables = 0
        large: list[TaskDefinition] = []
        for one in definitions:
            env, command = common + environment_characters(one.command.env), command_characters(one.command.command)
            variables += env
            self._characters += env + command
            if env + 5 * command > _SMALL:
                large.append(one)
        if _WIDEST * variables > MAX_ENVIRONMENTS and (size := _sum(shared, definitions)) > MAX_ENVIRONMENTS:
            return (
                f"the environments of the {len(definitions)} steps take {size:,} bytes together; "
                f"those of one job take at most {MAX_ENVIRONMENTS:,}: each step gets the whole of it"
            )
        if self._characters > MAX_REQUEST:
            return (
                f"the environments and commands of all steps have {self._characters:,} characters up to here; "
                f"one request takes at most {MAX_REQUEST:,}: send fewer jobs at a time"
            )
        for one in large:
            if (found := self._step_fault(one, merged(shared, one.command.env), order_bytes)) is not None:
                return f"step {one.title}: {found}"
        return None

    def _step_fault(
        self, task: TaskDefinition, env: Mapping[str, str], order_bytes: Callable[[TaskDefinition], int]
    ) -> str | None:
        if faults := too_large_variables(env):
            return faults[0]
        if (size := argument_bytes(task.command.argv()) + environment_bytes(env)) > MAX_PROCESS:
            return (
                f"its variables and the arguments of its command take {size:,} bytes together; "
                f"a process takes at most {MAX_PROCESS:,}"
            )
        if (size := order_bytes(task)) > self._payload:
            return (
                f"its environment and its command take {size:,} bytes as JSON; the NATS server accepts messages of at "
                f"most {self._payload:,} (its max_payload, minus room for headers)"
            )
        return None


def _sum(shared: Mapping[str, str], definitions: Iterable[TaskDefinition]) -> int:
    """The bytes of all environments. A variable that a step overrides counts once for that step."""
    common = environment_bytes(shared)
    total = 0
    for one in definitions:
        own = one.command.env
        replaced = {name: shared[name] for name in own if name in shared}
        total += common + environment_bytes(own) - environment_bytes(replaced)
    return total
