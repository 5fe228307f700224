"""A command of the same user cannot read a hidden process, and is still found and killed by its own environment.

The scripts run as an ordinary user, also when the tests run as root: root may read everything.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import ctypes, os, subprocess, sys
from shared.process.secrecy import hide_process, is_hidden
from shared.process.tree import find, kill_marked, mark
import prometheus_client

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # a change of user hides the process as well

def readable():
    files = [f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/maps"]
    return [subprocess.run(["/bin/cat", one], capture_output=True).returncode == 0 for one in files]

print(readable(), is_hidden())
hide_process()
print(readable(), is_hidden())
child = subprocess.Popen(["/bin/sleep", "60"], env={"HODEI_EXECUTION_ID": "one-of-the-test"}, start_new_session=True)
wanted = [mark("HODEI_EXECUTION_ID", "one-of-the-test")]
print([member.pid for member in find(wanted)] == [child.pid], kill_marked(wanted), child.wait())
print(len(os.listdir("/proc/self/fd")) > 2, b"process_open_fds" in prometheus_client.generate_latest())
"""
SENTINEL = """
from worker_manager.agent import sentinel
from shared.process.secrecy import is_hidden
sentinel.main("none")
print(is_hidden())
"""


def said(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_command_of_the_same_user_cannot_read_a_hidden_process_and_is_found_itself() -> None:
    before, after, found, metrics = said(SCRIPT)
    assert (before, after) == ("[True, True] False", "[False, False] True")
    assert found == f"True 1 {-signal.SIGKILL}"
    assert metrics == "True True", "it still reads its own descriptors"


def test_the_sentinel_of_an_agent_is_hidden() -> None:
    assert said(SENTINEL) == ["True"]
