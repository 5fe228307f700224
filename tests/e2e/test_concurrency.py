"""Concurrency keys on the whole platform: real processes hold them, and the command line shows who waits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from hodei.client import ApiError, Client
from schemas.rest.pipelines import PipelineCreate
from schemas.states import JobStatus, Reason, TaskStatus
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually
from tests.e2e.test_command_line import hodei


@pytest.mark.usefixtures("own_platform")  # its worker writes into the folder
async def test_only_as_many_commands_run_at_once_as_the_limit_lets(client: Client, tmp_path: Path) -> None:
    """Each command notes how many of them run; a job that ends lets the next begin."""
    key = unique("key")
    program = f"""
import os, time
names = {str(tmp_path)!r}
mine = f"{{names}}/{{os.getpid()}}"
open(mine, "x").close()
print(len(os.listdir(names)))
time.sleep(0.05)
os.remove(mine)
"""
    wish = command_job(program, type="python", concurrency_key=key, concurrency={"limit": 2})
    jobs = await client.submit_many([wish] * 12)
    seen = []
    for job in jobs:
        assert (await client.wait(job.id, timeout=60)).status is JobStatus.SUCCEEDED
        seen += [int(line.message) for line in (await client.logs(job.id)).logs]
    assert len(seen) == 12
    assert max(seen) <= 2
    assert [one async for one in client.concurrency_keys(key=key)] == []


async def test_a_person_sees_who_holds_a_key_and_who_waits(platform: Platform, client: Client) -> None:
    key = unique("deploy")
    holder = await client.submit(command_job("sleep 600", concurrency_key=key))

    async def holder_runs() -> bool | None:
        return (await client.job(holder.id)).status is JobStatus.RUNNING or None

    await eventually(holder_runs)
    code, out, err = await hodei(platform, "run", "--concurrency-key", key, "--when-full", "reject", "true")
    assert (code, out) == (125, "")
    assert f"job {holder.id}" in err
    following = asyncio.create_task(hodei(platform, "run", "--concurrency-key", key, "echo", "my turn"))

    async def waits() -> str | None:
        found = [one.id async for one in client.jobs(concurrency_key=key, status="pending")]
        return found[0] if found else None

    waiting = await eventually(waits)
    [line] = (await hodei(platform, "concurrency", "--key", key, "--json"))[1].splitlines()
    told = json.loads(line)
    assert (told["key"], told["limit"], told["holding"], told["waiting"]) == (key, 1, 1, 1)
    assert [one["job_id"] for one in told["holders"]] == [holder.id]
    code, out, err = await hodei(platform, "concurrency", "--key", key)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()][1][:4] == [key, "1", "1", "1"]
    who = f"the concurrency key '{key}' lets at most 1 job at a time run, and job {holder.id} ({holder.name}) holds it"
    sentence = f"waits: {who}; it is the next one"
    assert await hodei(platform, "explain", waiting) == (0, f"job {waiting} {sentence}\n", "")
    [task] = (await client.job(waiting)).tasks
    explained = await client.explain(task.id)
    assert (explained.status, explained.summary) == (TaskStatus.PENDING, f"its job {sentence}")
    shown = (await hodei(platform, "show", waiting))[1]
    assert f"key      {key}\n" in shown
    assert f"waits    {sentence.removeprefix('waits: ')}\n" in shown
    await client.cancel(holder.id)
    code, out, err = await following
    assert (code, out) == (0, "my turn\n")
    assert f"the job waits: {who}" in err
    assert "begins" in err


async def test_a_newer_job_replaces_the_one_that_runs(platform: Platform, client: Client) -> None:
    key = unique("key")
    old = asyncio.create_task(hodei(platform, "run", "--concurrency-key", key, "sleep", "600"))

    async def old_runs() -> str | None:
        found = [one.id async for one in client.jobs(concurrency_key=key, status="running")]
        return found[0] if found else None

    old_id = await eventually(old_runs)
    code, out, _ = await hodei(
        platform, "run", "--concurrency-key", key, "--when-full", "cancel_oldest", "-q", "--", "echo", "new"
    )
    assert (code, out) == (0, "new\n")
    [new] = [one async for one in client.jobs(concurrency_key=key, status="succeeded")]
    code, _, err = await old
    assert code == 143
    assert f"superseded: job {new.id} with the same concurrency key has taken its place" in err
    assert (await client.job(old_id)).reason is Reason.SUPERSEDED


async def test_a_pipelines_key_is_planned_run_and_exported(platform: Platform, client: Client, tmp_path: Path) -> None:
    fields: dict[str, object] = {
        "name": unique("deploy"),
        "params": {"env": {"type": "choice", "choices": ["test", "prod"], "default": "test"}},
        "concurrency_key": "deploy-${{ params.env }}",
        "concurrency": {"limit": 2, "when_full": "cancel_newest"},
        "steps": [{"name": "go", "command": "true"}],
    }
    made = await client.create_pipeline(fields)
    assert (made.concurrency_key, made.concurrency) == (
        "deploy-${{ params.env }}",
        PipelineCreate.model_validate(fields).concurrency,
    )
    plan = await client.plan_pipeline(PipelineCreate.model_validate(fields), params={"env": "prod"})
    assert plan.concurrency_key == "deploy-prod"
    code, out, _ = await hodei(platform, "pipelines", "export", made.name)
    assert "concurrency_key: deploy-${{ params.env }}\n" in out
    (tmp_path / "out.yaml").write_text(out)
    _, again, _ = await hodei(platform, "pipelines", "apply", str(tmp_path))
    assert again == f"{made.name}: unchanged, version 1, {made.id}\n"
    own = unique("own")
    code, out, _ = await hodei(
        platform, "pipelines", "run", made.name, "--concurrency-key", own, "--concurrency-limit", "3", "--json", "-q"
    )
    job = json.loads(out)
    assert (code, job["concurrency_key"], job["concurrency"]) == (0, own, {"limit": 3, "when_full": "queue"})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--concurrency-limit", "2", "true"), "--concurrency-key"),
        (("--concurrency-key", "k", "--concurrency-limit", "0", "true"), "--concurrency-limit"),
        (("--concurrency-key", "k", "--when-full", "wait", "true"), "--when-full"),
        (("--concurrency-key", "", "true"), "--concurrency-key"),
    ],
)
async def test_a_wrong_option_is_named(platform: Platform, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = await hodei(platform, "run", *arguments)
    assert (code, out) == (2, "")
    assert says in err


async def test_a_schedules_job_takes_part(client: Client) -> None:
    key = unique("key")
    holder = await client.submit(command_job("sleep 600", concurrency_key=key))
    made = await client.create_pipeline({**pipeline(step("go")).model_dump(exclude_unset=True), "concurrency_key": key})
    schedule = await client.schedule({"pipeline_id": made.id})

    async def waits() -> str | None:
        found = [one async for one in client.jobs(schedule_id=schedule.id)]
        return found[0].id if found else None

    job_id = await eventually(waits)
    assert (await client.job(job_id)).waiting_for == f"the concurrency key {key}"
    with pytest.raises(ApiError) as refused:
        await client.submit({"pipeline_id": made.id, "concurrency": {"when_full": "reject"}})
    assert refused.value.status == 409
    await client.cancel(holder.id)
    assert (await client.wait(job_id, timeout=30)).status is JobStatus.SUCCEEDED
