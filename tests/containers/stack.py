"""One compose file's containers, as a test handles them: through docker-compose, docker and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from tests.standins.engine import LEFT_OUT

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "hodei-test"
KEYS: Final = "keys"
"""The service that makes the keys and ends."""

T = TypeVar("T")


def eventually(ask: Callable[[], T | None], *, within: float, what: str, why: Callable[[], str] | None = None) -> T:
    """Ask until there is an answer: an engine announces some of this, but nobody announces the rest.

    `why` is asked for more to say, once it is too late.
    """
    deadline = time.monotonic() + within
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}{f': {why()}' if why else ''}")
        time.sleep(0.2)
    return answer


def docker(*words: str, deadline: float = 60) -> str:
    """What the command prints; raises AssertionError with all that it said when it fails."""
    return _run(["docker", *words], os.environ, deadline)


class Stack:
    """The containers of one file. `variables` go where .env would."""

    def __init__(self, file: str, **variables: str) -> None:
        self._file = file
        # Jaeger may be left out: then nobody is there to take traces.
        quiet = {"HODEI_OTLP_ENDPOINT": ""} if "jaeger" in _left_out() else {}
        self._environment = {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, **quiet, **variables}
        self._volumes: set[str] = set()

    def compose(self, *words: str, deadline: float = 180) -> str:
        return _run(["docker-compose", "-f", str(ROOT / self._file), *words], self._environment, deadline)

    def services(self) -> list[str]:
        """All of the default profile that go on running, but for those whose image cannot be had here."""
        return sorted(set(self.compose("config", "--services").split()) - _left_out() - {"grafana", KEYS})

    def key(self, name: str) -> str:
        """The content of a file of the keys' folder, as docs/operations.md says to read it."""
        return self.compose("run", "--rm", "--no-deps", "-T", KEYS, "cat", f"/keys/{name}")

    def copy_keys(self, folder: Path) -> Path:
        """The keys' folder, whole."""
        (container,) = self.containers(KEYS)
        docker("cp", f"{container}:/keys/.", str(folder))
        return folder

    def up(self, *options: str) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        self.compose("up", "-d", "--no-build", *options, *self.services(), deadline=300)
        for service in [*self.services(), KEYS]:
            self._volumes |= {name for container in self.containers(service) for name in self.volumes(container)}
        self.wait_until(self.services(), "healthy", within=120)

    def remove(self) -> None:
        eventually(self._down, within=60, what="all containers and networks are removed")
        if self._volumes:  # those without a name outlive their containers
            docker("volume", "rm", "--force", *self._volumes)

    def _down(self) -> Literal[True] | None:
        try:
            self.compose("down", "--volumes", "--timeout", "30", deadline=300)
        except AssertionError as error:
            if "has active endpoints" not in str(error):
                raise
            self._disconnect_all()
            return None
        return True

    def _disconnect_all(self) -> None:
        """The engine may keep the endpoint of a container that was killed, and with it the network."""
        for network in docker("network", "ls", "--quiet", "--filter", f"name={PROJECT}_").split():
            for endpoint in json.loads(docker("network", "inspect", network))[0]["Containers"].values():
                docker("network", "disconnect", "--force", network, endpoint["Name"])

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not, oldest first."""
        ids = docker(
            "ps", "--all", "--quiet", "--no-trunc",
            "--filter", f"label=com.docker.compose.project={PROJECT}",
            "--filter", f"label=com.docker.compose.service={service}",
        ).split()  # fmt: skip
        return ids[::-1]

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", container))[0]
        return found

    def volumes(self, container: str) -> set[str]:
        return {mount["Name"] for mount in self.inspect(container)["Mounts"] if mount["Type"] == "volume"}

    def health(self, service: str) -> set[str]:
        """`healthy`, `unhealthy`, `starting`, or how its containers are instead of running."""
        states = [self.inspect(container)["State"] for container in self.containers(service)]
        return {state["Health"]["Status"] if state["Running"] else state["Status"] for state in states}

    def wait_until(self, services: Iterable[str], health: str, *, within: float) -> None:
        for service in services:
            eventually(
                lambda service=service: self.health(service) == {health} or None,  # type: ignore[misc]
                within=within,
                what=f"{service} is {health}",
                why=lambda service=service: self.last_words(service),  # type: ignore[misc]
            )

    def last_words(self, service: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "5", service)

    def pids(self, service: str) -> list[int]:
        """All processes in a service's containers."""
        found = []
        for container in self.containers(service):
            found += [int(line.split()[0]) for line in docker("top", container, "-eo", "pid").splitlines()[1:]]
        return found

    def signal(self, service: str, number: signal.Signals) -> None:
        """To every process of a service, from outside. (`docker kill` would count as stopping it on purpose.)"""
        for pid in self.pids(service):
            with suppress(ProcessLookupError):  # a health check's process, which has ended meanwhile
                os.kill(pid, number)

    def kill(self, container: str) -> None:
        """SIGKILL its first process, and with it all of it."""
        os.kill(self.inspect(container)["State"]["Pid"], signal.SIGKILL)

    def wait_for_restart(self, container: str, times: int) -> None:
        eventually(
            lambda: self.inspect(container)["RestartCount"] >= times or None, within=60, what=f"{container} restarts"
        )


def wait_for_targets(jobs: set[str]) -> None:
    """Wait until Prometheus reaches every target that it is told to; those of `jobs` must be among them."""

    down: list[str] = []

    def all_up() -> set[str] | None:
        with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets?state=active", timeout=10) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        down[:] = [f"{t['scrapeUrl']}: {t['lastError'] or t['health']}" for t in targets if t["health"] != "up"]
        found = {t["labels"]["job"] for t in targets}
        return found if not down and jobs <= found else None

    eventually(all_up, within=60, what="every target is up", why=lambda: "; ".join(down))


def _left_out() -> set[str]:
    return set(os.environ.get(LEFT_OUT, "").split(","))


def _run(command: Sequence[str], environment: dict[str, str] | os._Environ[str], deadline: float) -> str:
    done = subprocess.run(command, env=environment, timeout=deadline, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
