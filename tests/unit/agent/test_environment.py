"""What a command sees of the world, and where it runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from schemas.agents import Assignment
from schemas.specs import Capacity, Resources, RunSpec, read_capacity
from shared.errors import ConfigError
from shared.telemetry import Tracing
from worker_manager.agent.environment import DEFAULT_PATH, base_environment, execution_environment
from worker_manager.agent.machine import resources
from worker_manager.agent.scratch import Scratch
from worker_manager.agent.settings import AgentSettings
from worker_manager.agent.state import StateFolder
from worker_manager.agent.traces import Traces

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_nothing_of_the_agents_environment_leaks() -> None:
    own = {"PATH": "/bin", "LC_ALL": "C.UTF-8", "NATS_URL": "nats://u:p@h", "HODEI_WORKER_ID": "x", "AWS_SECRET": "s"}
    assert base_environment(own, worker_id="w", incarnation="i") == {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "HODEI_WORKER_ID": "w",
        "HODEI_WORKER_INCARNATION": "i",
    }
    assert base_environment({}, worker_id="w", incarnation="i")["PATH"] == DEFAULT_PATH


def test_the_step_wins_over_what_is_inherited_but_not_over_the_marks() -> None:
    base = base_environment({"PATH": "/bin"}, worker_id="w", incarnation="i")
    env = {"PATH": "/mine", **dict.fromkeys(("HODEI_EXECUTION_ID", "HODEI_WORKER_ID", "HODEI_OUTPUT"), "forged")}
    assignment = Assignment(execution_id="e", task_id="t", job_id="j", attempt=2, run=RunSpec(command="true", env=env))
    seen = execution_environment(base, assignment, output="/outputs/e")
    assert (seen["PATH"], seen["HODEI_EXECUTION_ID"], seen["HODEI_WORKER_ID"]) == ("/mine", "e", "w")
    assert (seen["HODEI_ATTEMPT"], seen["HODEI_OUTPUT"]) == ("2", "/outputs/e")


@pytest.mark.parametrize(
    ("given", "env", "told"),
    [(None, {}, None), (TRACEPARENT, {}, TRACEPARENT), (TRACEPARENT, {"TRACEPARENT": "own"}, "own")],
)
def test_a_process_is_told_its_trace_unless_its_step_names_one(
    given: str | None, env: dict[str, str], told: str | None
) -> None:
    run = RunSpec(command="true", env=env)
    assignment = Assignment(execution_id="e", task_id="t", job_id="j", attempt=1, run=run, traceparent=given)
    base = base_environment({"TRACEPARENT": "the agent's"}, worker_id="w", incarnation="i")
    traces = Traces(Tracing("agent"), worker_id="w")
    seen = execution_environment(base, assignment, output="", trace=traces.environment(assignment))
    assert seen.get("TRACEPARENT") == told


async def test_an_untouched_folder_is_used_again_and_another_is_not(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    scratch.open()
    first = scratch.take()
    assert stat.S_IMODE(os.stat(first).st_mode) == 0o700
    scratch.give_back(first)
    assert scratch.take() == first
    (Path(first) / "left").touch()
    scratch.give_back(first)
    assert scratch.take() != first
    await scratch.close()
    assert not (tmp_path / "scratch").exists()


async def test_a_folder_that_is_known_to_be_empty_is_seen_to_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker_manager.agent.scratch._TICK", 0)  # counts as unchanged for long at once
    scratch = Scratch(tmp_path / "scratch")
    scratch.open()
    folder = scratch.take()
    before = os.stat(folder)
    for _ in range(2):
        scratch.give_back(folder)
        assert scratch.take() == folder
    (Path(folder) / "left").touch()
    while os.stat(folder).st_ctime_ns == before.st_ctime_ns:  # until the file system's clock has ticked
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))  # as unpacking an archive does
    scratch.give_back(folder)
    assert scratch.take() != folder
    await scratch.close()


async def test_a_folder_that_was_removed_is_not_used_again(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    scratch.open()
    first = scratch.take()
    os.rmdir(first)
    scratch.give_back(first)
    assert os.listdir(scratch.take()) == []
    await scratch.close()


@pytest.mark.parametrize("text", ["zone=eu, gpu=a=b", '{"zone": "eu", "gpu": "a=b"}'])
def test_labels_are_pairs_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HODEI_WORKER_LABELS", text)
    assert AgentSettings().labels == {"zone": "eu", "gpu": "a=b"}


@pytest.mark.parametrize("text", ["gpu=1", "cpu_m=4000, memory_mb=8000", "", "memory_mb=0,gpu=2,cpu_m=1"])
def test_a_capacity_is_read_and_what_it_leaves_out_is_the_machines(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HODEI_WORKER_CAPACITY", text)
    given = AgentSettings().capacity or Capacity()
    assert read_capacity(str(given)) == given
    machine = Resources(cpu_m=7, memory_mb=8)
    assert given.over(machine) == Resources(
        cpu_m=7 if given.cpu_m is None else given.cpu_m,
        memory_mb=8 if given.memory_mb is None else given.memory_mb,
        gpu=given.gpu or 0,
    )
    assert (given.gpu is not None) == ("gpu" in text)


def test_the_machine_has_cores_and_memory_and_no_gpu(tmp_path: Path) -> None:
    free = resources(tmp_path, tmp_path / "none")
    assert free == Resources(
        cpu_m=1000 * len(os.sched_getaffinity(0)), memory_mb=psutil.virtual_memory().total // 2**20
    )


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        ("0::/a/b", {"cpu.max": "max 100000", "a/cpu.max": "50000 100000", "a/b/memory.max": str(64 << 20)}),
        ("0::/elsewhere", {"cpu.max": "50000 100000", "memory.max": str(64 << 20)}),
        (
            "5:cpu,cpuacct:/a\n4:memory:/a\n0::/",
            {
                "cpu/a/cpu.cfs_quota_us": "50000",
                "cpu/a/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(64 << 20),
                "memory/a/memory.limit_in_bytes": "9223372036854771712",
            },
        ),
    ],
)
def test_a_cgroups_limit_is_what_the_machine_has(tmp_path: Path, cgroup: str, files: dict[str, str]) -> None:
    (tmp_path / "own").write_text(cgroup + "\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert resources(tmp_path, tmp_path / "own") == Resources(cpu_m=500, memory_mb=64)


def test_a_state_folder_keeps_the_workers_id_and_serves_one_agent(tmp_path: Path) -> None:
    first = StateFolder(tmp_path, None)
    assert not first.known
    with pytest.raises(ConfigError, match="another agent"):
        StateFolder(tmp_path, None)
    first.close()
    again = StateFolder(tmp_path, None)
    assert (again.worker_id, again.known) == (first.worker_id, True)
    again.close()
