"""A Docker engine as a client sees it: whether it answers, and running a command that uses it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from tests.standins import images
from tests.standins.commands import succeeds

LEFT_OUT: Final = "STAND_INS_LEFT_OUT"
"""The variable that names to the command which images it has to do without, separated by commas."""


def client_environment(socket: str = "") -> dict[str, str]:
    """The environment for Docker's clients. BuildKit is off: Debian's engine comes without its client part."""
    found = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
    if socket:
        found["DOCKER_HOST"] = f"unix://{socket}"
        found.pop("DOCKER_CONTEXT", None)
    return found


def answers(environment: Mapping[str, str]) -> bool:
    """Whether an engine answers a client with this environment."""
    return succeeds(["docker", "info"], environment=environment, deadline=15)


def run_with(wanted: Sequence[images.Image], line: Sequence[str], environment: Mapping[str, str], *, ours: bool) -> int:
    """The exit code of the command, run when the images are there.

    In an engine that is not ours, the stand-ins are removed afterwards: they bear the real images' names.
    """
    given = images.provide(wanted, environment)
    left_out = {LEFT_OUT: ",".join(image.name for image in given.left_out)}
    try:
        return subprocess.run(line, env={**environment, **left_out}).returncode
    finally:
        if not ours:
            images.remove(given.stand_ins, environment)
