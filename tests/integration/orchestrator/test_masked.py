"""Secrets in definitions: whole for those who may change pipelines, masked for everyone else, on every route."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from orchestrator.api import masked
from schemas.access import Role
from schemas.events import TaskApprovalRequested
from schemas.rest.jobs import JobDetail, WaitingApproval
from schemas.rest.pipelines import Pipeline
from tests.fixtures.access import Caller, Callers, callers
from tests.integration.orchestrator.conftest import House

__all__ = ["callers"]

pytestmark = pytest.mark.usefixtures("callers", "scheduler")  # in this order: access is on before a service starts

SECRET = "s3cr3t"
NUMBER = 70707070
DEFINITION: dict[str, Any] = {
    "name": "deploy",
    "env": {"DEPLOY_TOKEN": SECRET, "MODE": "fast", "DATABASE_URL": f"postgres://me:{SECRET}@db/x"},
    "params": {
        "api_key": {"default": SECRET},
        "token_number": {"type": "integer", "default": NUMBER},
        "password": {"default": SECRET, "pattern": "s.*"},
        "key_type": {"type": "choice", "choices": ["rsa", "ed25519"], "default": "rsa"},
        "mirror": {"default": f"https://me:{SECRET}@mirror/"},
        "region": {"default": "north"},
    },
    "steps": [
        {
            "name": "build",
            "command": "true",
            "env": {"API_TOKEN": SECRET, "LEVEL": "3"},
            "matrix": {
                "auth": [SECRET, NUMBER],
                "os": ["debian"],
                "include": [{"auth": SECRET, "private": SECRET, "extra": "x"}],
                "exclude": [{"auth": NUMBER, "os": "debian"}],
            },
        },
        {
            "name": "ask",
            "type": "approval",
            "inputs": {
                "otp_token": {"default": f"otp {SECRET}"},
                "pw": {"type": "integer", "default": NUMBER},
                "note": {},
            },
        },
    ],
}


@pytest.fixture
def operator(callers: Callers) -> Caller:
    return callers.caller("olga")


@pytest.fixture
def below(callers: Callers) -> list[Caller]:
    return [callers.caller("vera", Role.VIEWER), callers.caller("sam", Role.SUBMITTER)]


@pytest.fixture
async def pipeline(operator: Caller, below: list[Caller], house: House) -> Any:
    made = await house.post("/api/v1/pipelines", DEFINITION, headers=operator.headers)
    return await house.call("PUT", f"/api/v1/pipelines/{made['id']}", DEFINITION, status=200, headers=operator.headers)


def routes(id: str) -> list[str]:
    path = f"/api/v1/pipelines/{id}"
    return [path, "/api/v1/pipelines", f"{path}/versions", f"{path}/versions?limit=1", f"{path}/versions/1"]


async def test_no_route_shows_the_secrets_of_a_pipeline_to_those_who_may_not_change_it(
    pipeline: Any, below: list[Caller], house: House
) -> None:
    for path in [*routes(pipeline["id"]), f"/api/v1/pipelines?name={pipeline['name']}&limit=1"]:
        for caller in below:
            found = await house.get(path, headers=caller.headers)
            for one in found if isinstance(found, list) else [found]:
                assert SECRET not in json.dumps(one), path
                assert str(NUMBER) not in json.dumps(one), path
                Pipeline.model_validate(one)  # as the Python client reads it
                assert {**one, "steps": 0, "env": 0, "params": 0} == {
                    **one,
                    "id": pipeline["id"],
                    "name": "deploy",
                    "steps": 0,
                    "env": 0,
                    "params": 0,
                }


async def test_everything_but_the_secrets_stays_as_it_is(pipeline: Any, below: list[Caller], house: House) -> None:
    found = await house.get(f"/api/v1/pipelines/{pipeline['id']}", headers=below[0].headers)

    assert found["env"] == {"DEPLOY_TOKEN": "***", "MODE": "fast", "DATABASE_URL": "postgres://me:***@db/x"}
    defaults = {name: spec["default"] for name, spec in found["params"].items()}
    assert defaults == {
        "api_key": "***",
        "token_number": None,
        "password": None,
        "key_type": None,
        "mirror": "https://me:***@mirror/",
        "region": "north",
    }
    assert found["params"]["key_type"]["choices"] == ["rsa", "ed25519"]
    build, ask = found["steps"]
    assert build["env"] == {"API_TOKEN": "***", "LEVEL": "3"}
    assert {name: build["matrix"][name] for name in ("auth", "os", "include", "exclude", "fail_fast")} == {
        "auth": ["***", "***"],
        "os": ["debian"],
        "include": [{"auth": "***", "private": "***", "extra": "x"}],
        "exclude": [{"auth": "***", "os": "debian"}],
        "fail_fast": True,
    }
    assert {name: spec["default"] for name, spec in ask["inputs"].items()} == {
        "otp_token": "***",
        "pw": None,
        "note": None,
    }
    whole = pipeline["steps"]
    assert build | {"env": 0, "matrix": 0} == whole[0] | {"env": 0, "matrix": 0}
    assert ask | {"inputs": 0} == whole[1] | {"inputs": 0}


async def test_who_may_change_a_pipeline_reads_all_of_it(
    pipeline: Any, callers: Callers, operator: Caller, house: House
) -> None:
    for caller in (operator, callers.caller("ada", Role.ADMIN)):
        for path in routes(pipeline["id"]):
            found = await house.get(path, headers=caller.headers)
            one = found[0] if isinstance(found, list) else found
            assert one["env"] == DEFINITION["env"], path
            assert one["params"]["token_number"]["default"] == NUMBER, path
            assert one["steps"] == pipeline["steps"], path
    body = {name: pipeline[name] for name in ("name", "env", "params", "steps")}
    again = await house.call("PUT", f"/api/v1/pipelines/{pipeline['id']}", body, status=200, headers=operator.headers)
    assert again["env"] == DEFINITION["env"]


async def test_a_large_page_is_masked_too(
    pipeline: Any, below: list[Caller], monkeypatch: pytest.MonkeyPatch, house: House
) -> None:
    monkeypatch.setattr(masked, "QUICK", 0)
    [found] = await house.get("/api/v1/pipelines", headers=below[0].headers)
    assert (found["id"], found["env"]["DEPLOY_TOKEN"]) == (pipeline["id"], "***")


async def test_jobs_and_approvals_of_a_pipeline_show_no_secrets_either(
    pipeline: Any, below: list[Caller], operator: Caller, house: House
) -> None:
    made = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, headers=below[1].headers)
    await house.ears.wait(TaskApprovalRequested, where=lambda one: one.job_id == made["id"])
    shown = [made]
    for caller in below:
        shown.append(await house.get(f"/api/v1/jobs/{made['id']}", headers=caller.headers))
        shown += await house.get("/api/v1/approvals", headers=caller.headers)
        shown += await house.get("/api/v1/jobs", headers=caller.headers)

        timeline = await house.get(f"/api/v1/jobs/{made['id']}/events", headers=caller.headers)
        assert f"otp {SECRET}" not in json.dumps(timeline)

    assert len(shown) == 7
    assert SECRET not in json.dumps(shown)
    assert str(NUMBER) not in json.dumps(shown)
    first, listed = shown[1], shown[2]
    JobDetail.model_validate_json(orjson.dumps(first))
    WaitingApproval.model_validate_json(orjson.dumps(listed))
    assert {**made, "status": 0, "started_at": 0, "tasks": 0} == {**first, "status": 0, "started_at": 0, "tasks": 0}
    assert [task["matrix"] for task in first["tasks"]] == [task["matrix"] for task in made["tasks"]]
    masked_matrix = {"auth": "***", "os": "debian", "private": "***", "extra": "x"}
    assert [task["matrix"] for task in first["tasks"]] == [masked_matrix, None]

    [asked] = await house.get("/api/v1/approvals", headers=operator.headers)
    assert asked["inputs"]["otp_token"]["default"] == f"otp {SECRET}", (
        "an operator decides, and the form has the default"
    )
    whole = await house.get(f"/api/v1/jobs/{made['id']}", headers=operator.headers)
    assert whole["tasks"][0]["matrix"] == masked_matrix | {"auth": SECRET, "private": SECRET}
    assert whole["tasks"][1]["approval"]["inputs"]["otp_token"]["default"] == f"otp {SECRET}"


async def test_the_stored_defaults_apply_to_a_job_of_a_caller_that_cannot_read_them(
    pipeline: Any, below: list[Caller], house: House
) -> None:
    made = await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}, headers=below[1].headers)
    order = await house.queued(made)
    assert order.run.env["HODEI_PARAM_API_KEY"] == SECRET
    assert order.run.env["DEPLOY_TOKEN"] == SECRET
    assert order.run.env["HODEI_PARAM_KEY_TYPE"] == "rsa"
