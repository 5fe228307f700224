"""The command line, as a person uses it: output, exit codes, one clear line when something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import sys
import termios
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from rich.cells import cell_len

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.rest.pipelines import PipelineCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import WorkerStart
from schemas.states import JobStatus, TaskStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually

README = Path(__file__).parents[2] / "README.md"


def environment(platform: Platform) -> dict[str, str]:
    return os.environ | {f"HODEI_{name.upper()}_URL": url for name, url in platform.urls.items()}


async def hodei(platform: Platform, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments,
        env=environment(platform) | more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def into_head(platform: Platform, command: str) -> tuple[bytes, bytes]:
    """Run `hodei COMMAND | head -1`. Returns the line with the exit code of hodei after it, and standard error."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{sys.executable} -m hodei {command} | head -1; echo ${{PIPESTATUS[0]}}",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        return await process.communicate()


async def test_run_shows_output_and_exits_with_the_commands_code(platform: Platform) -> None:
    assert await hodei(platform, "run", "-q", "--", "echo", "a  b", "$HOME") == (0, "a  b $HOME\n", "")
    code, out, err = await hodei(platform, "run", "echo $((6 * 7)); echo oops >&2; exit 7")
    assert (code, out) == (7, "42\n")
    assert re.match(r"hodei: job [0-9a-f-]{36}\noops\n", err)
    assert "exit_code 7" in err


async def test_a_step_that_waits_is_listed_explained_and_approved(platform: Platform, client: Client) -> None:
    inputs = {
        "version": {"required": True, "description": "What to deploy."},
        "count": {"type": "integer", "default": 2},
    }
    ask = {"name": "ask", "type": "approval", "message": "really?", "inputs": inputs}
    made = await client.create_pipeline(
        {"name": unique("ask"), "steps": [ask, {"name": "go", "command": "echo went", "depends_on": ["ask"]}]}
    )
    job = await client.submit({"pipeline_id": made.id})
    task = job.tasks[0]
    code, out, _ = await hodei(platform, "approvals", "--json")
    assert code == 0
    assert [one["message"] for one in map(json.loads, out.splitlines()) if one["id"] == task.id] == ["really?"]
    code, out, _ = await hodei(platform, "approvals")
    assert task.id in out
    code, out, _ = await hodei(platform, "explain", task.id)
    assert "waits for an approval since" in out
    code, out, _ = await hodei(platform, "show", job.id)
    assert (
        "ask asks: really?\n"
        "input    version (string, required): What to deploy.\n"
        "input    count (integer, by default 2)\n"
        f"waits for: hodei approve {task.id} --input version=…\n"
    ) in out
    code, _, err = await hodei(platform, "approve", job.id[-8:])
    assert (code, "version" in err, "is required, and should be a string" in err) == (1, True, True)
    assert await hodei(
        platform, "approve", job.id[-8:], "--input", "version=v 1", "-i", "count=3", "--by", "ana", "--comment", "yes"
    ) == (
        0,
        f"approved ask of job {job.id}\n",
        "",
    )
    assert (await client.wait(job.id, timeout=30)).status is JobStatus.SUCCEEDED
    code, out, _ = await hodei(platform, "show", job.id)
    assert "ask asks: really?\napproved by ana: yes\noutput   version=v 1\noutput   count=3\n" in out
    code, _, err = await hodei(platform, "reject", task.id)
    assert (code, "step ask was approved before by ana" in err) == (1, True)
    code, _, err = await hodei(platform, "approve", job.id[-8:])
    assert (code, "nothing waits for an approval" in err) == (1, True)
    code, _, err = await hodei(platform, "approve", job.id)
    assert (code, f"no step of job {job.id} waits for an approval" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--timeout", "0.2", "sleep 60"), 124),
        (("--", "/no/such/program", "x"), 127),
        (("--", "/etc/passwd", "x"), 126),
        (("kill -9 $$",), 137),
        (("--prority", "high", "--", "true"), 2),
        (("--atempts=2", "true"), 2),
        (("--priority", "urgent", "true"), 2),
        (("--env", "novalue=", "--label", "broken", "true"), 2),
    ],
)
async def test_exit_codes_are_those_of_the_field(platform: Platform, arguments: tuple[str, ...], code: int) -> None:
    assert (await hodei(platform, "run", *arguments))[0] == code


