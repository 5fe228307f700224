"""The pipelines in examples/, each linted, applied and run as its comments say."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from hodei.client import Client
from schemas.rest.jobs import JobDetail, Task
from schemas.states import JobStatus, Reason, TaskStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually
from tests.e2e.test_command_line import hodei

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the folder of examples."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    return copy


async def applied(platform: Platform, client: Client, folder: Path, name: str) -> str:
    """Store an example under a name that no other test has. Returns the pipeline's id."""
    own = unique(name)
    file = folder / f"{name}.yaml"
    file.write_text(file.read_text().replace(f"\nname: {name}\n", f"\nname: {own}\n", 1))
    code, out, err = await hodei(platform, "pipelines", "apply", str(file))
    assert (code, err) == (0, ""), f"{err} {out}"
    [pipeline] = [one async for one in client.pipelines(name=own)]
    assert out.splitlines()[-1] == f"{own}: created, version 1, {pipeline.id}"
    return pipeline.id


def named(job: JobDetail, name: str) -> Task:
    [task] = [task for task in job.tasks if task.name == name]
    return task


def reasons(job: JobDetail) -> dict[str, Reason | None]:
    """Why each of the steps that did not succeed did not."""
    return {task.name: task.reason for task in job.tasks if task.status is not TaskStatus.SUCCEEDED}


async def test_all_examples_lint_clean(platform: Platform) -> None:
    code, out, err = await hodei(platform, "pipelines", "lint", str(EXAMPLES))

    assert (code, err) == (0, "")
    assert re.fullmatch(r"no errors in \d+ files\n", out)


async def test_build_test_package(own_platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(own_platform, client, folder, "build-test-package")
    project = folder / "greeter"

    job = await client.submit({"pipeline_id": pipeline, "params": {"checkout": str(project)}})
    done = await expect.succeeds(client, job.id)

    archive = project / "dist" / "greeter-1.2.0.tar.gz"
    assert archive.is_file()
    assert named(done, "build").outputs == {"VERSION": "1.2.0"}
    assert named(done, "package").outputs == {"ARCHIVE": str(archive)}
    assert named(done, "package").working_dir == "${{ params.checkout }}"
    said = await expect.output(client, job.id)
    assert {"Ran 2 tests", "OK", "Hello, World!"} <= {re.sub(r" in [\d.]+s$", "", line) for line in said}
    expect.ran_in_order(done, "build", "test", "package", "try")


async def test_a_project_whose_tests_fail_is_not_packaged(own_platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(own_platform, client, folder, "build-test-package")
    module = folder / "greeter" / "greeter" / "__init__.py"
    module.write_text(module.read_text().replace("Hello", "Goodbye"))

    job = await client.submit({"pipeline_id": pipeline, "params": {"checkout": str(folder / "greeter")}})
    done = await expect.fails(client, job.id)

    failed = Reason.DEPENDENCY_FAILED
    assert reasons(done) == {"test": Reason.EXIT_CODE, "package": failed, "try": failed}
    assert not (folder / "greeter" / "dist").exists()


async def test_fan_out(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "fan-out")

    job = await client.submit({"pipeline_id": pipeline})
    done = await expect.succeeds(client, job.id)

    estimates = [task for task in done.tasks if task.name == "estimate"]
    assert [task.matrix for task in estimates] == [
        {"method": "leibniz", "terms": 10},
        {"method": "leibniz", "terms": 1000},
        {"method": "machin", "terms": 5},
    ]
    assert [round(float(task.outputs["PI"]), 2) for task in estimates] == [3.04, 3.14, 3.14]
    assert named(done, "best").outputs == {"METHOD": "machin, 5 terms"}
    ends = [task.finished_at for task in estimates]
    began = named(done, "best").started_at
    assert began is not None
    assert all(isinstance(end, datetime) and end <= began for end in ends)


async def asked(client: Client, job_id: str) -> Task:
    """The step that asks, once it does."""

    async def ask() -> Task | None:
        task = named(await client.job(job_id), "ask")
        return task if task.status is TaskStatus.RUNNING else None

    return await eventually(ask)


async def test_approval(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "approval")

    job = await client.submit({"pipeline_id": pipeline, "params": {"stage": "production"}})
    approval = (await asked(client, job.id)).approval
    assert (approval and approval.message) == "Deploy this release?"
    code, _, err = await hodei(platform, "approve", job.id, "--by", "ana", "--input", "replicas=3")
    done = await expect.succeeds(client, job.id)

    assert (code, err) == (0, "")
    release = named(done, "build").outputs["RELEASE"]
    assert re.fullmatch(r"release-\d{8}", release)
    assert await expect.output(client, job.id) == [f"deploying 3 of {release} to production"]
    assert reasons(done) == {"discard": Reason.NOT_NEEDED}


async def test_approval_that_is_rejected(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "approval")

    job = await client.submit({"pipeline_id": pipeline})
    await asked(client, job.id)
    await hodei(platform, "reject", job.id, "--comment", "not on a Friday")
    done = await expect.fails(client, job.id)

    release = named(done, "build").outputs["RELEASE"]
    assert await expect.output(client, job.id) == [f"discarding {release}"]
    assert reasons(done) == {"ask": Reason.REJECTED, "deploy": Reason.DEPENDENCY_FAILED}


async def test_flaky(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "flaky")

    job = await client.submit({"pipeline_id": pipeline})
    done = await expect.succeeds(client, job.id)

    fetch = named(done, "fetch")
    assert [(one.attempt, one.exit_code) for one in fetch.executions] == [(1, 75), (2, 75), (3, 0)]
    assert fetch.outputs == {"ANSWER": "42"}
    assert (await expect.output(client, job.id))[-1] == "the answer is 42"


async def test_clean_up_after_a_failure(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "clean-up")

    job = await client.submit({"pipeline_id": pipeline})
    done = await expect.fails(client, job.id)

    assert (done.reason, named(done, "migrate").exit_code) == (Reason.EXIT_CODE, 4)
    assert reasons(done) == {"migrate": Reason.EXIT_CODE, "verify": Reason.DEPENDENCY_FAILED}
    said = await expect.output(client, job.id)
    assert {"rolling back from stage 2", "telling the team"} < set(said)
    assert said[-1] == f"removing db-{job.id}"


async def test_clean_up_under_a_condition_and_after_success(platform: Platform, client: Client, folder: Path) -> None:
    pipeline = await applied(platform, client, folder, "clean-up")

    quiet = await client.submit({"pipeline_id": pipeline, "params": {"notify": "none"}})
    healthy = await client.submit({"pipeline_id": pipeline, "params": {"healthy": True}})

    assert reasons(await expect.ends(client, quiet.id, JobStatus.FAILED))["notify"] is Reason.CONDITION
    done = await expect.succeeds(client, healthy.id)
    assert reasons(done) == {"roll-back": Reason.NOT_NEEDED, "notify": Reason.NOT_NEEDED}
    said = await expect.output(client, healthy.id)
    assert said == ["starting a database", "verifying the migration", f"removing db-{healthy.id}"]
