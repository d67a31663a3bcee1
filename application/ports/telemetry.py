"""What is counted and measured. What a metric means stands in `application/telemetry/metrics.py`."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, Protocol

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


# The attributes of a span, under the names that OpenTelemetry has for them.
About = Mapping[str, str | int]
NOTHING: Final[About] = MappingProxyType({})


class SpanKind(Enum):
    """A request that came, one that was made, messages that were sent, or one that was handled."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """A step of a trace, which has begun."""

    @property
    def traceparent(self) -> str:
        """Its place in the trace, for what it causes elsewhere."""

    def end(self, *, error: str | None = None, name: str | None = None, about: About = NOTHING) -> None:
        """It never raises and never waits. `error` is a word for what went wrong."""


class Tracer(Protocol):
    """Makes the spans of traces that are sampled. Ask first: a span costs a hundred times as much as the question."""

    def samples(self, traceparent: str | None) -> bool:
        """Whether a request is traced: as the caller wants it who sent a `traceparent`, otherwise by chance."""

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        about: About = NOTHING,
    ) -> Span:
        """Begin a step of the trace of its `parent`, or of a new one. `links` lead to steps of other traces."""

    def of_message(self, body: bytes) -> str | None:
        """The `traceparent` that an encoded event names."""
