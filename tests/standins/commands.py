"""Running other programs: quietly, within a deadline, with their last words in the error. Nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.standins.errors import StandInError


def say(line: str) -> None:
    """Tell the person what is being done; the command's own output goes its own way."""
    print(f"standins: {line}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float = 60.0,
) -> str:
    """What the command prints. Raises StandInError with its last line when it fails or takes too long."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment, cwd=cwd, timeout=deadline, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise StandInError(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise StandInError(f"{name} {command[1]} took longer than {deadline:g} s") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise StandInError(f"{name} {command[1]} failed: {lines[-1]}")
    return done.stdout


def succeeds(command: Sequence[str], *, environment: Mapping[str, str], deadline: float = 60.0) -> bool:
    """Whether the command can be run and exits 0."""
    try:
        run(command, environment=environment, deadline=deadline)
    except StandInError:
        return False
    return True
