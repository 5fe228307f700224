"""The small process that ends what an agent leaves running when it dies without a word (`kill -9`, out of memory).

Run beside each agent, in a session of its own. Its standard input is a pipe that the agent alone holds open, so its end
means that the agent is gone, however it went; an agent that ended in order left nothing, and nothing is found then.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import worker_manager
from shared.process.tree import reap

COMMAND: Final = (sys.executable, "-P", "-m", "worker_manager.agent.sentinel")
PASSED_ON: Final = ("LD_LIBRARY_PATH", "PATH")
HERE: Final = str(Path(worker_manager.__path__[0]).parent.absolute())
"""Where the agent was imported from, wherever that was said relative to."""
LONGEST_END: Final = 5.0
"""Seconds that an agent waits for its sentinel at the end."""


class Sentinel:
    """The agent's side: starts the process for one incarnation, and lets it go at the end."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises OSError when no process can be started."""
        self._process = subprocess.Popen(
            [*COMMAND, self._incarnation],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"PYTHONPATH": HERE},
            cwd="/",
            start_new_session=True,
        )

    def stop(self) -> None:
        """Tell it that the agent is leaving, and wait for its end; blocks."""
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
    """Wait for the agent's end, then kill what carries the mark of its incarnation."""
    while os.read(0, 4096):
        pass
    reap(incarnation=incarnation)


if __name__ == "__main__":
    main(sys.argv[1])
