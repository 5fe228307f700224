"""Alerts, their runbook and their tests name the same things; promtool has the last word where it is installed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from docs import generate, log_events
from tests.fixtures import monitoring, promtool

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
SEVERITIES = {"critical", "warning", "info"}


def runbook() -> dict[str, str]:
    """The sections below `## Alerts`, by their title."""
    _, found, rest = OPERATIONS.read_text().partition("\n## Alerts\n")
    assert found, "docs/operations.md has no part about alerts"
    chapter = re.split(r"^## ", rest, flags=re.MULTILINE)[0]
    sections = re.split(r"^### ", chapter, flags=re.MULTILINE)[1:]
    return {title: text.strip() for title, _, text in (section.partition("\n") for section in sections)}


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    sections = runbook()
    assert set(sections) == set(monitoring.alerts())
    assert [title for title, text in sections.items() if len(text) < 60] == [], "says too little"


def test_what_the_runbook_refers_to_is_there() -> None:
    words = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", " ".join(runbook().values())))
    foreign = {"JetStream", "PostgreSQL"}
    assert words - foreign <= set(monitoring.alerts())


def test_the_metrics_and_log_events_that_the_runbook_names_exist() -> None:
    words = set(re.findall(r"`(\w+(?:\.\w+)?)`", " ".join(runbook().values())))
    metrics = {one.name for process in generate.declared_metrics().values() for one in process}
    assert {word for word in words if word.startswith("hodei_")} <= metrics
    said = {word for word in words if "." in word and not word.endswith((".yml", ".md"))}
    assert said
    assert said <= set(log_events.found())


@pytest.mark.parametrize("name", sorted(monitoring.alerts()))
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(name: str) -> None:
    alert = monitoring.alerts()[name]
    assert set(alert) == {"alert", "expr", "for", "labels", "annotations"}
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/operations.md#{name.lower()}"
    assert notes["description"].endswith(".")


def test_every_alert_is_tried_firing_and_silent() -> None:
    tried: dict[str, list[bool]] = {}
    for test in yaml.safe_load((monitoring.PROMETHEUS / "tests" / "alerts.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    assert {name: sorted(cases) for name, cases in tried.items()} == {
        name: [False, True] for name in monitoring.alerts()
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),  # its keys are elsewhere
        ("check", "config", "--syntax-only", "production.yml"),
        ("check", "rules", "rules/alerts.yml", "rules/recording.yml"),
        ("test", "rules", "tests/alerts.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    command = [promtool.path(), *arguments]
    done = subprocess.run(command, cwd=monitoring.PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_shapes_are_read_for_the_same_and_production_with_tls_and_a_token() -> None:
    local, production = (
        {job["job_name"]: job for job in yaml.safe_load((monitoring.PROMETHEUS / name).read_text())["scrape_configs"]}
        for name in ("prometheus.yml", "production.yml")
    )

    assert production.keys() - local.keys() == {"proxy"}
    for name in ("orchestrator", "scheduler", "worker-manager"):
        assert local[name]["authorization"] == production[name]["authorization"]
        assert production[name]["scheme"] == "https"
        assert production[name]["tls_config"] == {"ca_file": "/keys/ca.crt", "server_name": name}
