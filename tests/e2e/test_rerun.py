"""Jobs that run again, and waiting for jobs, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rich.cells import cell_len

from hodei.client import Client
from schemas.states import JobStatus
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.test_command_line import hodei


async def failed_job(client: Client, flag: Path) -> str:
    """A job whose second step fails as long as there is no file `flag`."""
    steps = [
        {"name": "build", "command": 'echo building; echo TAG=v7 >> "$HODEI_OUTPUT"'},
        {"name": "ask", "type": "approval", "message": "Publish?"},
        {
            "name": "publish",
            "command": f'test -e {flag} || exit 3; echo "publishing $TAG"',
            "env": {"TAG": "${{ steps.build.outputs.TAG }}"},
            "depends_on": ["build", "ask"],
        },
        {"name": "notify", "command": "echo notified", "depends_on": ["publish"]},
    ]
    made = await client.create_pipeline({"name": unique("again"), "steps": steps})
    job = await client.submit({"pipeline_id": made.id})
    await client.approve(job.tasks[1].id, by="ana")
    assert (await client.wait(job.id, timeout=30)).status is JobStatus.FAILED
    return job.id


async def test_a_job_goes_on_from_what_failed_with_outputs_and_decisions(
    own_platform: Platform, client: Client, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"  # on the worker's machine as well
    job_id = await failed_job(client, flag)
    code, out, err = await hodei(own_platform, "rerun", job_id, "--from", "failed", "-f", "-q")
    assert (code, out) == (3, "")
    assert "publish: exit_code 3" in err
    flag.touch()
    code, out, err = await hodei(own_platform, "rerun", job_id[-8:], "--from", "publish", "--follow")
    assert (code, out) == (0, "publish | publishing v7\nnotify | notified\n")
    new_id = err.splitlines()[0].removeprefix("hodei: job ")
    new = await client.job(new_id)
    assert new.rerun_of == job_id
    assert [len(task.executions) for task in new.tasks] == [0, 0, 1, 1]
    code, out, _ = await hodei(own_platform, "show", new_id)
    assert f"\nrerun of {job_id}\n" in out
    assert [line.split()[2] for line in out.partition("STEP")[2].splitlines()[1:5]] == ["kept", "kept", "1", "1"]
    assert "approved by ana" in out


async def test_several_jobs_and_all_that_match_are_run_again_and_deleted(platform: Platform, client: Client) -> None:
    name = unique("many")
    made = [await client.submit({"name": name, "command": command}) for command in ("true", "exit 3", "exit 3")]
    for job in made:
        await client.wait(job.id, timeout=30)
    failed = ("--all", "--name", name, "--status", "failed")

    assert await hodei(platform, "rerun", *failed, "--dry-run") == (0, "would run 2 jobs again\n", "")
    code, out, err = await hodei(platform, "rerun", *failed, "--from", "failed")
    assert (code, err) == (0, "")
    assert {(await client.job(id)).rerun_of for id in out.split()} == {job.id for job in made[1:]}
    code, out, err = await hodei(platform, "rerun", made[0].id[-8:], made[1].id)
    assert (code, {(await client.job(id)).rerun_of for id in out.split()}) == (0, {made[0].id, made[1].id})

    waits = await client.submit({"name": name, "command": "true", "requires": {name: "yes"}})
    for job in [job async for job in client.jobs(name=name) if job.id != waits.id]:
        await client.wait(job.id, timeout=30)
    code, out, err = await hodei(platform, "rerun", waits.id, made[0].id)
    assert (code, out.count("\n")) == (1, 1)
    assert f"hodei: job {waits.id} was left as it is: " in err
    await client.wait(out.strip(), timeout=30)
    code, out, err = await hodei(platform, "delete", waits.id, made[0].id)
    assert (code, out) == (1, f"{made[0].id} deleted\n")
    assert f"hodei: job {waits.id} was left as it is: " in err
    code, out, err = await hodei(platform, "delete", "--all", "--name", name, "--json")
    assert (code, json.loads(out)["done"], err) == (0, 7, "")
    assert [job.id async for job in client.jobs(name=name)] == [waits.id]
    await client.cancel(waits.id)


async def test_a_rerun_prints_the_id_or_the_job_and_refuses_an_unknown_step(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    job_id = await failed_job(client, tmp_path / "other")
    code, out, err = await hodei(platform, "rerun", job_id, "--from", "publish")
    assert (code, err) == (0, "")
    assert (await client.job(out.strip())).rerun_of == job_id
    code, out, err = await hodei(platform, "rerun", job_id, "--from", "failed", "--json")
    assert [task["status"] for task in json.loads(out)["tasks"]][:2] == ["succeeded", "succeeded"]
    for more in ((), ("--follow",)):
        code, out, err = await hodei(platform, "rerun", job_id, "--from", "publsh", *more)
        assert (code, out) == (125 if more else 1, "")
        assert "the job has no step 'publsh'; did you mean publish?" in err
    assert (await hodei(platform, "rerun", job_id, "--quiet"))[0] == 2


async def test_wait_exits_with_the_code_of_the_first_that_did_not_succeed(platform: Platform, client: Client) -> None:
    good = await client.submit({"command": "true"})
    bad = await client.submit({"command": "exit 7"})
    worse = await client.submit({"command": "exit 9"})
    endless = await client.submit({"command": "sleep 600"})
    assert await hodei(platform, "wait", good.id) == (0, f"job {good.id} succeeded\n", "")
    code, out, err = await hodei(platform, "wait", good.id, worse.id[-8:], bad.id)
    assert (code, err) == (9, "")
    assert out.splitlines()[1] == f"job {worse.id} failed: main: exit_code 9"
    code, out, err = await hodei(platform, "wait", endless.id, bad.id, "--timeout", "0.2")
    assert (code, out) == (124, f"job {bad.id} failed: main: exit_code 7\n")
    assert err.startswith(f"hodei: job {endless.id} is ")
    await client.cancel(endless.id)
    code, out, _ = await hodei(platform, "wait", "--json", endless.id)
    assert (code, json.loads(out)["status"]) == (143, "cancelled")
    assert (await hodei(platform, "wait", "00000000-0000-7000-8000-000000000000"))[0] == 125


async def test_show_and_explain_tell_what_is_asked_what_was_skipped_and_why(platform: Platform, client: Client) -> None:
    steps: list[dict[str, object]] = [
        {"name": "build", "command": "echo built"},
        {"name": "deploy", "command": "make deploy", "depends_on": ["build"], "if": "params.stage == 'prod'"},
        {"name": "undo", "command": "make undo", "depends_on": ["build"], "when": "on_failure"},
        {"name": "ask", "type": "approval", "message": "Announce the release?", "depends_on": ["build"]},
        {"name": "announce", "command": "echo hello", "depends_on": ["ask"]},
        {"name": "after", "command": "echo hello", "depends_on": ["announce"]},
    ]
    made = await client.create_pipeline({"name": unique("looks"), "steps": steps})
    job = await client.submit({"pipeline_id": made.id, "params": {"stage": "dev"}})
    async for event in client.follow_events(job.id):
        if event.type == "tasks.approval_requested":
            break
    code, out, _ = await hodei(platform, "show", job.id, COLUMNS="80")
    assert [line for line in out.splitlines() if cell_len(line) > 80] == []
    assert re.search(r"^deploy +skipped \(condition\)$", out, re.M)
    assert re.search(r"^ask +running \(approval\) ", out, re.M)
    ask = job.tasks[3].id
    assert f"\nask asks: Announce the release?\nwaits for: hodei approve {ask}\n" in out
    code, out, _ = await hodei(platform, "explain", job.id)
    assert re.sub(r"since \S+Z", "since then", out).splitlines() == [
        "ask: waits for an approval since then: Announce the release?",
        "announce: waits for step ask, which waits for an approval",
        "after: waits for step announce, which is pending",
    ]
    await client.reject(ask, by="ana", comment="not yet")
    code, out, _ = await hodei(platform, "wait", job.id)
    assert (code, out) == (
        1,
        f"job {job.id} failed: ask: rejected by ana: not yet; announce: dependency_failed; after: dependency_failed\n",
    )
    code, out, _ = await hodei(platform, "explain", job.id)
    assert out.splitlines() == [
        f"job {job.id} failed: step ask: rejected by ana: not yet",
        "build: does not wait: it succeeded in attempt 1",
        "deploy: does not wait: it was skipped, because its `if` was false: params.stage == 'prod'",
        "undo: does not wait: it was skipped, because no step that it depends on failed",
        "ask: does not wait: it was rejected by ana: not yet",
        "announce: does not wait: it was skipped, because step ask failed",
        "after: does not wait: it was skipped, because step announce was skipped",
    ]
    code, out, _ = await hodei(platform, "show", job.id, COLUMNS="80")
    assert "\nask asks: Announce the release?\nrejected by ana: not yet\n\n" in out
