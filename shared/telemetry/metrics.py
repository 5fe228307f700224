"""Prometheus metrics of one process: a registry of its own and the helpers to declare in it and to print it.

Here: `Metrics`, made once by a service's app.py and handed to whatever counts. Not here: any particular
metric; each lives beside the code that counts it (the bus's in `shared.bus.metrics`). Nothing is registered
globally, so two services, or two tests, in one process never share a number.

Most numbers are counted where things happen. Some have to be asked for (how far a consumer lags, whether the database
answers): whoever knows them gives a refresher to `before_scrape`, and they are asked when somebody reads the metrics,
so that nobody pays for them otherwise.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.telemetry.metrics_batch import BatchHistogram
from shared.telemetry.metrics_told import ToldCounter

PREFIX: Final = "hodei_"

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for durations: from half a millisecond, the bus's own latency, to a request that has hung."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Buckets for how many things were handled at once."""

REFRESH_DEADLINE: Final = 3.0
"""Seconds that the refreshers of one scrape may take together: less than Prometheus's patience in our configuration."""
REFRESH_GAP: Final = 1.0
"""Seconds within which a second reader gets the first one's answers: readers must not become a load."""

Refresh = Callable[[], Awaitable[None]]

_Metric = MetricWrapperBase | BatchHistogram | ToldCounter
_M = TypeVar("_M", Counter, Gauge, Histogram, BatchHistogram, ToldCounter)
_KINDS: Final = {Counter: "counter", ToldCounter: "counter", Gauge: "gauge"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric as it was declared, its full name included."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


class Metrics:
    """All the metrics of one process. Names are given without the `hodei_` prefix, which is added here.

    Asking twice for the same name gives the same metric, so that parts of one kind (several consumers, say)
    share it; asking for it as another kind raises ValueError.
    """

    content_type: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, refresh_gap: float = REFRESH_GAP, refresh_deadline: float = REFRESH_DEADLINE) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._metrics: dict[str, _Metric] = {}
        self._declared: list[Declared] = []
        self._refreshers: dict[str, Refresh] = {}
        self._refresh_gap = refresh_gap
        self._refresh_deadline = refresh_deadline
        self._refreshed_at = -refresh_gap
        self._refreshing: asyncio.Task[None] | None = None
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._refresh_failures = self.counter(
            "scrape_refresh_failures_total", "Numbers that could not be had for a scrape, by their source.", ["source"]
        )

    @property
    def declared(self) -> Sequence[Declared]:
        """What has been declared so far, for the documentation."""
        return tuple(self._declared)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; `name` ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name}")
        return self._get(Counter, name) or self._add(
            name, Counter(PREFIX + name, help, labels, registry=self.registry), help, labels
        )

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return self._get(Gauge, name) or self._add(
            name, Gauge(PREFIX + name, help, labels, registry=self.registry), help, labels
        )

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A distribution; durations are in seconds and their `name` ends in `_seconds`."""
        return self._get(Histogram, name) or self._add(
            name, Histogram(PREFIX + name, help, labels, registry=self.registry, buckets=buckets), help, labels
        )

    def batch_histogram(
        self, name: str, help: str, label: str | None = None, *, buckets: Sequence[float] = SECONDS
    ) -> BatchHistogram:
        """As `histogram`, for what is observed hundreds at a time; counted on the event loop's thread only."""
        found = self._get(BatchHistogram, name)
        if found is not None:
            return found
        made = BatchHistogram(PREFIX + name, help, label, buckets=buckets)
        self.registry.register(made)
        return self._add(name, made, help, () if label is None else (label,))

    def told_counter(self, name: str, help: str, labels: Sequence[str]) -> ToldCounter:
        """As `counter`, for what somebody else counts."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name}")
        found = self._get(ToldCounter, name)
        if found is not None:
            return found
        made = ToldCounter(PREFIX + name, help, labels)
        self.registry.register(made)
        return self._add(name, made, help, labels)

    def before_scrape(self, source: str, refresh: Refresh) -> None:
        """Have `refresh()` set its metrics each time that somebody is about to read them. It should take away what
        it cannot find out: an old number passes for a new one. `source` names it in logs and in the failures' metric.
        """
        self._refreshers[source] = refresh
        self._refresh_failures.labels(source)

    async def refresh(self) -> None:
        """Ask every refresher, within the deadline; a reader who comes while that goes on, or just after, shares it."""
        if self._refreshing is None:
            if time.monotonic() - self._refreshed_at < self._refresh_gap:
                return
            self._refreshing = asyncio.create_task(self._refresh_all(), name="metrics refresh")
        await asyncio.shield(self._refreshing)

    def render(self) -> bytes:
        """Everything, in the Prometheus text format of `content_type`."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The current value of one sample, by its full name with the prefix; 0 when it was never set. For
        tests.
        """
        return self.registry.get_sample_value(name, labels) or 0.0

    async def _refresh_all(self) -> None:
        try:
            await asyncio.gather(*(self._ask(source, refresh) for source, refresh in self._refreshers.items()))
        finally:
            self._refreshed_at = time.monotonic()
            self._refreshing = None

    async def _ask(self, source: str, refresh: Refresh) -> None:
        try:
            async with asyncio.timeout(self._refresh_deadline):
                await refresh()
        except Exception as error:  # noqa: BLE001  # one number that cannot be had must not cost all the others
            self._refresh_failures.labels(source).inc()
            _log.warning("metrics.not_refreshed", source=source, error=repr(error))

    def _get(self, kind: type[_M], name: str) -> _M | None:
        metric = self._metrics.get(name)
        if metric is not None and not isinstance(metric, kind):
            raise ValueError(f"{name} is a {type(metric).__name__}, not a {kind.__name__}")
        return metric

    def _add(self, name: str, metric: _M, help: str, labels: Sequence[str]) -> _M:
        kind = _KINDS.get(type(metric), "histogram")
        self._metrics[name] = metric
        self._declared.append(Declared(PREFIX + name, kind, help, tuple(labels)))
        return metric
