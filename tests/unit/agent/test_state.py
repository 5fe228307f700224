"""The agent's folder: locked as long as the agent lives, and made again when something of it vanishes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.agents import MAX_STOPPED
from shared.errors import ConfigError
from tests.fixtures.disks import remount
from worker_manager.agent.state import StateFolder


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_second_agent_is_refused_though_every_file_was_removed(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "state", None)
    empty(tmp_path / "state")
    with pytest.raises(ConfigError, match="another agent is working in"):
        StateFolder(tmp_path / "state", None)
    first.close()


def test_a_worker_keeps_its_id_though_the_file_was_removed(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "state", None)
    empty(tmp_path / "state")
    first.restore()
    first.close()
    second = StateFolder(tmp_path / "state", None)
    assert second.worker_id == first.worker_id
    second.close()


def test_it_keeps_which_starts_were_told_to_end(tmp_path: Path) -> None:
    incarnations = [f"019ac6e4-0000-7000-8000-{number:012x}" for number in range(MAX_STOPPED + 2)]
    for incarnation in incarnations:
        folder = StateFolder(tmp_path / "state", None)
        folder.note_stop(incarnation)
        folder.close()
    assert StateFolder(tmp_path / "state", None).stopped() == tuple(incarnations[2:])


def test_a_note_that_cannot_be_written_or_read_ends_nothing(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state", None)
    (tmp_path / "state" / "stopped").mkdir()
    folder.note_stop("019ac6e4-0000-7000-8000-000000000000")
    assert folder.stopped() == ()
    folder.close()


def test_a_folder_that_was_removed_with_its_parent_is_made_and_locked_again(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "parent" / "state", None)
    shutil.rmtree(tmp_path / "parent")
    assert not first.ours
    first.restore()
    assert first.ours
    with pytest.raises(ConfigError, match="another agent"):
        StateFolder(tmp_path / "parent" / "state", None)
    first.close()


def test_an_agent_whose_folder_another_has_made_anew_is_told_so_and_touches_nothing(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "state", None)
    shutil.rmtree(tmp_path / "state")
    second = StateFolder(tmp_path / "state", None)
    with pytest.raises(ConfigError, match="another agent is working in"):
        first.restore()
    assert not first.ours
    first.close()
    assert second.ours
    second.close()


def test_a_temporary_folder_is_private_again_when_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = StateFolder(None, None)
    shutil.rmtree(state.path.parent)
    state.restore()
    assert state.path.parent.stat().st_mode & 0o777 == 0o700
    state.close()
    assert list(state.path.parent.iterdir()) == []


def test_an_id_that_a_full_disk_did_not_take_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "worker-id").touch()
    state = StateFolder(tmp_path, None)
    assert (tmp_path / "worker-id").read_text().strip() == state.worker_id
    state.close()


def test_a_read_only_file_system_is_named_at_the_start(small_disk: Path) -> None:
    remount(small_disk, writable=False)
    with pytest.raises(ConfigError, match=r"the state folder cannot be used: .*: Read-only file system"):
        StateFolder(small_disk / "state", None)
