"""What a command sees of the world, and where it runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from schemas.agents import Assignment
from schemas.specs import RunSpec
from shared.errors import ConfigError
from shared.tracing import Tracing
from worker_manager.agent.environment import DEFAULT_PATH, base_environment, execution_environment
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
        "HODEI_WORKER_ID": "w",
        "HODEI_WORKER_INCARNATION": "i",
    }
    assert base_environment({}, worker_id="w", incarnation="i")["PATH"] == DEFAULT_PATH


def test_the_step_wins_over_what_is_inherited_but_not_over_the_marks() -> None:
    base = base_environment({"PATH": "/bin"}, worker_id="w", incarnation="i")
    env = {"PATH": "/mine", "HODEI_EXECUTION_ID": "forged", "HODEI_WORKER_ID": "forged"}
    assignment = Assignment(execution_id="e", task_id="t", job_id="j", attempt=2, run=RunSpec(command="true", env=env))
    seen = execution_environment(base, assignment)
    assert (seen["PATH"], seen["HODEI_EXECUTION_ID"], seen["HODEI_WORKER_ID"]) == ("/mine", "e", "w")
    assert seen["HODEI_ATTEMPT"] == "2"


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
    seen = execution_environment(base, assignment, trace=traces.environment(assignment))
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


def test_a_state_folder_keeps_the_workers_id_and_serves_one_agent(tmp_path: Path) -> None:
    first = StateFolder(tmp_path, None)
    assert not first.known
    with pytest.raises(ConfigError, match="another agent"):
        StateFolder(tmp_path, None)
    first.close()
    again = StateFolder(tmp_path, None)
    assert (again.worker_id, again.known) == (first.worker_id, True)
    again.close()
