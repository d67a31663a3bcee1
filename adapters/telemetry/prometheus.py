"""Metrics for Prometheus. Each process has a registry of its own, and nothing is global."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.process_collector import ProcessCollector

from application.ports.telemetry import Metric, Read, Record

PREFIX: Final = "holdfast_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_RECORDS: Final = MappingProxyType({"counter": "inc", "gauge": "set", "histogram": "observe"})


class _Registry(CollectorRegistry):
    """Does not tell when each series was made, which would be one series more for each counter and each histogram."""

    def collect(self) -> Iterator[PrometheusMetric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


@define(eq=False)
class PrometheusTelemetry:
    _registry: CollectorRegistry = field(init=False)
    _made: dict[str, Any] = field(factory=dict, init=False)
    _watched: dict[str, "_Watched"] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._registry = _Registry()
        # CPU, memory and descriptors, under the names that every program has.
        ProcessCollector(registry=self._registry)

    def of(self, metric: Metric, **labels: str) -> Record:
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = self._make(metric)
        child = made.labels(**labels) if metric.labels else made
        record: Record = getattr(child, _RECORDS[metric.kind])
        return record

    def watch(self, metric: Metric, read: Read, **labels: str) -> None:
        watched = self._watched.get(metric.name)
        if watched is None:
            watched = self._watched[metric.name] = _Watched(metric)
            self._registry.register(watched)
        watched.reads[tuple(labels[name] for name in metric.labels)] = read

    def rendered(self) -> bytes:
        """Return all metrics as text. With hundreds of series it takes milliseconds: call it in a thread."""
        return generate_latest(self._registry)

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        named: dict[str, Any] = {"registry": self._registry, "labelnames": tuple(metric.labels)}
        name = PREFIX + metric.name
        if metric.kind == "histogram":
            return Histogram(name, metric.meaning, buckets=metric.buckets, **named)
        return (Counter if metric.kind == "counter" else Gauge)(name, metric.meaning, **named)


@define(eq=False)
class _Watched:
    """A metric whose values are read when they are asked for."""

    _metric: Metric
    reads: dict[tuple[str, ...], Read] = field(factory=dict, init=False)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        kind = CounterMetricFamily if self._metric.kind == "counter" else GaugeMetricFamily
        family = kind(PREFIX + self._metric.name, self._metric.meaning, labels=tuple(self._metric.labels))
        for labels, read in self.reads.items():
            family.add_metric(labels, read())
        yield family
