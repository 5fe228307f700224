"""The OpenAPI documents as others use them: to generate clients, and to try a route out as its example stands."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hodei.client import Client
from schemas.rest.pipelines import PipelineCreate
from schemas.states import JobStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job
from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import SERVICES, Platform

Http = Callable[[str], RawHttp]


def _properties(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            yield f"{name}.{field}", described


@pytest.mark.parametrize("service", SERVICES)
def test_every_field_and_parameter_is_described(platform: Platform, service: str) -> None:
    document = platform.checks[service].document
    fields = [name for name, schema in _properties(document) if not schema.get("description")]
    parameters = [
        f"{path} {parameter['name']}"
        for path, item in document["paths"].items()
        for operation in item.values()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert fields + parameters == []


OPAQUE = ("TimelineEvent.id", "LogLineView.id", "JobLogLine.id", "Problem.", "AuditEntry.request_id")
REQUESTS = ("JobCreate.", "ScheduleCreate.", "SchedulePatch.", "ExecuteRequest.", "JobFilter")
"""Their ids are any text, which is mostly not found."""


@pytest.mark.parametrize("service", SERVICES)
def test_ids_and_times_of_answers_have_their_format(platform: Platform, service: str) -> None:
    wrong = [
        name
        for name, schema in _properties(platform.checks[service].document)
        if schema.get("type") == "string"
        and not name.startswith(OPAQUE)  # opaque texts
        and not name.startswith("DeadLetter")  # as they stand in an event that may be broken
        and not name.startswith(REQUESTS)
        and name.endswith((".id", "_id", "_at"))
        and schema.get("format") != ("date-time" if name.endswith("_at") else "uuid")
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_null_is_no_schema_of_its_own(platform: Platform, service: str) -> None:
    assert '"enum":[null]' not in json.dumps(platform.checks[service].document, separators=(",", ":"))


async def test_every_example_runs_as_it_stands(platform: Platform, client: Client, http: Http) -> None:
    job = await client.submit(command_job("false"))  # it is run again from what failed
    await expect.ends(client, job.id, JobStatus.FAILED)
    pipeline = await client.create_pipeline(PIPELINE)
    worker = json.loads((await http("scheduler")("POST", "/api/v1/workers", data="{}")).body)
    schedule = await client.schedule({"command": "true", "cron": "0 0 1 1 *"})
    ids = {"/pipelines/": pipeline.id, "/jobs/": job.id, "/workers/": worker["id"], "/scheduled/": schedule.id}
    later = await client.submit({"command": "true", "run_at": "2100-01-01T00:00:00Z"})
    tried = 0
    for service in SERVICES:
        document = platform.checks[service].document
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if "requestBody" not in operation:
                    continue
                if path == "/api/v1/tokens":  # needs access to be on; tests/e2e/test_access.py creates tokens
                    continue
                example = _example(document, operation["requestBody"]["content"]["application/json"]["schema"])
                concrete = path.replace("{id}", next((id for part, id in ids.items() if part in path), ""))
                if (method, path) == ("patch", "/api/v1/jobs/{id}"):
                    concrete = path.replace("{id}", later.id)
                if path.startswith("/api/v1/tasks/"):
                    concrete = path.replace("{id}", await _waiting(client, example.get("inputs", {})))
                answer = await http(service)(method.upper(), concrete, json=example)
                assert answer.status < 300, f"{method} {path} {example}: {answer.status} {answer.body!r}"
                tried += 1
                if service == "worker_manager" and path == "/api/v1/workers":
                    await http(service)("DELETE", f"{path}/{json.loads(answer.body)['id']}?force=true")
    await client.cancel(later.id)
    await client.delete_schedule(schedule.id)
    assert tried >= 11


async def _waiting(client: Client, inputs: dict[str, Any]) -> str:
    """The id of a task that waits for an approval with inputs of these names."""
    ask = {"name": "ask", "type": "approval", "inputs": {name: {} for name in inputs}}
    job = await client.submit({"pipeline": {"name": "asks", "steps": [ask]}})
    return job.tasks[0].id


PIPELINE = PipelineCreate.model_validate({"name": "to be changed", "steps": []})


def _example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The example of a body; Swagger UI fills in the same."""
    if schema.get("type") == "array":
        return [_example(document, schema["items"])]
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["example"]


async def test_null_stands_for_an_absent_field_in_every_request(client: Client, http: Http) -> None:
    pipeline = await client.create_pipeline(PIPELINE)
    nulls = {"timeout": None, "type": None, "env": None, "priority": None, "labels": None, "params": None}
    answer = await http("orchestrator")("POST", "/api/v1/jobs", json={"pipeline_id": pipeline.id, **nulls})
    assert answer.status == 201
    await expect.succeeds(client, json.loads(answer.body)["id"])


async def test_a_generated_client_runs_a_job(platform: Platform, client: Client, http: Http, tmp_path: Path) -> None:
    models = await _generate(platform.checks["orchestrator"].document, tmp_path)
    job = models.JobCreate(command="echo generated", labels={"by": "generator"}, retry={"max_attempts": 2})

    sent = job.model_dump_json(exclude_unset=True)
    answer = await http("orchestrator")("POST", "/api/v1/jobs", data=sent)
    made = models.JobDetail.model_validate_json(answer.body)
    await expect.succeeds(client, str(made.id))
    shown = await http("orchestrator")("GET", f"/api/v1/jobs/{made.id}")

    done = models.JobDetail.model_validate_json(shown.body)
    assert done.status is models.JobStatus.succeeded
    assert done.labels == {"by": "generator"}
    assert done.tasks[0].executions[0].finished_at > done.created_at
    assert {"Job", "JobCreate", "Pipeline", "Task", "Execution", "Priority"} <= set(vars(models))


async def _generate(document: dict[str, Any], folder: Path) -> ModuleType:
    """The models that datamodel-code-generator makes of a document, imported."""
    source, target = folder / "openapi.json", folder / "generated_models.py"
    source.write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "datamodel_code_generator", "--input", str(source), "--output", str(target)),
        *(
            "--input-file-type",
            "openapi",
            "--output-model-type",
            "pydantic_v2.BaseModel",
            "--formatters",
            "builtin",
            "--strict-nullable",
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    spec = importlib.util.spec_from_file_location("generated_models", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # the models name each other by their module
    spec.loader.exec_module(module)
    return module
