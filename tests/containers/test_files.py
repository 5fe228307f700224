"""What the files say, before anything is started."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.origins import Host, Hosts
from tests.containers.stack import ROOT, Stack, docker
from tests.standins.images import ALL

# The production shape is not even valid without them.
SECRETS = {"NATS_PASSWORD": "abc", "POSTGRES_PASSWORD": "abc", "GRAFANA_PASSWORD": "abc"}
FILES = ("compose.yaml", "compose/docker-compose.yml", "compose/docker-compose.production.yml")
EXTENDED = ("compose/local.yml", "compose/services.yml")
"""What those are made of: not meant to be started, and whole all the same."""
OURS = ("orchestrator", "scheduler", "worker-manager", "worker", "nats-exporter")


@pytest.mark.parametrize("profile", ["", "monitoring"])
@pytest.mark.parametrize("file", [*FILES, *EXTENDED])
def test_every_file_is_valid_with_every_profile(file: str, profile: str) -> None:
    options = ("--profile", profile) if profile else ()

    Stack(file, **SECRETS).compose(*options, "config", "--quiet")


def test_no_file_and_no_profile_is_forgotten() -> None:
    files = {str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.y*ml"), *(ROOT / "compose").glob("*.y*ml")]}
    asked = re.findall(r"profiles: \[(.*)\]", "".join((ROOT / file).read_text() for file in files))

    assert files - {".pre-commit-config.yaml"} == {*FILES, *EXTENDED}
    assert set(asked) == {"monitoring"}


def test_the_stack_at_the_root_is_the_one_in_the_folder() -> None:
    root, folder = (Stack(file).compose("config") for file in FILES[:2])

    assert root == folder


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_the_production_shape_names_the_password_that_is_missing(missing: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing}

    with pytest.raises(AssertionError, match=f"set {missing} in .env"):
        Stack(FILES[2], **given).compose("config", "--quiet")


@pytest.mark.parametrize("file", FILES)
def test_every_service_is_limited_checked_and_restarted(file: str) -> None:
    services = _services(file)

    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["cpus"], name
        checked = "healthcheck" in service or service["image"].startswith("hodei/")  # ours bring theirs in the image
        assert checked, name
    ours = {service["image"].partition(":")[0] for service in services.values()}
    assert {f"hodei/{name}" for name in OURS} <= ours


@pytest.mark.parametrize("file", FILES)
def test_only_what_needs_the_database_is_on_its_network(file: str) -> None:
    networks = {name: set(service["networks"]) for name, service in _services(file).items()}

    on_it = {name for name, found in networks.items() if "hodei-database" in found}
    services = {name for name in networks if name.startswith(("orchestrator", "scheduler", "worker-manager"))}
    assert on_it == {"postgres", "postgres-exporter", *services}
    assert networks.pop("postgres") == {"hodei-database"}
    assert all("hodei-network" in found for found in networks.values())


@pytest.mark.parametrize("file", FILES)
def test_what_a_worker_keeps_outlives_its_container_and_is_its_own(file: str) -> None:
    (state,) = re.findall(r"^ENV HODEI_STATE_DIR=(\S+)$", (ROOT / "compose/Dockerfile").read_text(), re.MULTILINE)

    (volume,) = _services(file)["worker"]["volumes"]

    assert ":" not in volume, "a name would give all workers the same one"
    assert Path(state).is_relative_to(volume)


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_published_beyond_loopback(file: str) -> None:
    ports = [port for service in _services(file).values() for port in service.get("ports", ())]

    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("file", FILES)
def test_each_service_answers_under_the_names_that_the_others_call_it_by(file: str) -> None:
    services = {name: one for name, one in _services(file).items() if "DATABASE_URL" in one.get("environment", {})}

    assert len(services) >= 3
    for name, service in services.items():
        hosts = Hosts(service["environment"]["HODEI_ALLOWED_HOSTS"])
        assert hosts.accept(Host(name)), name
        assert hosts.accept(Host("localhost", 8080))
        assert not hosts.accept(Host("evil.example"))


def test_stand_ins_bear_the_names_that_the_files_use() -> None:
    named = {
        service["image"]
        for file in FILES
        for service in _services(file).values()
        if not service["image"].startswith("hodei/")
    }
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "compose/Dockerfile").read_text(), re.MULTILINE)
    assert base is not None

    assert {image.reference for image in ALL} == named | {base[1]}


@pytest.mark.parametrize("name", OURS)
def test_an_image_holds_what_it_runs_and_nothing_that_builds(images: None, name: str) -> None:
    image = f"hodei/{name}:0.1.0"
    config = json.loads(docker("inspect", image))[0]["Config"]
    look = "for program in pip gcc cc curl nats-server postgres initdb; do command -v $program; done; id -u"

    found = docker("run", "--rm", "--network", "none", image, "sh", "-c", look).split()
    no_pip = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image, "python", "-m", "pip"], capture_output=True, text=True
    )

    assert found == ["10001"]
    assert "No module named pip" in no_pip.stderr
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD-SHELL"
    title = config["Labels"]["org.opencontainers.image.title"]
    assert title.lower() == f"hodei {name.replace('-', ' ')}"


def _services(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        Stack(file, **SECRETS).compose("--profile", "monitoring", "config")
    )["services"]
    return found
