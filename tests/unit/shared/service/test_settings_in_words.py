"""Every setting of the agent and the services, given values that cannot be: one line with what would be right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from nats_exporter.settings import NatsExporterSettings
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from shared.errors import ConfigError
from shared.service import settings
from shared.service.settings import ProcessSettings
from worker_manager.agent.settings import AgentSettings
from worker_manager.settings import WorkerManagerSettings

ALL = (OrchestratorSettings, SchedulerSettings, WorkerManagerSettings, AgentSettings, NatsExporterSettings)
NOT_UTF8 = os.fsdecode(b"caf\xe9")
NUMBERS = ("soon", "-1e9", "1e99")
BAD: dict[str, tuple[str, str, str]] = {
    "NATS_URL": ("127.0.0.1:4222", "nats://:4222", "nats://one:4222,nats://[::1"),
    "HODEI_NATS_MONITORING_URL": ("8222", "http://:8222", "http://one:8222,http://two:99999"),
    "DATABASE_URL": ("mysql://me:hidden@db/x", "postgresql://me:hidden@db:99999/x", "postgresql://me:hidden@[::1/x"),
    "HODEI_NAMESPACE": ("A", "a.b", "a" * 64),
    "HODEI_HOST": ("localhost:8080", "two words", "x" * 64),
    "HODEI_PUBLISHED_HOST": ("localhost:8080", "two words", "[127.0.0.1"),
    "HODEI_AUTH": ("maybe", "ON", "1"),
    "HODEI_CORS_ORIGINS": ("one.example", "a\nb", NOT_UTF8),
    "HODEI_ALLOWED_HOSTS": ("https://one.example", "a\x1bb", NOT_UTF8),
    "HODEI_PUBLIC_URL": ("hodei.example", "https://me:hidden@hodei.example", "https://hodei.example/?a=1"),
    "HODEI_TRUSTED_PROXIES": ("proxy", "10.0.0.1/8", "10.0.0.0/99"),
    "HODEI_LOG_FORMAT": ("JSON", "xml", NOT_UTF8),
    "HODEI_LOG_LEVEL": ("loud", "INFO", "1"),
    "HODEI_FEED": ("yes", "true", "1"),
    "HODEI_OTLP_ENDPOINT": ("collector:4318", "http://me:hidden@collector", "http://collector:99999"),
    "HODEI_WORKER_ID": ("one", "0", "019AC6E4-0000-7000-8000-000000000000"),
    "HODEI_WORKER_NAME": ("a\nb", " ", "x" * 201),
    "HODEI_WORKER_TYPE": ("x" * 101, NOT_UTF8, "y" * 4000),
    "HODEI_WORKER_LABELS": ("zone", "a b=c", '{"zone": 1}'),
    "HODEI_WORKER_CAPACITY": ("4 cores", "gpus=1", "cpu_m=many"),
}
AGES = ("0", "soon", "999999d")
"""For every `HODEI_RETENTION_*` that is not a number."""
PATHS = {
    "HODEI_BOOTSTRAP_TOKENS",
    "HODEI_DATA_DIR",
    "HODEI_STATE_DIR",
    "HODEI_TLS_CERT",
    "HODEI_TLS_KEY",
    "HODEI_BOOTSTRAP_JOIN_TOKENS",
    "HODEI_JOIN",
    "HODEI_ISSUER_DIR",
    "HODEI_NATS_CA",
    "HODEI_NATS_CREDENTIALS",
}
"""Any text is a path; what cannot be used as one is named when it is opened."""
JARGON = ("validation error", "Value error", "Input should", "pattern", "^[", "parsing", "Traceback", "pydantic")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("HODEI_") or name in ("NATS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)


def _number(field: FieldInfo) -> bool:
    return any(kind in str(field.annotation) for kind in ("int", "float"))


def _cases() -> Iterator[tuple[type[ProcessSettings], str, str]]:
    for kind in ALL:
        for name, field in kind.model_fields.items():
            variable = settings._variable(name, field)
            if variable not in PATHS:
                texts = AGES if variable.startswith("HODEI_RETENTION_") else BAD.get(variable, ())
                assert _number(field) or texts, variable
                for value in NUMBERS if _number(field) else texts:
                    yield kind, variable, value


@pytest.mark.parametrize(("kind", "variable", "value"), list(_cases()))
def test_a_value_that_cannot_be_is_one_plain_line(
    kind: type[ProcessSettings], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError) as caught:
        settings.load(kind)

    line = str(caught.value)
    assert line.startswith(variable)
    assert line.isprintable()
    assert len(line) < 400
    assert any(f" {word} " in line for word in ("should", "is", "has", "are", "must", "takes")), line
    assert not any(jargon in line for jargon in JARGON), line
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("HODEI_HEARTBEAT_SECONDS", "0", "should be a number above 0 and at most 60"),
        ("HODEI_STOP_DEADLINE", "soon", "should be a number above 0 and at most 3600"),
        ("HODEI_WORKER_SLOTS", "2.5", "should be a whole number from 1 to 10000"),
        ("HODEI_SPOOL_LIMIT", "0", "should be a whole number of at least 1048576"),
        ("HODEI_WORKER_CAPACITY", "gpu=1,gpu=2", "a name is used twice"),
        ("HODEI_WORKER_LABELS", "zone", "labels are written key=value,key=value"),
    ],
)
def test_both_ends_of_a_range_are_told(variable: str, value: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        settings.load(AgentSettings)
    assert str(caught.value) == f"{variable}={value!r}: {right}"


def test_a_path_may_be_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_STATE_DIR", NOT_UTF8)
    assert settings.load(AgentSettings).state_dir == Path(NOT_UTF8)


def test_a_database_may_have_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@one:5432,two:5433/x")
    assert settings.load(SchedulerSettings).database_url.endswith("two:5433/x")
