"""Environments: who wins, and that what is stored once and what is stored with a task give the same together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.environment import merged, of_attempt, own

NAMES = st.sampled_from(["A", "B", "C", "HODEI_PARAM_TAG"])
ENVS = st.dictionaries(NAMES, st.sampled_from(["", "1", "2", "3"]))
PARAMS = st.dictionaries(st.sampled_from(["tag", "other"]), st.text(max_size=2))


def test_the_environment_nearest_to_the_job_wins_and_the_platform_has_the_last_word() -> None:
    env = merged({"A": "pipeline", "B": "pipeline"}, {"B": "step", "C": "step"}, {"C": "job"}, params={"tag": "v1"})
    assert env == {"A": "pipeline", "B": "step", "C": "job", "HODEI_PARAM_TAG": "v1"}
    full = of_attempt({"HODEI_JOB_ID": "mine"}, job_id="j", job_name="n", task_id="t", step="s", attempt=2)
    assert full["HODEI_JOB_ID"] == "j"
    assert full["HODEI_ATTEMPT"] == "2"


@given(ENVS, ENVS, ENVS, PARAMS)
def test_a_jobs_environment_and_a_steps_own_give_the_whole(
    pipeline: dict[str, str], step: dict[str, str], job: dict[str, str], params: dict[str, str]
) -> None:
    stored_once = merged(pipeline, job)
    with_the_task = own(step, merged(job, params=params))
    whole = merged(merged(stored_once, params=params), with_the_task)
    assert whole == merged(pipeline, step, job, params=params)


@given(ENVS, ENVS, ENVS, PARAMS, ENVS)
def test_a_job_that_runs_again_with_more_environment_has_that_over_everything(
    pipeline: dict[str, str], step: dict[str, str], job: dict[str, str], params: dict[str, str], more: dict[str, str]
) -> None:
    stored_once, with_the_task = merged(pipeline, job), own(step, merged(job, params=params))
    again = merged(merged(stored_once, more, params=params), own(with_the_task, more))
    assert again == merged(merged(pipeline, step, job, more), params=params)
