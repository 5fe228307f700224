"""What the files say, before anything is started."""

from __future__ import annotations

import copy
import functools
import json
import re
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.keys.placing import PARTIES
from shared.origins import Host, Hosts
from shared.proxies import Proxies
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

    assert services.pop("keys")["healthcheck"] == {"test": ["NONE"]}  # it ends, and the others wait for that
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["cpus"], name
        checked = "healthcheck" in service or service["image"].startswith("hodei/")  # ours bring theirs in the image
        assert checked, name
    ours = {service["image"].partition(":")[0] for service in services.values()}
    assert {f"hodei/{name}" for name in OURS} <= ours


@pytest.mark.parametrize("file", FILES)
def test_only_what_needs_a_network_is_on_it(file: str) -> None:
    services = _services(file)
    assert services.pop("keys")["network_mode"] == "none"
    networks = {name: set(service["networks"]) for name, service in services.items()}

    on_it = {name for name, found in networks.items() if "hodei-database" in found}
    ours = {name for name in networks if name.startswith(("orchestrator", "scheduler", "worker-manager"))}
    assert on_it == {"postgres", "postgres-exporter", *ours}
    assert networks.pop("postgres") == {"hodei-database"}
    assert networks.pop("worker") == {"hodei-workers"}
    with_workers = {name for name, found in networks.items() if "hodei-workers" in found}
    assert with_workers == {name for name in networks if name.startswith(("nats", "jaeger"))} - {"nats-exporter"}
    assert all("hodei-network" in found for found in networks.values())


@pytest.mark.parametrize("file", FILES)
def test_what_a_worker_keeps_outlives_its_container_and_is_its_own(file: str) -> None:
    (state,) = re.findall(r"^ENV HODEI_STATE_DIR=(\S+)$", (ROOT / "compose/Dockerfile").read_text(), re.MULTILINE)

    (volume,) = (volume for volume in _services(file)["worker"]["volumes"] if not volume.endswith(":/keys:ro"))

    assert ":" not in volume, "a name would give all workers the same one"
    assert Path(state).is_relative_to(volume)


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_published_beyond_loopback(file: str) -> None:
    ports = [port for service in _services(file).values() for port in service.get("ports", ())]

    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


def test_clients_of_the_production_shape_cannot_choose_their_address() -> None:
    """The proxy drops what they send in X-Forwarded-For, and the services believe the proxy alone."""
    frontends = re.split(r"^(?=\w)", (ROOT / "compose/proxy/haproxy.cfg").read_text(), flags=re.MULTILINE)
    public = [one for one in frontends if one.startswith("frontend") and "default_backend" in one]
    drops = 'http-request del-header X-Forwarded-For unless { src "${HODEI_TRUSTED_PROXIES[*]}" }'
    assert [one for one in public if drops not in one] == []
    assert len(public) == 3

    whole = yaml.safe_load(Stack(FILES[2], **SECRETS).compose("config"))
    proxy = whole["services"]["proxy"]
    assert proxy["environment"]["HODEI_TRUSTED_PROXIES"] == "127.0.0.1"
    address = proxy["networks"]["hodei-network"]["ipv4_address"]
    for service in whole["services"].values():
        if "DATABASE_URL" in (found := service.get("environment", {})):
            proxies = Proxies(found["HODEI_TRUSTED_PROXIES"])
            assert proxies.client(address, ["8.8.8.8, 10.1.2.3"]) == "10.1.2.3"
            assert not proxies.trust("10.213.77.128")
    [network] = whole["networks"]["hodei-network"]["ipam"]["config"]
    assert ip_address(address) in ip_network(network["subnet"])
    assert ip_address(address) not in ip_network(network["ip_range"])


@pytest.mark.parametrize("file", FILES)
def test_each_service_answers_under_the_names_that_the_others_call_it_by(file: str) -> None:
    services = {name: one for name, one in _services(file).items() if "DATABASE_URL" in one.get("environment", {})}

    assert len(services) >= 3
    for name, service in services.items():
        hosts = Hosts(service["environment"]["HODEI_ALLOWED_HOSTS"])
        assert hosts.accept(Host(name)), name
        assert hosts.accept(Host("localhost", 8080))
        assert not hosts.accept(Host("evil.example"))


@pytest.mark.parametrize("file", FILES)
def test_the_service_keys_places_what_each_container_has_and_nothing_else(file: str) -> None:
    services = _services(file)
    placed = {
        party: volume
        for volume, _, party in (one.removesuffix(":rw").partition(":/for/") for one in services["keys"]["volumes"])
        if party
    }

    others = {volume for volume in services["keys"]["volumes"] if ":/for/" not in volume}
    assert others - {"nats-data:/streams:rw"} == {"keys:/keys:rw"}
    assert placed.keys() <= PARTIES.keys()
    for name, service in services.items():
        party = re.sub(r"-\d$", "", name)
        found = [volume for volume in service.get("volumes", ()) if volume.endswith(":/keys:ro")]
        assert found == ([f"{placed[party]}:/keys:ro"] if party in placed else []), name
    needed = {file for service in services.values() for file in re.findall(r"/keys/([\w.-]+)", json.dumps(service))}
    assert needed <= {target.partition("/")[0] for party in PARTIES.values() for target in party.files}


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_uses_keys_starts_before_they_are_made(file: str) -> None:
    services = _services(file)

    def waits(name: str) -> bool:
        conditions = services[name].get("depends_on", {})
        return conditions.get("keys", {}).get("condition") == "service_completed_successfully" or any(
            waits(other) for other in conditions if other != "keys"
        )

    using = [name for name, one in services.items() if any(v.endswith(":/keys:ro") for v in one.get("volumes", ()))]
    assert len(using) >= 5
    assert [name for name in using if not waits(name)] == []


def test_production_asks_for_tokens_and_tls_and_the_local_stack_for_neither() -> None:
    for file, on in ((FILES[0], False), (FILES[2], True)):
        for name, service in _services(file).items():
            if "DATABASE_URL" in (found := service.get("environment", {})):
                assert found["HODEI_AUTH"] == ("on" if on else ""), name
                assert found.get("HODEI_PUBLISHED_HOST") == (None if on else "127.0.0.1"), name
                assert ("HODEI_TLS_CERT" in found) == ("HODEI_NATS_CA" in found) == on, name
                assert ("sslmode=verify-full" in found["DATABASE_URL"]) == on, name
                assert found["HODEI_NATS_CREDENTIALS"] == "/keys/nats.creds"


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
    return copy.deepcopy(_read(file))


@functools.cache
def _read(file: str) -> dict[str, dict[str, Any]]:
    """The services of a file, whole; docker-compose takes seconds for it."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        Stack(file, **SECRETS).compose("--profile", "monitoring", "config")
    )["services"]
    return found
