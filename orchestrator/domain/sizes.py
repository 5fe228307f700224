"""Whether a job is too large: for the processes that run its steps, for the bus, for this service.

A job's environment is stored once, but each of its steps is sent with the whole of it, so that its sum over all steps
is bounded. Nearly every job is found to be small by counting characters; only of the others bytes are counted.
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
"""Bytes in the environments of all steps of one job."""

MAX_REQUEST: Final = 32 << 20
"""Characters in the environments and commands of all steps of all jobs that one request makes."""

_SMALL: Final = 32_000
"""Characters, five times those of the command among them, that fit a process and a message in any encoding."""

_WIDEST: Final = 4


class Scale:
    """Weighs the jobs of one request. `payload` is how many bytes the bus takes for one order."""

    def __init__(self, *, payload: int) -> None:
        self._payload = payload
        self._characters = 0

    def fault(
        self,
        shared: Mapping[str, str],
        definitions: Iterable[TaskDefinition],
        order_bytes: Callable[[TaskDefinition], int],
    ) -> str | None:
        """What is too large about a job, in one sentence, if anything.

        `shared` is the environment that its tasks have in common; `order_bytes` gives the size of a task's order as it
        travels.
        """
        definitions = list(definitions)
        common = environment_characters(shared)
        variables = 0
        large: list[TaskDefinition] = []
        for one in definitions:
            env, command = common + environment_characters(one.run.env), command_characters(one.run.command)
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
            if (found := self._step_fault(one, merged(shared, one.run.env), order_bytes)) is not None:
                return f"step {one.rules.name}: {found}"
        return None

    def _step_fault(
        self, task: TaskDefinition, env: Mapping[str, str], order_bytes: Callable[[TaskDefinition], int]
    ) -> str | None:
        if faults := too_large_variables(env):
            return faults[0]
        if (size := argument_bytes(task.run.argv()) + environment_bytes(env)) > MAX_PROCESS:
            return (
                f"its variables and the arguments of its command take {size:,} bytes together; "
                f"a process takes at most {MAX_PROCESS:,}"
            )
        if (size := order_bytes(task)) > self._payload:
            return (
                f"its environment and its command take {size:,} bytes as JSON; the NATS server takes messages of at "
                f"most {self._payload:,} (its max_payload, less what a message needs beside)"
            )
        return None


def _sum(shared: Mapping[str, str], definitions: Iterable[TaskDefinition]) -> int:
    """The bytes of all environments, a variable that a step sets anew counted once for it."""
    common = environment_bytes(shared)
    total = 0
    for one in definitions:
        own = one.run.env
        replaced = {name: shared[name] for name in own if name in shared}
        total += common + environment_bytes(own) - environment_bytes(replaced)
    return total
