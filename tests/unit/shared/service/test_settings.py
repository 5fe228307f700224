"""Settings: read from the environment; a mistake is one line that says what would be right."""

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from hodei.up_settings import UpSettings
from nats_exporter.settings import NatsExporterSettings
from scheduler.settings import SchedulerSettings
from shared.errors import ConfigError
from shared.service import settings
from worker_manager.agent.settings import AgentSettings
from worker_manager.settings import WorkerManagerSettings

ROOT = Path(__file__).parents[4]


class TrialSettings(settings.ServiceSettings):
    service: ClassVar[str] = "trial"
    port: settings.Port = Field(default=8080, validation_alias="TRIAL_PORT")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("HODEI_", "TRIAL_")) or name in ("NATS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)


def fault(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        settings.load(TrialSettings)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_an_empty_environment_gives_the_defaults() -> None:
    loaded = settings.load(TrialSettings)
    assert (loaded.namespace, loaded.host, loaded.port, loaded.limit_body) == ("hodei", "127.0.0.1", 8080, 1 << 20)


def test_variables_and_ports_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_PORT", "9000")
    monkeypatch.setenv("HODEI_LINGER_MS", "25")
    monkeypatch.setenv("HODEI_HOST", "")  # empty means not given
    loaded = settings.load(TrialSettings)
    assert (loaded.port, loaded.linger, loaded.host) == (9000, 0.025, "127.0.0.1")


def test_a_bad_value_names_the_variable_and_what_would_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    line = fault(monkeypatch, HODEI_LOG_LEVEL="loud")
    assert line == "HODEI_LOG_LEVEL='loud': should be 'debug', 'info', 'warning' or 'error'"


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "grpc://collector:4317", "http://", "http://u:s3cret@collector"]
)
def test_a_collectors_address_is_one_and_carries_no_password(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    line = fault(monkeypatch, HODEI_OTLP_ENDPOINT=endpoint)
    assert line.startswith("HODEI_OTLP_ENDPOINT: should ")
    assert "s3cret" not in line


@pytest.mark.parametrize(
    "origins", ["foo", "https://one.example/path", "https://one.example, two.example", "https://", "null"]
)
def test_what_is_no_origin_is_named(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    line = fault(monkeypatch, HODEI_CORS_ORIGINS=origins)
    assert "is not an origin: *, loopback or https://host:port" in line


def test_origins_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for origins in (
        "*",
        "https://one.example,http://localhost:3000",
        "https://one.example/ , *",
        "loopback,http://a:*",
    ):
        monkeypatch.setenv("HODEI_CORS_ORIGINS", origins)
        assert settings.load(TrialSettings).cors_origins == origins


@pytest.mark.parametrize("hosts", ["https://one.example", "one.example/path", "one example", "*.example", "a:70000"])
def test_what_is_not_a_host_is_named(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    line = fault(monkeypatch, HODEI_ALLOWED_HOSTS=hosts)
    assert line.startswith("HODEI_ALLOWED_HOSTS")
    assert "is not a host: *, a name or name:port, separated by commas" in line


@pytest.mark.parametrize(("given", "missing"), [("CERT", "KEY"), ("KEY", "CERT")])
def test_a_certificate_and_its_key_go_together(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    line = fault(monkeypatch, **{f"HODEI_TLS_{given}": "/keys/tls/x"})
    assert line == f"HODEI_TLS_{given} is set, so HODEI_TLS_{missing} should be, too"


def test_every_fault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    line = fault(monkeypatch, TRIAL_PORT="70000", HODEI_NAMESPACE="A.b")
    assert "TRIAL_PORT" in line
    assert "HODEI_NAMESPACE" in line


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    line = fault(monkeypatch, HODEI_LOG_LEVL="info")
    assert line == "HODEI_LOG_LEVL is not a known setting; did you mean HODEI_LOG_LEVEL?"


def test_variables_of_other_processes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_WORKER_SLOTS", "4")
    settings.load(TrialSettings)


def test_an_agent_leaves_the_settings_of_services_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://elsewhere")
    monkeypatch.setenv("HODEI_DATABASE_POOL", "none")
    monkeypatch.setenv("HODEI_CORS_ORIGINS", "foo")
    loaded = settings.load(AgentSettings)
    assert not {"database_url", "database_pool", "cors_origins", "host"} & set(type(loaded).model_fields)


def test_the_exporter_leaves_the_settings_of_the_bus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://elsewhere")
    monkeypatch.setenv("NATS_URL", "nowhere")
    assert settings.load(NatsExporterSettings).port == 7777


def test_a_workers_slots_are_the_same_for_whoever_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, slots in ((1, 8), (16, 32)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert settings.load(AgentSettings).slots == slots
        assert settings.load(WorkerManagerSettings).worker_slots == slots
        assert UpSettings.read({}).worker_slots == slots


LIMITS = ("HODEI_LIMIT_BODY", "HODEI_LIMIT_REQUESTS", "HODEI_LIMIT_STREAMS", "HODEI_LIMIT_WAITING_REQUESTS")


@pytest.mark.parametrize("limit", [*LIMITS, "HODEI_BODY_LIMIT"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_that_is_not_one_is_named(monkeypatch: pytest.MonkeyPatch, limit: str, value: str) -> None:
    assert fault(monkeypatch, **{limit: value}).startswith(f"{limit}='{value}': should be a whole number from 1")


def test_the_older_name_of_the_limit_of_bodies_counts_unless_the_newer_one_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HODEI_LIMIT_BODY", "")
    monkeypatch.setenv("HODEI_BODY_LIMIT", "5000")
    assert settings.load(TrialSettings).limit_body == 5000
    monkeypatch.setenv("HODEI_LIMIT_BODY", "6000")
    assert settings.load(TrialSettings).limit_body == 6000


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("30m", 1800), ("7d", 7 * 86400), ("forever", 18250 * 86400)]
)
@pytest.mark.parametrize("variable", ["HODEI_RETENTION_WORKERS", "HODEI_WORKER_TTL"])
def test_workers_are_kept_for_seconds_or_a_duration(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, seconds: float
) -> None:
    monkeypatch.setenv(variable, text)
    for kind in (SchedulerSettings, WorkerManagerSettings):
        assert settings.load(kind).worker_ttl == seconds


def test_the_newer_name_of_the_time_for_workers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_WORKER_TTL", "60")
    monkeypatch.setenv("HODEI_RETENTION_WORKERS", "2h")
    assert settings.load(SchedulerSettings).worker_ttl == 7200


def test_each_variable_is_declared_once() -> None:
    folders = ("shared", "orchestrator", "scheduler", "worker_manager", "nats_exporter")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    declared = Counter(
        name for source in sources for name in re.findall(r'validation_alias=(?:AliasChoices\()?"(\w+)"', source)
    )
    assert len(declared) > 20
    assert [name for name, count in declared.items() if count > 1] == []


def test_an_address_is_never_repeated_for_it_may_hold_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    line = fault(monkeypatch, DATABASE_URL="mysql://hodei:secret@host/hodei")
    assert "secret" not in line
    assert line.startswith("DATABASE_URL: should start with postgresql://")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "hodei.localhost"])
def test_access_is_off_by_default_where_only_this_machine_listens(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HODEI_HOST", host)
    assert not settings.load(TrialSettings).access_on
    monkeypatch.setenv("HODEI_AUTH", "on")
    monkeypatch.setenv("HODEI_NATS_CREDENTIALS", "/keys/nats.creds")
    assert settings.load(TrialSettings).access_on


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "hodei.example"])
def test_access_has_to_be_chosen_where_others_may_reach_a_service(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    line = fault(monkeypatch, HODEI_HOST=host)
    assert line == (
        "HODEI_AUTH: should be on, so that requests need a token, or off: it has no default with "
        f"HODEI_HOST={host}, which other machines may reach"
    )
    monkeypatch.setenv("HODEI_NATS_CREDENTIALS", "/keys/nats.creds")
    for auth in ("on", "off"):
        monkeypatch.setenv("HODEI_AUTH", auth)
        assert settings.load(TrialSettings).access_on == (auth == "on")


@pytest.mark.parametrize("published", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_access_is_off_by_default_in_a_container_whose_port_is_published_on_loopback(
    monkeypatch: pytest.MonkeyPatch, published: str
) -> None:
    monkeypatch.setenv("HODEI_HOST", "0.0.0.0")
    monkeypatch.setenv("HODEI_PUBLISHED_HOST", published)
    assert not settings.load(TrialSettings).access_on


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("published", ["0.0.0.0", "::", "[::]", "192.0.2.7"])
def test_access_has_to_be_chosen_where_the_port_of_a_container_is_published_for_others(
    monkeypatch: pytest.MonkeyPatch, published: str, host: str
) -> None:
    line = fault(monkeypatch, HODEI_HOST=host, HODEI_PUBLISHED_HOST=published)
    assert line == (
        "HODEI_AUTH: should be on, so that requests need a token, or off: it has no default with "
        f"HODEI_PUBLISHED_HOST={published.strip('[]')} (HODEI_BIND of Compose), which other machines may reach"
    )
    monkeypatch.setenv("HODEI_AUTH", "off")
    assert not settings.load(TrialSettings).access_on


@pytest.mark.parametrize("urls", ["nats://a:4222", "tls://a", "nats://hodei:secret@a:4222,nats://b:4222"])
def test_access_needs_a_nats_that_asks_for_credentials(monkeypatch: pytest.MonkeyPatch, urls: str) -> None:
    line = fault(monkeypatch, HODEI_AUTH="on", NATS_URL=urls)
    assert line.startswith("HODEI_AUTH is on, so HODEI_NATS_CREDENTIALS should be set (docs/access.md), or NATS_URL")
    assert "secret" not in line
    monkeypatch.setenv("HODEI_AUTH", "off")
    assert not settings.load(TrialSettings).access_on


@pytest.mark.parametrize(
    "variables",
    [
        {"HODEI_NATS_CREDENTIALS": "/keys/nats.creds"},
        {"NATS_URL": "nats://hodei:secret@a:4222,tls://hodei:secret@b"},
        {"NATS_URL": "nats://token@a:4222"},
    ],
)
def test_any_credentials_for_nats_will_do_for_access(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HODEI_AUTH", "on")
    assert settings.load(TrialSettings).access_on


def test_a_bad_host_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(monkeypatch, HODEI_HOST="two words").count("HODEI_") == 1
