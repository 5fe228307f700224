"""Pipelines that run without being stored, and parameters that a pipeline declares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import JobTarget, ScheduleConfirmed, ScheduleFired, ScheduleRefused
from shared import masking
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, scheduled

STEP = {"name": "a", "command": "true", "env": {"A": "step"}}
DECLARED: dict[str, Any] = {
    "count": {"type": "integer", "required": True, "description": "How many."},
    "ratio": {"type": "number", "default": 1},
    "dry": {"type": "boolean", "default": False},
    "stage": {"type": "choice", "choices": ["dev", "prod"], "default": "dev"},
    "tag": {"pattern": r"v\d+"},
    "api_key": {},
}


async def faults(house: House, path: str, body: object) -> list[tuple[list[object], str, str]]:
    problem = await house.post(path, body, status=422)
    return [(error["loc"], error["msg"], error["type"]) for error in problem["errors"]]


async def test_a_pipeline_runs_without_being_stored(house: House) -> None:
    pipeline = {"name": "once", "steps": [STEP, STEP | {"name": "b", "depends_on": ["a"]}], "env": {"P": "1"}}
    job = await house.post("/api/v1/jobs", {"pipeline": pipeline, "env": {"A": "job"}, "params": {"tag": "v1"}})
    assert (job["name"], job["pipeline_id"], job["pipeline_version"]) == ("once", None, None)
    assert (job["params"], job["env"]) == ({"tag": "v1"}, {"P": "1", "A": "job"})
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    assert await house.get("/api/v1/pipelines") == []
    for name in ("a", "b"):
        order = await house.queued(job, name)
        assert {**order.run.env, "A": "job", "P": "1", "HODEI_PARAM_TAG": "v1"} == order.run.env
        await house.say(finished(scheduled(order)))
    assert (await house.over(job))["status"] == "succeeded"
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun")
    assert (again["name"], again["rerun_of"], len(again["tasks"])) == ("once", job["id"], 2)
    named = await house.post("/api/v1/jobs", {"pipeline": pipeline, "name": "mine"}, headers={"Idempotency-Key": "k"})
    same = await house.post("/api/v1/jobs", {"pipeline": pipeline, "name": "mine"}, headers={"Idempotency-Key": "k"})
    assert (named["name"], named["id"]) == ("mine", same["id"])


async def test_an_inline_pipeline_is_checked_as_a_stored_one(house: House) -> None:
    cyclic = {"name": "x", "steps": [STEP | {"depends_on": ["b"]}, STEP | {"name": "b", "depends_on": ["a"]}]}
    [(loc, _, kind)] = await faults(house, "/api/v1/jobs", {"pipeline": cyclic})
    assert (loc, kind) == (["body", "pipeline", "steps", 0, "depends_on"], "cycle")
    batch = [{"command": "true"}, {"pipeline": cyclic}]
    [(loc, _, kind)] = await faults(house, "/api/v1/jobs/batch", batch)
    assert (loc, kind) == (["body", 1, "pipeline", "steps", 0, "depends_on"], "cycle")
    fine = {"name": "x", "steps": [STEP]}
    for both in ({"command": "true"}, {"pipeline_id": new_id()}):
        [(_, message, _)] = await faults(house, "/api/v1/jobs", {"pipeline": fine, **both})
        assert message == "exactly one of pipeline_id, pipeline, command is needed"
    large = {"name": "x", "steps": [{**STEP, "name": f"s{number}"} for number in range(200)]}
    body = {"pipeline": large, "env": {"BIG": "x" * 50_000}}
    [(_, message, kind)] = await faults(house, "/api/v1/jobs", body)
    assert kind == "too_large"
    assert "the environments of the 200 steps" in message
    assert await house.get("/api/v1/jobs") == [], "nothing is half made"


async def test_declared_parameters_have_their_types(house: House) -> None:
    made = await house.pipeline(STEP, params=DECLARED)
    assert made["params"]["ratio"]["default"] == 1
    assert (await house.get(f"/api/v1/pipelines/{made['id']}"))["params"] == made["params"]
    params = {"count": "3", "dry": True, "api_key": "hidden"}
    job = await house.submit(pipeline_id=made["id"], params=params)
    shown = {"count": 3, "ratio": 1.0, "dry": True, "stage": "dev", "api_key": "***"}
    assert job["params"] == shown
    assert isinstance(job["params"]["count"], int)
    assert await house.get(f"/api/v1/jobs/{job['id']}") == job
    [listed] = await house.get("/api/v1/jobs")
    assert listed["params"] == shown
    variables = {
        "HODEI_PARAM_COUNT": "3",
        "HODEI_PARAM_RATIO": "1",
        "HODEI_PARAM_DRY": "true",
        "HODEI_PARAM_STAGE": "dev",
        "HODEI_PARAM_API_KEY": "hidden",
    }
    order = await house.queued(job)
    assert {name: value for name, value in order.run.env.items() if name.startswith("HODEI_PARAM_")} == variables
    await house.say(finished(scheduled(order)))
    await house.over(job)
    again = await house.post(f"/api/v1/jobs/{job['id']}/rerun")
    assert again["params"] == shown
    assert (await house.queued(again)).run.env | variables == (await house.queued(again)).run.env


async def test_parameters_that_are_not_as_declared_are_refused_by_name(house: House) -> None:
    made = await house.pipeline(STEP, params=DECLARED)
    wrong = {"ratio": "fast", "dry": 1, "stage": "test", "tag": "1", "cuont": 3}
    expected = {
        ("cuont", "the pipeline declares no such parameter; did you mean count?", "unknown_param"),
        ("count", "is required, and should be a whole number", "missing_param"),
        ("ratio", "should be a number", "param_value"),
        ("dry", "should be true or false", "param_value"),
        ("stage", "should be one of dev, prod", "param_value"),
        ("tag", r"should match the pattern v\d+", "param_value"),
    }
    inline = {"name": "x", "steps": [STEP], "params": DECLARED}
    for what in ({"pipeline_id": made["id"]}, {"pipeline": inline}):
        found = await faults(house, "/api/v1/jobs", {**what, "params": wrong})
        assert {(tuple(loc), *rest) for loc, *rest in found} == {
            (("body", "params", name), *rest) for name, *rest in expected
        }
    found = await faults(house, "/api/v1/pipelines/plan", {"pipeline": inline, "params": wrong})
    assert {tuple(loc) for loc, *_ in found} == {("body", "params", name) for name, *_ in expected}
    found = await faults(house, "/api/v1/jobs/batch", [{"command": "true"}, {"pipeline_id": made["id"]}])
    assert [(loc, kind) for loc, _, kind in found] == [(["body", 1, "params", "count"], "missing_param")]
    free = await house.pipeline(STEP)
    [(loc, message, _)] = await faults(house, "/api/v1/jobs", {"pipeline_id": free["id"], "params": {"n": 3}})
    assert (loc, message.partition(":")[0]) == (["body", "params", "n"], "should be a string")
    assert await house.get("/api/v1/jobs") == []


@pytest.mark.parametrize(
    ("params", "loc", "message"),
    [
        ({"n": {"type": "integer", "default": "x"}}, ["n"], "default should be a whole number"),
        ({"n": {"type": "choice"}}, ["n"], "a choice needs choices"),
        ({"n": {"pattern": "(a+"}}, ["n"], "pattern is not a valid pattern"),
        ({"n": {"requird": True}}, ["n", "requird"], "did you mean required?"),
        ({"n": {}, "N": {}}, [], "n and N both become HODEI_PARAM_N"),
    ],
)
async def test_a_declaration_that_cannot_be_met_is_refused(
    house: House, params: object, loc: list[str], message: str
) -> None:
    body = {"name": "x", "steps": [STEP], "params": params}
    [(where, told, _)] = await faults(house, "/api/v1/pipelines", body)
    assert where == ["body", "params", *loc]
    assert message in told


async def test_steps_refer_to_declared_parameters_only(house: House) -> None:
    step = STEP | {"env": {"N": "${{ params.cuont }}"}}
    [(loc, message, kind)] = await faults(
        house, "/api/v1/pipelines", {"name": "x", "steps": [step], "params": DECLARED}
    )
    assert (loc, kind) == (["body", "steps", 0, "env", "N"], "unknown_param")
    assert "did you mean count?" in message
    await house.pipeline(step)


async def test_a_schedule_and_a_rerun_with_other_parameters_are_checked_as_well(house: House) -> None:
    made = await house.pipeline(STEP, params=DECLARED)
    job = await house.submit(pipeline_id=made["id"], params={"count": 3})
    for target in (
        JobTarget(pipeline_id=made["id"], params={"count": "many"}),
        JobTarget(job_id=job["id"], params={"count": "many"}),
    ):
        await house.say(fired := _fired(target))
        id = fired.schedule_id
        [refused] = await house.ears.wait(ScheduleRefused, where=lambda one, id=id: one.schedule_id == id)  # type: ignore[misc]  # a lambda's default
        assert refused.detail == "body.params.count: should be a whole number"
        [error] = refused.errors or []
        assert (error.loc, error.type) == (["body", "params", "count"], "param_value")
    await house.say(fired := _fired(JobTarget(job_id=job["id"], params={"count": 5, "stage": "prod"})))
    await house.ears.wait(ScheduleConfirmed, where=lambda one: one.job_id == fired.job_id)
    again = await house.get(f"/api/v1/jobs/{fired.job_id}")
    assert (again["params"]["count"], again["params"]["stage"]) == (5, "prod")


async def test_parameters_are_loaded_with_their_job(house: House) -> None:
    """The conditions of later steps need them."""
    from orchestrator.store.runs import RunStore

    made = await house.pipeline(STEP, params=DECLARED)
    job = await house.submit(pipeline_id=made["id"], params={"count": 3, "api_key": "hidden"})
    async with house.database.transaction() as tx:
        runs = await RunStore(house.database).load(tx, [job["id"]])
    assert runs[job["id"]].job.params == {"count": 3, "ratio": 1.0, "dry": False, "stage": "dev", "api_key": "hidden"}


@pytest.mark.parametrize("value", ["https://u:p@host/", "plain", 3, 1.5, True])
async def test_parameters_are_masked_alike_in_sql_and_in_python(house: House, value: str | float) -> None:
    params = {"plain": value, "api_key": value}
    sql = "select orchestrator.shown_params($1::text::json)"
    assert await house.database.fetch_value(sql, json.dumps(params)) == masking.shown_params(params)
    assert masking.shown_event({"params": params}) == {"params": masking.shown_params(params)}


def _fired(target: JobTarget) -> ScheduleFired:
    return ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target, due_at=datetime.now(UTC))
