"""The environment that an execution sees: a short safe list of the agent's own, the step's, and the marks.

Nothing else of the agent's environment is handed to a command: no addresses, no credentials. That keeps them out of
its output and of what it starts, not from a command that looks for them: it runs as the agent's user and may read what
that user may, the environment of the agent included and, where a worker manager started it, the service's.
The marks are what `shared.process.tree` finds a tree by, so a step cannot replace them.
"""

from collections.abc import Mapping
from typing import Final

from schemas.agents import Assignment
from shared.process.tree import EXECUTION_MARK, INCARNATION_MARK, WORKER_MARK

INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)
UNBUFFERED: Final = {"PYTHONUNBUFFERED": "1"}
"""Python holds back what it writes to a pipe until it ends: nobody could follow it, and a kill would lose it all."""
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NO_TRACE: Final[Mapping[str, str]] = {}


def base_environment(own: Mapping[str, str], *, worker_id: str, incarnation: str) -> dict[str, str]:
    """What every execution of this agent has in common; `own` is the agent's environment."""
    inherited = {name: value for name, value in own.items() if name in INHERITED or name.startswith("LC_")}
    return {"PATH": DEFAULT_PATH, **UNBUFFERED, **inherited, WORKER_MARK: worker_id, INCARNATION_MARK: incarnation}


def execution_environment(
    base: Mapping[str, str], assignment: Assignment, *, trace: Mapping[str, str] = _NO_TRACE
) -> dict[str, str]:
    """The whole environment of one execution; the step's variables win over the inherited ones, not over the marks.

    `trace` is what the process is told of the trace that it is part of.
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
    }
