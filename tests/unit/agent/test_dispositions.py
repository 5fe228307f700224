"""What commands inherit of signals."""

import signal
import subprocess
import sys

_AGENT = """
import signal, subprocess
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
from worker_manager.agent.dispositions import catch_ignored
catch_ignored()
signal.raise_signal(signal.SIGHUP)
subprocess.run(["grep", "SigIgn", "/proc/self/status"], check=True)
"""


_BLOCKED = """
import signal, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1})
from unittest import mock
from worker_manager.agent import __main__ as agent
with mock.patch.object(agent, "main"):
    agent.run()
subprocess.run(["grep", "SigBlk", "/proc/self/status"], check=True)
"""


def test_a_command_blocks_no_signal_that_the_starter_of_the_agent_blocked() -> None:
    done = subprocess.run([sys.executable, "-c", _BLOCKED], capture_output=True, text=True, check=True, timeout=30)
    assert int(done.stdout.split()[1], 16) == 0


def test_a_command_ignores_no_signal_that_the_starter_of_the_agent_ignored() -> None:
    said = subprocess.run([sys.executable, "-c", _AGENT], capture_output=True, text=True, check=True, timeout=30)
    ignored = int(said.stdout.split()[1], 16)
    # Not those that the C library keeps for itself: nobody else can change them.
    assert [number for number in signal.valid_signals() if ignored >> (number - 1) & 1] == []
