"""What `hodei up` prints may be read by nobody: it goes on, and its exit code stays its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

SCRIPT = """
import sys
from hodei.embedded import terminal
terminal.show("a table")
terminal.say("a line")
terminal.give_up()
sys.exit(int(sys.argv[1]))
"""


def closed_pipe() -> int:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("output", [closed_pipe, full_disk])
@pytest.mark.parametrize("code", [0, 1])
def test_output_that_nobody_takes_changes_no_exit_code(output: Callable[[], int], code: int) -> None:
    descriptor = output()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", SCRIPT, str(code)]
    try:
        loud = subprocess.run(command, stdout=descriptor, stderr=subprocess.PIPE, env=environment, text=True)
        deaf = subprocess.run(command, stdout=subprocess.PIPE, stderr=descriptor, env=environment, text=True)
    finally:
        os.close(descriptor)
    assert (loud.returncode, loud.stderr) == (code, "hodei: a line\n")
    assert (deaf.returncode, deaf.stdout) == (code, "a table\n")
