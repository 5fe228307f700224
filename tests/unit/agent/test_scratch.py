"""Scratch is empty after a command, or at the latest after the worker's next start, whatever the command left in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker_manager.agent.scratch import Scratch, remove

ROOT = Path(__file__).parents[3]

READ_ONLY = "mkdir -p a/b; echo x > a/b/f; chmod -R a-w a"
CLOSED = "mkdir x; echo a > x/f; chmod 000 x"
UNREADABLE = "mkdir -p y/z; echo a > y/z/f; chmod 000 y/z/f y/z; chmod 111 y; chmod 000 ."
DEEP = "for i in $(seq 1500); do mkdir a-rather-long-name-$i; cd a-rather-long-name-$i; done; echo x > f"
ODD = "mkfifo p; ln -s /etc e; ln -s missing m; printf x > \"$(printf '\\377\\n')\"; mkdir -- -rf"

GIVE_BACK = """
import asyncio, os, subprocess, sys
from pathlib import Path
from worker_manager.agent.scratch import Scratch

async def main(root, command):
    scratch = Scratch(root)
    scratch.open()
    folder = scratch.take()
    subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=True)
    scratch.give_back(folder)
    await scratch._hand.run(int)
    print(os.listdir(root))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def run(*argv: str, privileged: bool) -> str:
    """What a Python program prints that runs with, or without, what root may beyond others."""
    if privileged and os.getuid():
        pytest.skip("needs to be root")
    drop = [] if privileged or os.getuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*drop, sys.executable, "-c", *argv], env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("privileged", [False, True], ids=["an ordinary user", "root"])
@pytest.mark.parametrize("command", [READ_ONLY, CLOSED, UNREADABLE, DEEP, ODD])
def test_nothing_of_a_command_stays(tmp_path: Path, command: str, *, privileged: bool) -> None:
    assert run(GIVE_BACK, str(tmp_path / "root"), command, privileged=privileged) == "[]\n"


def test_what_an_earlier_start_left_is_removed_at_the_next(tmp_path: Path) -> None:
    left = tmp_path / "left" / "a" / "b"
    left.mkdir(parents=True)
    (tmp_path / "left" / "a").chmod(0)
    Scratch(tmp_path).open()
    assert os.listdir(tmp_path) == []


def test_files_that_are_marked_immutable_are_removed_too(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    marked = ["chattr", "+i", folder / "inner" / "file", folder / "inner"]
    if subprocess.run(marked, capture_output=True, check=False).returncode:
        pytest.skip("needs the right, and a file system, to mark files as immutable")
    remove(folder)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o750)
    (precious / "file").touch()
    folder = tmp_path / "folder"
    folder.symlink_to(precious)
    remove(folder)
    assert (os.listdir(tmp_path), os.listdir(precious)) == (["precious"], ["file"])
    assert precious.stat().st_mode & 0o777 == 0o750


def test_a_root_that_was_removed_or_closed_is_made_again(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "state" / "root")
    scratch.open()
    os.rmdir(scratch.take())
    (tmp_path / "state" / "root").rmdir()
    (tmp_path / "state").rmdir()
    assert os.listdir(scratch.take()) == []
