"""The values that the settings of retention take, and what the errors of the others say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.settings import OrchestratorSettings
from schemas.subjects import DEAD_LETTERS, LOGS
from shared.errors import ConfigError
from shared.service.settings import load


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90d", timedelta(days=90)),
        (" 12h ", timedelta(hours=12)),
        ("1m", timedelta(minutes=1)),
        ("forever", None),
        ("", timedelta(days=90)),
    ],
)
def test_an_age_is_a_duration_or_forever(text: str, age: timedelta | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_RETENTION_JOBS", text)
    assert load(OrchestratorSettings).retention_jobs == age


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("200000", 200_000), ("unlimited", None), ("", 200_000)])
def test_a_number_is_whole_or_unlimited(text: str, number: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_RETENTION_JOBS_MAX", text)
    assert load(OrchestratorSettings).retention_jobs_max == number


@pytest.mark.parametrize("text", ["0", "0d", "59s", "90", "-1d", "1.5d", "999999d", "never", "unlimited", "1d\n0"])
def test_another_age_is_refused_with_the_right_form(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_RETENTION_JOBS", text)
    with pytest.raises(ConfigError) as refused:
        load(OrchestratorSettings)
    assert str(refused.value) == (
        f"HODEI_RETENTION_JOBS={text!r}: should be 'forever', or a duration such as 90d, 12h or 30m of at least 1m and "
        "at most 18250d"
    )


@pytest.mark.parametrize("name", ["HODEI_RETENTION_JOBS_MAX", "HODEI_RETENTION_JOBS_PER_PIPELINE"])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "10000000000", "9" * 30, "forever", "²"])
def test_another_number_is_refused_with_the_right_form(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as refused:
        load(OrchestratorSettings)
    assert str(refused.value) == f"{name}={text!r}: should be 'unlimited', or a whole number from 1 to 1000000000"


@pytest.mark.parametrize(
    ("name", "least", "short"),
    [
        ("HODEI_RETENTION_TIMELINES", "1m", "30s"),
        ("HODEI_RETENTION_PIPELINE_VERSIONS", "1h", "59m"),
        ("HODEI_RETENTION_ARCHIVED_PIPELINES", "1h", "59m"),
        ("HODEI_RETENTION_DEAD_LETTERS", "1h", "59m"),
        ("HODEI_RETENTION_LOGS", "1h", "59m"),
        ("HODEI_RETENTION_IDEMPOTENCY_KEYS", "1d", "23h"),
        ("HODEI_RETENTION_AUDIT", "1h", "59m"),
    ],
)
def test_each_age_has_a_lower_limit(name: str, least: str, short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("0", short):
        monkeypatch.setenv(name, text)
        with pytest.raises(
            ConfigError, match=rf"^{name}='{text}': should be .* of at least {least} and at most 18250d$"
        ):
            load(OrchestratorSettings)
    for text in (least, "forever"):
        monkeypatch.setenv(name, text)
        load(OrchestratorSettings)


def test_ages_of_streams_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_RETENTION_DEAD_LETTERS", "2h")
    monkeypatch.setenv("HODEI_RETENTION_LOGS", "forever")
    assert load(OrchestratorSettings).stream_ages == {DEAD_LETTERS: timedelta(hours=2), LOGS: None}
