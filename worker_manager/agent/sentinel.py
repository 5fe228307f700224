"""The sentinel: a small process that ends what an agent leaves running when it is killed (`kill -9`, out of memory).

It runs beside each agent, in a session of its own. Its standard input is a pipe that only the agent holds open, so the
end of that input means that the agent is gone. After an agent that stopped in order it finds no processes.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import worker_manager
from shared.process.secrecy import hide_process
from shared.process.tree import reap

COMMAND: Final = (sys.executable, "-P", "-m", "worker_manager.agent.sentinel")
PASSED_ON: Final = ("LD_LIBRARY_PATH", "PATH")
HERE: Final = str(Path(worker_manager.__path__[0]).parent.absolute())
"""The folder from which the agent was imported, as an absolute path."""
LONGEST_END: Final = 5.0
"""Seconds that a stopping agent waits for its sentinel's exit."""


class Sentinel:
    """The agent's side: starts the sentinel of one incarnation, and ends it when the agent stops."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the sentinel. Raises OSError when no process can be started."""
        self._process = subprocess.Popen(
            [*COMMAND, self._incarnation],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"PYTHONPATH": HERE},
            cwd="/",
            start_new_session=True,
        )

    def stop(self) -> None:
        """Close its input, and wait for its exit; blocks."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(incarnation: str) -> None:
    """Wait for the agent's end, then kill all processes with the mark of its incarnation."""
    hide_process()
    while os.read(0, 4096):
        pass
    reap(incarnation=incarnation)


if __name__ == "__main__":
    main(sys.argv[1])
