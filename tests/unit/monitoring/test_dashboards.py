"""The dashboards are whole, readable and ask only for what exists."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import generate
from tests.fixtures import monitoring
from tests.fixtures.monitoring import Expression

FOREIGN: dict[str, set[str]] = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "pg_up": set(),
    "pg_database_size_bytes": {"datname"},
    "pg_settings_max_connections": set(),
    "pg_stat_activity_count": {"datname", "state"},
    "pg_stat_database_deadlocks": {"datname"},
    "pg_stat_database_xact_commit": {"datname"},
    "pg_stat_database_xact_rollback": {"datname"},
}
"""What others tell, and the labels of it that we use. That they really do is checked where they run (tests/e2e)."""

UNITS = {"short", "s", "bytes", "ops", "reqps", "percentunit"}

paths = pytest.mark.parametrize("path", monitoring.DASHBOARDS, ids=lambda path: path.stem)


@cache
def known() -> dict[str, set[str]]:
    """Every sample's name and its labels: declared by our processes, made by recording rules, or foreign."""
    names = {name: labels | monitoring.OF_TARGETS for name, labels in FOREIGN.items()}
    for process in generate.declared_metrics().values():
        for one in process:
            labels = {*one.labels, *monitoring.OF_TARGETS}
            if one.kind == "histogram":
                names |= {f"{one.name}_bucket": labels | {"le"}, f"{one.name}_sum": labels, f"{one.name}_count": labels}
            else:
                names[one.name] = labels
    for name, expression in monitoring.recorded().items():
        names[name] = set(expression.grouped_by()) - {"le"}
    return names


@pytest.mark.parametrize(
    "expression",
    [*monitoring.panel_expressions(), *monitoring.rule_expressions()],
    ids=lambda expression: expression.where,
)
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: Expression) -> None:
    names = known()
    selectors = list(expression.selectors())
    assert selectors, "asks for nothing"
    for name, labels in selectors:
        assert name in names, f"{name} does not exist"
        assert labels <= names[name], f"{name} has no {labels - names[name]}"
    reachable = set().union(*(names[name] for name, _ in selectors))
    assert expression.grouped_by() <= reachable


def test_selectors_are_found_in_all_their_forms() -> None:
    text = (
        'sum by (job, le) (rate(a_bucket{x="{q}", y=~"z.*"}[5m])) / on (job) group_left b:c > 1 or vector(0) unless d'
    )
    expression = Expression("here", text)
    assert list(expression.selectors()) == [("a_bucket", {"x", "y"}), ("b:c", set()), ("d", set())]
    assert expression.grouped_by() == {"job", "le"}


@paths
def test_a_dashboard_has_a_name_that_stays(path: Path) -> None:
    dashboard = monitoring.dashboard(path)
    assert dashboard["uid"] == f"hodei-{path.stem}"
    assert dashboard["title"]
    assert dashboard["description"]
    assert "id" not in dashboard, "Grafana gives that number itself"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@paths
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    sources = yaml.safe_load((monitoring.GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    [source] = sources["datasources"]
    titles = [panel["title"] for panel in monitoring.panels(path)]
    assert len(titles) == len(set(titles))
    for panel in monitoring.panels(path):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"]["uid"] == source["uid"], panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]


@paths
def test_panels_stand_side_by_side_on_a_page_of_24_columns(path: Path) -> None:
    def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
        return (
            one["x"] < other["x"] + other["w"]
            and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"]
            and other["y"] < one["y"] + one["h"]
        )

    places = [panel["gridPos"] for panel in monitoring.dashboard(path)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []
