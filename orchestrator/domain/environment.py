"""The environment of a step: its sources, their precedence, and the variables that the platform adds.

The sources are the pipeline's env, the step's and the job's; a later one wins. Then come parameters as
`HODEI_PARAM_<NAME>`, and last the values of a matrix as `HODEI_MATRIX_<AXIS>` and the platform's own variables, so that
none of these can be overridden. The agent adds the execution's id. The environment that all steps share is stored once,
with the job: the pipeline's env under the job's (`merged`). A task stores only what its step sets and the job does not
(`own`); laid over the job's environment, it gives the whole.
"""

from collections.abc import Mapping

from schemas.matrix import variables_of as of_matrix
from schemas.params import Scalar, variables_of


def merged(
    *layers: Mapping[str, str],
    params: Mapping[str, Scalar] | None = None,
) -> dict[str, str]:
    """Merge environments; a later one wins, and the parameters win over all of them."""
    env: dict[str, str] = {}
    for layer in layers:
        if layer:
            env.update(layer)
    if params:
        env.update(variables_of(params))
    return env


def own(step: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """The part of a step's environment that its job does not override with `over`."""
    return {name: value for name, value in step.items() if name not in over} if over else dict(step)


def of_attempt(
    env: Mapping[str, str],
    *,
    job_id: str,
    job_name: str,
    task_id: str,
    step: str,
    attempt: int,
    matrix: Mapping[str, Scalar] | None = None,
    tracestate: str | None = None,
) -> dict[str, str]:
    """The environment of one attempt: the task's own, and the variables that identify the attempt.

    `tracestate` goes with the TRACEPARENT that the agent sets, unless the task sets a TRACEPARENT itself.
    """
    return {
        **({"TRACESTATE": tracestate} if tracestate is not None and "TRACEPARENT" not in env else {}),
        **env,
        **(of_matrix(matrix) if matrix else {}),
        "HODEI_JOB_ID": job_id,
        "HODEI_JOB_NAME": job_name,
        "HODEI_TASK_ID": task_id,
        "HODEI_STEP_NAME": step,
        "HODEI_ATTEMPT": str(attempt),
    }
