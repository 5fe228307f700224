"""Gives the orders of a job the values of the expressions in their commands. Pure.

Values are known when a task is queued: all that it depends on is over. A task whose expressions have no value, or one
that no process can be started with, fails, and the steps that depend on it are decided.
"""

from datetime import datetime
from typing import Final

from orchestrator.domain.expressions import BadExpression, rendered
from orchestrator.domain.orders import Commands, Queued
from orchestrator.domain.run import JobRun
from orchestrator.domain.views import values_of, views_of
from schemas.sizes import command_characters, environment_bytes, environment_characters
from schemas.states import Reason

MAX_RENDERED: Final = 32 << 20
"""The most characters in the commands of one job that get their values in the same transaction."""


def render(run: JobRun, commands: Commands, now: datetime) -> list[str]:
    """Put the commands with their values into `commands.rendered`. Returns the ids of the tasks that were queued and
    have no command in `commands` yet, because a failure of others started them."""
    if not any(run.tasks[one].rules.expressions for one in run.ordered):
        return []
    views = views_of(run.steps)
    taken = environment_bytes(commands.env)
    left, position = MAX_RENDERED, 0
    while position < len(run.journal):  # grows where a failure starts other steps
        queued = run.journal[position].event
        position += 1
        if not isinstance(queued, Queued) or not (rules := run.tasks[queued.task_id].rules).expressions:
            continue
        command = commands.of_tasks.get(queued.task_id)
        if command is None or (queued.task_id, queued.attempt) in commands.rendered:
            continue
        try:
            command = rendered(command, values_of(run.job, rules, queued.attempt, views), taken=taken)
            left -= command_characters(command.command) + environment_characters(command.env)
            if left < 0:
                raise BadExpression(f"the steps that start at once have commands of over {MAX_RENDERED:,} characters")
        except BadExpression as error:
            position -= 1
            del run.journal[position]
            run.refuse(queued.task_id, queued.attempt, now, reason=Reason.BAD_EXPRESSION, detail=str(error))
        else:
            commands.rendered[queued.task_id, queued.attempt] = command
    return [task_id for task_id in run.ordered if task_id not in commands.of_tasks]
