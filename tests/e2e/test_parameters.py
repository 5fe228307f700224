"""Parameters reach the process, and a pipeline runs without being stored."""

from __future__ import annotations

import pytest

from hodei.client import ApiError, Client
from tests.e2e.framework import assertions as expect

PIPELINE = {
    "name": "deploy",
    "params": {
        "version": {"required": True, "pattern": r"v\d+"},
        "replicas": {"type": "integer", "default": 2},
        "dry_run": {"type": "boolean", "default": False},
    },
    "steps": [
        {"name": "say", "command": 'echo "$HODEI_PARAM_VERSION $HODEI_PARAM_REPLICAS $HODEI_PARAM_DRY_RUN"'},
    ],
}


async def test_an_inline_pipeline_runs_with_typed_parameters(client: Client) -> None:
    job = await client.submit({"pipeline": PIPELINE, "params": {"version": "v2", "dry_run": True, "replicas": "3"}})

    done = await expect.succeeds(client, job.id)

    assert done.params == {"version": "v2", "replicas": 3, "dry_run": True}
    assert await expect.output(client, job.id) == ["v2 3 true"]
    again = await expect.succeeds(client, (await client.rerun(job.id)).id)
    assert (again.name, again.pipeline_id, again.params) == ("deploy", None, done.params)
    with pytest.raises(ApiError, match="version: is required"):
        await client.submit({"pipeline": PIPELINE})


async def test_a_schedule_is_refused_by_the_parameter_that_is_wrong(client: Client) -> None:
    made = await client.create_pipeline(PIPELINE)

    with pytest.raises(ApiError) as caught:
        await client.schedule({"pipeline_id": made.id, "params": {"version": "v1", "replicas": "many"}})

    assert caught.value.status == 422
    assert "replicas: should be a whole number" in str(caught.value)
    [error] = caught.value.problem.errors or []
    assert error.loc == ["body", "params", "replicas"]
