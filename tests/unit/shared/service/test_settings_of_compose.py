"""The local compose files: without access for this machine, and not started for others until access was chosen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from shared.errors import ConfigError
from shared.service import settings
from worker_manager.settings import WorkerManagerSettings

ROOT = Path(__file__).parents[4]
SERVICES = {
    "orchestrator": OrchestratorSettings,
    "scheduler": SchedulerSettings,
    "worker-manager": WorkerManagerSettings,
}
FILES = ("compose.yaml", "compose/docker-compose.yml", "compose/local.yml")
PRODUCTION = "compose/docker-compose.production.yml"
PASSWORDS = {"POSTGRES_PASSWORD": "a", "NATS_PASSWORD": "b", "GRAFANA_PASSWORD": "c"}


def environment(file: Path, service: str, given: dict[str, str]) -> dict[str, str]:
    """What Compose gives a service: its variables and those of the service that it extends, with the values of .env."""
    found: dict[str, Any] = yaml.safe_load(file.read_text())["services"][service]
    variables: dict[str, str] = {}
    if (extended := found.get("extends")) is not None:
        variables = environment(file.parent / extended["file"], extended["service"], given)
    return variables | {name: filled(value, given) for name, value in found.get("environment", {}).items()}


def filled(text: str, given: dict[str, str]) -> str:
    """A value with `${NAME:-default}`, `${NAME-default}`, `${NAME:?…}` and `${NAME}` replaced."""

    def value(match: re.Match[str]) -> str:
        name, empty_too, default = match["name"], match["colon"], match["default"] or ""
        return default if name not in given or (empty_too and not given[name]) else given[name]

    return re.sub(r"\$\{(?P<name>\w+)(?:(?P<colon>:)?[-?](?P<default>[^}]*))?\}", value, text)


def load(monkeypatch: pytest.MonkeyPatch, file: str, service: str, **given: str) -> settings.ServiceSettings:
    """The settings of a service as in its container. Raises ConfigError where it would not start."""
    for name in list(os.environ):
        if name.startswith("HODEI_") or name in ("NATS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
    image = (ROOT / "compose/Dockerfile").read_text()
    monkeypatch.setenv("HODEI_HOST", re.search(r"HODEI_HOST=(\S+)", image)[1])  # type: ignore[index]  # it is there
    for name, value in environment(ROOT / file, service, given).items():
        monkeypatch.setenv(name, value)
    return settings.load(SERVICES[service])


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("file", FILES)
def test_the_local_stack_starts_without_access_and_with_it_if_asked(
    monkeypatch: pytest.MonkeyPatch, file: str, service: str
) -> None:
    assert not load(monkeypatch, file, service).access_on
    assert not load(monkeypatch, file, service, HODEI_AUTH="", HODEI_BIND="").access_on
    assert load(monkeypatch, file, service, HODEI_AUTH="on").access_on


@pytest.mark.parametrize("bind", ["0.0.0.0", "192.0.2.7", "[::]"])
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("file", FILES)
def test_the_local_stack_does_not_start_for_others_before_access_was_chosen(
    monkeypatch: pytest.MonkeyPatch, file: str, service: str, bind: str
) -> None:
    with pytest.raises(ConfigError, match=r"^HODEI_AUTH: should be on.* or off: .* \(HODEI_BIND of Compose\)"):
        load(monkeypatch, file, service, HODEI_BIND=bind)
    assert load(monkeypatch, file, service, HODEI_BIND=bind, HODEI_AUTH="on").access_on
    assert not load(monkeypatch, file, service, HODEI_BIND=bind, HODEI_AUTH="off").access_on


def test_the_example_of_env_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (line.partition("=") for line in (ROOT / ".env.example").read_text().splitlines() if line[:1] not in "#")
    given = {name: value for name, _, value in lines}
    assert not load(monkeypatch, FILES[0], "orchestrator", **given).access_on
    with pytest.raises(ConfigError, match="HODEI_AUTH"):
        load(monkeypatch, FILES[0], "orchestrator", **given | {"HODEI_BIND": "0.0.0.0"})


@pytest.mark.parametrize("auth", ["", "off"])
def test_the_production_shape_has_access_on_whatever_env_says(monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    for bind in ("127.0.0.1", "0.0.0.0"):
        given = PASSWORDS | {"HODEI_AUTH": auth, "HODEI_BIND": bind}
        assert load(monkeypatch, PRODUCTION, "orchestrator", **given).access_on
