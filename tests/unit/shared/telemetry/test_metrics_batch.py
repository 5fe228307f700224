"""The histogram for hot paths says on the wire what prometheus_client's own would say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry import Metrics


def _samples(metrics: Metrics, name: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name.replace(name, "x"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        if family.name == name
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.floats(0, 100) | st.sampled_from([0.001, 0.5, 1.0, 30.0])))
def test_it_counts_as_the_usual_histogram_does(values: list[float]) -> None:
    metrics = Metrics()
    usual = metrics.histogram("usual_seconds", "Usual.", ["kind"]).labels("a")
    batch = metrics.batch_histogram("batch_seconds", "Batch.", "kind").series("a")

    for value in values:
        usual.observe(value)
    batch.observe(*values)

    expected = _samples(metrics, "hodei_usual_seconds")
    assert _samples(metrics, "hodei_batch_seconds") == pytest.approx(expected)
    assert len(expected) == 18, "15 buckets, infinity, count and sum"


def test_a_histogram_without_a_label_shows_before_anything_was_observed() -> None:
    metrics = Metrics()
    histogram = metrics.batch_histogram("wait_seconds", "Waits.")
    assert b"hodei_wait_seconds_count 0.0" in metrics.render()

    histogram.observe(0.2, -1.0)

    assert metrics.value("hodei_wait_seconds_count") == 2
    assert metrics.value("hodei_wait_seconds_sum") == 0.2, "a negative duration is zero"
    assert metrics.value("hodei_wait_seconds_bucket", le="0.0005") == 1


def test_its_name_is_taken_and_kept() -> None:
    metrics = Metrics()
    histogram = metrics.batch_histogram("wait_seconds", "Waits.", "kind")
    assert metrics.batch_histogram("wait_seconds", "Waits.", "kind") is histogram
    with pytest.raises(ValueError, match="wait_seconds is a BatchHistogram, not a Histogram"):
        metrics.histogram("wait_seconds", "Waits.")
    with pytest.raises(ValueError, match="buckets grow"):
        metrics.batch_histogram("other_seconds", "Others.", buckets=(2, 1))