async def test_a_misspelt_option_names_the_nearest_and_makes_no_job(platform: Platform) -> None:
    code, out, err = await hodei(platform, "run", "--prority", "high", "--", "true")
    assert (code, out) == (2, "")
    assert "--priority" in err
    # What stands behind the command, or behind --, is the command's own.
    assert (await hodei(platform, "run", "-q", "echo", "--prority", "-x"))[1] == "--prority -x\n"
    assert (await hodei(platform, "run", "-q", "--", "printf", "%s", "--priority"))[1] == "--priority"


async def test_a_platform_that_is_not_there_is_named_and_waited_for_until_an_interrupt(platform: Platform) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "exit 1",
        env=environment(platform) | {"HODEI_ORCHESTRATOR_URL": "http://127.0.0.1:9"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert b"not accepted yet (http://127.0.0.1:9: " in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"the job was not submitted" in err
    code, _, err = await hodei(platform, "run", "--label", f"{'k' * 101}=v", "true")
    assert code == 2


async def test_a_signal_is_called_by_its_name(platform: Platform) -> None:
    code, _, err = await hodei(platform, "run", "kill -SEGV $$")
    assert code == 128 + signal.SIGSEGV
    assert "signal SIGSEGV (11)" in err


async def test_the_follower_of_a_job_is_told_of_retries(own_platform: Platform, tmp_path: Path) -> None:
    command = f"test -e {tmp_path}/again && exit 0; touch {tmp_path}/again; exit 3"
    code, _, err = await hodei(own_platform, "run", "--attempts", "2", command)
    assert code == 0
    assert "main: attempt 1 failed (exit_code); attempt 2 follows" in err


async def test_the_follower_of_a_job_is_told_why_it_waits(platform: Platform) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "--requires", "nowhere=here", "true",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert b"hodei: job " in await process.stderr.readline()
        assert re.match(rb"hodei: main: waits: .*(nowhere|none of \d+ workers)", await process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("source", ["pipe", "file", "nothing"])
async def test_standard_input_is_not_dropped_without_a_word(platform: Platform, tmp_path: Path, source: str) -> None:
    (tmp_path / "input").write_text("x\n")
    feeds = {"pipe": "echo x |", "file": f"<{tmp_path}/input", "nothing": "</dev/null"}[source]
    script = f"{feeds} {sys.executable} -m hodei run -q -- wc -c" if source == "pipe" else ""
    process = await asyncio.create_subprocess_shell(
        script or f"{sys.executable} -m hodei run -q -- wc -c {feeds}",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert out.strip() == b"0"
    assert (b"standard input is not passed on" in err) is (source != "nothing")


async def test_an_output_that_is_not_utf8_gets_a_replacement(platform: Platform) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    command = r"printf 'caf\303\251\n'; echo end"
    assert await hodei(platform, "run", "-q", "--name", "café au lait", command, **ascii_only) == (0, "caf?\nend\n", "")
    code, out, err = await hodei(platform, "jobs", "--name", "café au lait", **ascii_only)
    assert (code, err) == (0, "")
    assert "caf? au lait" in out


async def test_a_closed_pipe_cancels_the_job_and_says_so(platform: Platform, client: Client) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "while :; do echo line; sleep 0.02; done",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"line\n"
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `| head -1` does
        said = (await process.stderr.read()).decode()
        code = await process.wait()
    assert code == 128 + signal.SIGPIPE
    assert "standard output was closed: cancelling job" in said
    assert "Traceback" not in said
    await expect.ends(client, said.split("hodei: job ")[1].split()[0], JobStatus.CANCELLED)


@pytest.mark.parametrize("command", ["yes", "echo y; sleep 300"])
async def test_a_run_whose_reader_leaves_ends_promptly_and_names_its_job(
    platform: Platform, client: Client, command: str
) -> None:
    out, err = await into_head(platform, f"run '{command}'")
    assert out.split() == [b"y", str(128 + signal.SIGPIPE).encode()]
    assert "standard output was closed: cancelling job" in err.decode()
    assert "Traceback" not in err.decode()
    await expect.ends(client, err.decode().split("hodei: job ")[1].split()[0], JobStatus.CANCELLED)


async def test_following_a_log_ends_with_its_reader_and_leaves_the_job_alone(
    platform: Platform, client: Client
) -> None:
    job = await client.submit(command_job("echo y; sleep 300"))
    out, err = await into_head(platform, f"logs -f {job.id}")
    assert (out.split(), err) == ([b"y", str(128 + signal.SIGPIPE).encode()], b"")
    assert (await client.job(job.id)).status is JobStatus.RUNNING
    await client.cancel(job.id)


@pytest.mark.parametrize("options", ["", "-f", "--json"])
async def test_a_long_log_into_a_closed_pipe_ends_quietly(platform: Platform, client: Client, options: str) -> None:
    """The stream still delivers when its reader leaves."""
    job = await client.submit(command_job("yes 'much output' | head -n 300000"))
    await client.wait(job.id, timeout=60)
    out, err = await into_head(platform, f"logs {options} {job.id}")
    assert b"much output" in out
    assert (out.split()[-1], err) == (str(128 + signal.SIGPIPE).encode(), b"")


async def test_a_list_into_a_closed_pipe_ends_quietly(platform: Platform, client: Client) -> None:
    await client.submit_many([command_job("true", name="n" * 200) for _ in range(400)])
    out, err = await into_head(platform, "jobs --limit 400")
    assert out.startswith(b"ID ")
    assert (out.split()[-1], err) == (str(128 + signal.SIGPIPE).encode(), b"")


async def in_terminal(platform: Platform, *arguments: str, columns: int) -> str:
    """The program's output in a terminal so wide, without colours."""
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    terminal = {"TERM": "xterm", "COLUMNS": str(columns)}  # which xdist sets for itself
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments,
        env=environment(platform) | terminal, stdin=asyncio.subprocess.DEVNULL, stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    shown = await asyncio.to_thread(_read_to_the_end, parent)
    assert await process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def _read_to_the_end(terminal: int) -> str:
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as file:  # EIO: the other side is closed
        while piece := file.read(4096):
            shown += piece
    return shown.decode()


@pytest.mark.parametrize("columns", [40, 80, 132])
async def test_ids_can_be_used_and_states_are_whole_at_any_width(
    platform: Platform, client: Client, columns: int
) -> None:
    team = unique("team")
    jobs = [
        await client.submit(command_job("exit 1", name=name, labels={"team": team}))
        for name in ("n" * 38, "x" * 200, "夜間\u3000バッチ")
    ]
    for job in jobs:
        await expect.fails(client, job.id)

    shown = await in_terminal(platform, "jobs", "--label", f"team={team}", columns=columns)
    piped = (await hodei(platform, "jobs", "--label", f"team={team}"))[1]

    head, *lines = shown.splitlines()
    if columns < 80:
        assert lines.pop() == "no room for PRIORITY, DURATION, CREATED"
    assert [line.split()[0] for line in lines] == [job.id[-8:] for job in reversed(jobs)]
    assert all("failed (exit_code)" in line for line in lines)
    assert max(map(cell_len, [head, *lines])) <= columns, shown
    assert all(job.id in piped and job.name in piped for job in jobs)


async def test_the_end_of_an_id_is_enough(platform: Platform, client: Client) -> None:
    job = await client.submit(command_job("echo found"))
    await expect.succeeds(client, job.id)
    assert await hodei(platform, "logs", job.id[-8:]) == (0, "found\n", "")
    assert await hodei(platform, "logs", "-f", job.id[-8:].upper()) == (0, "found\n", "")
    waiting = await client.submit(command_job("true", requires={"no": "where"}))
    assert (await hodei(platform, "cancel", waiting.id[-8:]))[0] == 0
    await expect.ends(client, waiting.id, JobStatus.CANCELLED)
    code, _, err = await hodei(platform, "logs", "00000000")
    assert (code, err) == (1, "hodei: there is no job whose id ends with 00000000\n")


async def test_a_part_of_an_output_is_shown(platform: Platform, client: Client) -> None:
    job = await client.submit(command_job("echo one; echo two; echo bad >&2"))
    await expect.succeeds(client, job.id)
    for arguments, out, err in (
        (("--grep", "o", "--tail", "1"), "two\n", ""),
        (("--stderr", "--since", "1d"), "", "bad\n"),
        (("--step", job.tasks[0].name, "--attempt", "2"), "", ""),
        (("-f", "--tail", "3", "--grep", "n"), "one\n", ""),
    ):
        assert await hodei(platform, "logs", job.id, *arguments) == (0, out, err), arguments
    code, out, err = await hodei(platform, "logs", job.id, "--tail", "3", "--timestamps")
    lines = sorted((out + err).splitlines())
    assert (code, len(lines)) == (0, 3)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (one|two|bad)", line) for line in lines), lines
    code, _, err = await hodei(platform, "logs", job.id, "--step", "nope")
    assert (code, "has no step 'nope': it has" in err) == (2, True), err


async def test_lines_that_were_written_in_pieces_are_found_as_lines(platform: Platform, client: Client) -> None:
    script = 'for name in a b; do printf "Downloading $name ..."; sleep 0.5; echo " ERROR 404"; echo next; done'
    job = await client.submit(command_job(script))
    await expect.succeeds(client, job.id)
    assert any(line.partial for line in (await client.logs(job.id)).logs)
    lines = "Downloading a ... ERROR 404\nDownloading b ... ERROR 404\n"
    for arguments in (("--grep", "Downloading"), ("--grep", "ERROR"), ("--grep", ". E", "-f")):
        assert await hodei(platform, "logs", job.id, *arguments) == (0, lines, ""), arguments
    for arguments in (("--grep", "Downloading"), ("--grep", "404", "--since", "1d")):
        code, out, _ = await hodei(platform, "logs", job.id, "--tail", "1", *arguments)
        assert (code, out) == (0, "Downloading b ... ERROR 404\n"), arguments
    code, out, _ = await hodei(platform, "logs", job.id, "--grep", "Downloading", "--timestamps")
    assert (code, out.count("Z Downloading"), out.count("\n")) == (0, 2, 2)


async def test_a_job_is_shown_with_what_it_runs_and_why_it_failed(platform: Platform, client: Client) -> None:
    job = await client.submit(command_job(["sh", "-c", "exit 3"], labels={"team": "web"}))
    await expect.fails(client, job.id)
    code, out, _ = await hodei(platform, "show", job.id[-8:])
    assert code == 0
    assert all(text in out for text in (job.id, "failed", "team=web", "sh -c 'exit 3'", ": exit_code 3"))
    assert json.loads((await hodei(platform, "show", "--json", job.id))[1])["tasks"][0]["command"] == [
        "sh",
        "-c",
        "exit 3",
    ]


async def test_explain_says_what_each_unfinished_step_waits_for(platform: Platform, client: Client) -> None:
    nowhere = unique("nowhere")
    made = await client.create_pipeline(
        pipeline(step("done", "true"), step("build", "true", requires={"x": nowhere}), step("ship", "true", "build"))
    )
    job = await client.submit(JobCreate(pipeline_id=made.id))
    _, build, ship = job.tasks

    async def done_is_over() -> bool | None:
        return (await client.job(job.id)).tasks[0].status is TaskStatus.SUCCEEDED or None

    await eventually(done_is_over)

    code, out, err = await hodei(platform, "explain", job.id[-8:])
    assert (code, err) == (0, "")
    waits, *workers, after = out.splitlines()
    assert waits.startswith("build: waits: ")
    assert workers
    assert any(f"lacks the label x={nowhere}" in line for line in workers)
    assert after == "ship: waits for step build, which is queued"
    told = [json.loads(line) for line in (await hodei(platform, "explain", "--json", job.id))[1].splitlines()]
    assert [(one["task_id"], one["status"]) for one in told] == [(build.id, "queued"), (ship.id, "pending")]

    code, out, _ = await hodei(platform, "explain", build.id[-8:])
    assert code == 0
    assert f"lacks the label x={nowhere}" in out
    assert "worker " in out.splitlines()[1]
    assert json.loads((await hodei(platform, "explain", build.id, "--json"))[1])["job_id"] == job.id
    await client.cancel(job.id)
    await expect.ends(client, job.id, JobStatus.CANCELLED)
    out = (await hodei(platform, "explain", job.id))[1]
    assert out.splitlines()[:2] == [f"job {job.id} cancelled", "done: does not wait: it succeeded in attempt 1"]


async def test_explain_of_what_does_not_exist_says_so(platform: Platform) -> None:
    nobody = "01890000-0000-7000-8000-000000000000"
    assert await hodei(platform, "explain", nobody) == (1, "", f"hodei: there is no job or task {nobody}\n")
    assert await hodei(platform, "explain", "00000000") == (
        1, "", "hodei: there is no job or task whose id ends with 00000000\n"
    )  # fmt: skip


async def test_a_workers_name_leads_to_what_ran_there(platform: Platform, client: Client) -> None:
    name = unique("worker")
    label = {"only": name}
    worker = await client.start_worker(WorkerStart(name=name, labels=label))
    done, failed = [await client.submit(command_job(f"exit {code}", requires=label)) for code in (0, 3)]
    await expect.succeeds(client, done.id)
    await expect.fails(client, failed.id)
    await client.stop_worker(worker.id)

    async def recorded() -> bool | None:
        ended = [one async for one in client.executions(worker_name=name) if one.finished_at]
        return len(ended) == 2 or None

    assert await eventually(recorded)
    listed = (await hodei(platform, "executions", "--worker-name", name, "--json"))[1].splitlines()
    assert {json.loads(line)["job_id"] for line in listed} == {done.id, failed.id}
    narrowed = ("executions", "--worker", worker.id[-8:], "--exit-code", "3", "--created-after", "1h")
    [_, line] = (await hodei(platform, *narrowed))[1].splitlines()
    assert all(text in line.split() for text in ("failed", "(exit_code)", "3", name, failed.id))
    assert (await hodei(platform, "executions", "--worker-name", name, "--created-before", "1h", "--json"))[1] == ""
    [_, line] = [line for line in (await hodei(platform, "show", done.id))[1].splitlines() if "succeeded" in line]
    assert line.split()[-1] == name
    assert name in (await hodei(platform, "workers", "list", "--label", f"only={name}"))[1]


async def test_every_list_is_narrowed_down_by_options(platform: Platform, client: Client) -> None:
    name = unique("listed")
    made = await client.create_pipeline(PipelineCreate(name=name))
    later = datetime.now(UTC) + timedelta(hours=1)
    schedule = await client.schedule(ScheduleCreate(pipeline_id=made.id, run_at=later, name=name))
    waiting = await client.submit(command_job("true", name=name, requires={"only": name}))

    async def queued() -> bool | None:
        return bool([task async for task in client.queue(job_id=waiting.id)]) or None

    assert await eventually(queued)

    async def ids(*arguments: str) -> list[str]:
        code, out, err = await hodei(platform, *arguments, "--json")
        assert (code, err) == (0, "")
        return [json.loads(line).get("id") or json.loads(line)["task_id"] for line in out.splitlines()]

    assert await ids("queue", "--requires", f"only={name}", "--job", waiting.id[-8:]) == [waiting.tasks[0].id]
    assert await ids("queue", "--requires", f"only={name}", "--attempt", "2") == []
    steps = [{"name": stage, "command": "true", "labels": {"of": name, "stage": stage}} for stage in ("a", "b")]
    labelled = await client.create_pipeline(PipelineCreate.model_validate({"name": unique("steps"), "steps": steps}))
    ran = await client.submit(JobCreate(pipeline_id=labelled.id))
    await expect.succeeds(client, ran.id)

    async def recorded() -> bool | None:
        return len([one async for one in client.executions(label=[f"of={name}"]) if one.finished_at]) == 2 or None

    assert await eventually(recorded)
    [execution] = [one async for one in client.executions(job_id=ran.id, label=["stage=b"])]
    assert execution.labels == steps[1]["labels"]
    assert await ids("executions", "--label", f"of={name}", "--label", "stage=b") == [execution.id]
    assert await ids("queue", "--label", f"of={name}") == []
    assert await ids("schedules", "--pipeline", made.id, "--status", "scheduled") == [schedule.id]
    assert await ids("pipelines", "--name", name, "--version", "1") == [made.id]
    await client.archive_pipeline(made.id)
    assert await ids("pipelines", "--name", name) == []
    assert await ids("pipelines", "--name", name, "--status", "archived") == [made.id]
    for list_ in (("queue",), ("schedules", "--name", name), ("pipelines", "--name", name, "--status", "archived")):
        assert name in (await hodei(platform, *list_, "--limit", "100"))[1]
    await client.delete_schedule(schedule.id)
    await client.cancel(waiting.id)
    await expect.ends(client, waiting.id, JobStatus.CANCELLED)
    assert await ids("jobs", "--name", name, "--reason", "cancelled", "--priority", "normal") == [waiting.id]


async def test_old_jobs_are_pruned_by_their_age(platform: Platform) -> None:
    label = f"run={uuid.uuid4()}"
    ended = await hodei(platform, "run", "--label", label, "true")
    assert ended[0] == 0
    trial = ["prune", "--older-than", "0s", "--label", label, "--dry-run"]
    assert await hodei(platform, *trial) == (0, "would delete 1 job\n", "")
    counted = json.loads((await hodei(platform, *trial, "--json"))[1])
    assert counted == {"deleted": 1, "kept": 0, "more": False, "dry_run": True}
    assert await hodei(platform, *trial, "--status", "failed") == (0, "would delete 0 jobs\n", "")
    assert await hodei(platform, *trial[:-1]) == (0, "deleted 1 job\n", "")
    assert await hodei(platform, *trial) == (0, "would delete 0 jobs\n", "")
    assert await hodei(platform, "prune", "--older-than", "9000d") == (0, "deleted 0 jobs\n", "")
    assert (await hodei(platform, "prune", "--older-than", "soon"))[0] == 2
    assert (await hodei(platform, "prune", "--older-than", "1d", "--status", "running"))[0] == 2


async def test_following_outlives_a_restart_of_the_orchestrator(own_platform: Platform) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "for i in $(seq 8); do echo $i; sleep 0.5; done",
        env=environment(own_platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"1\n"
        [pid] = own_platform.pids("orchestrator")
        os.kill(pid, signal.SIGKILL)
        out, err = await process.communicate()
    assert (process.returncode, out.decode().split()) == (0, [str(number) for number in range(2, 9)]), err


async def test_an_interrupt_before_the_job_is_accepted_does_not_leave_it_running(
    own_platform: Platform, client: Client
) -> None:
    [pid] = own_platform.pids("orchestrator")
    os.kill(pid, signal.SIGSTOP)
    try:
        name = unique("early")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hodei", "run", "--name", name, "sleep 600",
            env=environment(own_platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        await asyncio.to_thread(_until_connected, process.pid, own_platform.urls["orchestrator"])
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert b"not accepted yet" in await process.stderr.readline()
    finally:
        os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 130
    [job] = [job async for job in client.jobs(name=name)]
    await expect.ends(client, job.id, JobStatus.CANCELLED)


def _until_connected(pid: int, url: str) -> None:
    """Return when a process has a connection to this address: its request is on the way."""
    port = int(url.rpartition(":")[2])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(one.raddr and one.raddr.port == port for one in psutil.Process(pid).net_connections("tcp")):
            return
        time.sleep(0.02)  # the kernel tells of a connection to those that look
    raise AssertionError("it did not connect")


async def test_interrupting_run_cancels_the_job(platform: Platform, client: Client) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "--name", "interrupted", "echo up; sleep 600",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()

    assert process.returncode == 130
    job_id = err.decode().split("cancelling job ")[1].split(";")[0]
    await expect.ends(client, job_id, JobStatus.CANCELLED)


async def test_detached_listed_and_read(platform: Platform, client: Client) -> None:
    code, out, _ = await hodei(platform, "run", "--detach", "--name", "detached", "echo later")
    job_id = out.strip()
    await expect.succeeds(client, job_id)

    listed = await hodei(platform, "jobs", "--json", "--limit", "1000")
    assert job_id in [json.loads(line)["id"] for line in listed[1].splitlines()]
    assert job_id in (await hodei(platform, "jobs", "--limit", "1000"))[1]
    assert await hodei(platform, "logs", job_id) == (0, "later\n", "")
    assert await hodei(platform, "logs", "-f", job_id) == (0, "later\n", "")
    assert code == 0


async def test_an_unknown_job_and_an_absent_platform_are_one_line(platform: Platform) -> None:
    code, _, err = await hodei(platform, "logs", "no-such-job")
    assert (code, err.count("\n")) == (1, 1)
    assert "404" in err
    code, _, err = await hodei(platform, "jobs", HODEI_ORCHESTRATOR_URL="http://127.0.0.1:9")
    assert (code, err.count("\n")) == (1, 1)
    assert "127.0.0.1:9" in err


async def test_the_readmes_program_runs_as_it_is_also_in_the_folder_of_a_clone(
    platform: Platform, tmp_path: Path
) -> None:
    for package in ("hodei", "schemas"):
        (tmp_path / package).mkdir()  # where `git clone` put the project, for one
    [program] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path,
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()

    assert (process.returncode, out.decode(), err.decode()) == (0, "hello\nsucceeded\n", "")
