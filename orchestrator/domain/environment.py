"""The environment of a step: who may set it, who wins, and what the platform adds.

A pipeline's env, then the step's, then the job's; a later one wins. Parameters arrive as `HODEI_PARAM_<NAME>` and
the platform's own variables last, so that neither can be overridden. The agent adds the execution's id.

What all steps of a job have in common is kept once, with the job: the pipeline's env under the job's (`merged`). With a
task is kept only what its step sets and the job does not (`own`), so that laying that over the job's gives the whole.
"""

from collections.abc import Mapping

from schemas.sizes import parameter_variable


def merged(
    *layers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Lay the environments over each other, the last on top, and the parameters over all of them."""
    env: dict[str, str] = {}
    for layer in layers:
        if layer:
            env.update(layer)
    if params:
        env.update((parameter_variable(name), value) for name, value in params.items())
    return env


def own(step: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """What of a step's environment stays when its job lays `over` on it."""
    return {name: value for name, value in step.items() if name not in over} if over else dict(step)


def of_attempt(
    env: Mapping[str, str],
    *,
    job_id: str,
    job_name: str,
    task_id: str,
    step: str,
    attempt: int,
    tracestate: str | None = None,
) -> dict[str, str]:
    """The environment of one attempt: the task's own and what tells the process who it is.

    `tracestate` goes with the TRACEPARENT that the agent sets, unless the task has a trace of its own choosing.
    """
    return {
        **({"TRACESTATE": tracestate} if tracestate is not None and "TRACEPARENT" not in env else {}),
        **env,
        "HODEI_JOB_ID": job_id,
        "HODEI_JOB_NAME": job_name,
        "HODEI_TASK_ID": task_id,
        "HODEI_STEP_NAME": step,
        "HODEI_ATTEMPT": str(attempt),
    }
