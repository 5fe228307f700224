"""The registry of one process."""

import pytest

from shared.telemetry import Metrics


def test_names_get_the_prefix_and_are_rendered() -> None:
    metrics = Metrics()
    metrics.counter("things_total", "Things.", ["kind"]).labels("small").inc(2)
    metrics.histogram("work_seconds", "Work.").observe(0.002)
    text = metrics.render().decode()
    assert 'hodei_things_total{kind="small"} 2.0' in text
    assert 'hodei_work_seconds_bucket{le="0.0025"} 1.0' in text
    assert "process_cpu_seconds_total" in text


def test_registries_are_apart() -> None:
    one, other = Metrics(), Metrics()
    one.counter("things_total", "Things.").inc()
    assert one.value("hodei_things_total") == 1
    assert other.value("hodei_things_total") == 0


def test_a_name_means_one_metric() -> None:
    metrics = Metrics()
    assert metrics.counter("things_total", "Things.") is metrics.counter("things_total", "Things.")
    with pytest.raises(ValueError, match="is a Counter, not a Gauge"):
        metrics.gauge("things_total", "Things.")


def test_a_counter_is_named_as_one() -> None:
    with pytest.raises(ValueError, match="_total"):
        Metrics().counter("things", "Things.")
