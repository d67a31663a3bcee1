"""What is counted and measured. What a metric means stands in `application/telemetry/metrics.py`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from attrs import field, frozen

# Adds to a counter, sets a gauge, or notes one observation of a histogram. It never raises and never waits.
Record = Callable[[float], None]
Read = Callable[[], float]


@frozen(kw_only=True)
class Metric:
    """A metric, without the prefix `holdfast_`. Its name ends with the base unit, and with `_total` if it is a counter.

    `labels` says what each label may be. Only what has few values is a label: never an id, nothing from outside.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    labels: Mapping[str, str] = field(factory=dict)
    # The upper bounds of a histogram.
    buckets: Sequence[float] = ()


class Telemetry(Protocol):
    """Takes measurements. Look up a metric with its labels once, and keep what is returned: a look-up is dear."""

    def of(self, metric: Metric, **labels: str) -> Record: ...

    def watch(self, metric: Metric, read: Read, **labels: str) -> None:
        """Read this counter or gauge whenever the metrics are asked for. `read` is called in any thread."""


def record_nothing(_: float) -> None:
    """For what nobody counts."""


@frozen
class NoTelemetry:
    """For a process whose metrics nobody reads."""

    def of(self, metric: Metric, **labels: str) -> Record:  # noqa: ARG002 - as in the port
        return record_nothing

    def watch(self, metric: Metric, read: Read, **labels: str) -> None: ...
