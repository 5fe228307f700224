"""The environment of an execution: a short safe list of the agent's own variables, the step's variables, and the marks.

A command gets nothing else of the agent's environment, so no addresses and credentials. This keeps them out of its
output and its children, but does not protect them from a command that looks for them: it runs as the agent's user and
may read what that user may, including the environment of the agent and of a worker manager that started it.
`shared.process.tree` finds process trees by the marks, so a step cannot replace them.
"""

from collections.abc import Mapping
from typing import Final

from schemas import outputs
from schemas.agents import Assignment
from shared.process.tree import EXECUTION_MARK, INCARNATION_MARK, WORKER_MARK

INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)
UNBUFFERED: Final = {"PYTHONUNBUFFERED": "1"}
"""Python buffers what it writes to a pipe: without this, output could not be followed, and a kill would lose it all."""
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NO_TRACE: Final[Mapping[str, str]] = {}


def base_environment(own: Mapping[str, str], *, worker_id: str, incarnation: str) -> dict[str, str]:
    """The variables that all executions of this agent share. `own` is the agent's environment."""
    inherited = {name: value for name, value in own.items() if name in INHERITED or name.startswith("LC_")}
    return {"PATH": DEFAULT_PATH, **UNBUFFERED, **inherited, WORKER_MARK: worker_id, INCARNATION_MARK: incarnation}


def execution_environment(
    base: Mapping[str, str], assignment: Assignment, *, output: str, trace: Mapping[str, str] = _NO_TRACE
) -> dict[str, str]:
    """The whole environment of one execution. The step's variables override the inherited ones, but not the marks.

    `output` is the path of the file for its outputs; `trace` has the variables that show the process its place in a
    trace.
    """
    return {
        **base,
        **trace,
        **assignment.run.env,
        WORKER_MARK: base[WORKER_MARK],
        INCARNATION_MARK: base[INCARNATION_MARK],
        EXECUTION_MARK: assignment.execution_id,
        "HODEI_JOB_ID": assignment.job_id,
        "HODEI_TASK_ID": assignment.task_id,
        "HODEI_ATTEMPT": str(assignment.attempt),
        outputs.VARIABLE: output,
    }
