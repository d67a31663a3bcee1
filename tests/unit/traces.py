"""A shop whose traces a test reads: all of OpenTelemetry but the way to a collector."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.telemetry.otel import OtelTracer


def traceparent_of_span(span: ReadableSpan) -> str:
    context: Any = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


@define(eq=False)
class Traces:
    """`chance` is what decides about requests whose callers do not say: below a half, they are traced."""

    chance: float = 0.0
    _exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter, init=False)
    tracer: OtelTracer = field(init=False)

    def __attrs_post_init__(self) -> None:
        chance: Callable[[], float] = lambda: self.chance  # noqa: E731 - it may change
        self.tracer = OtelTracer(0.5, SimpleSpanProcessor(self._exporter), chance=chance)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Those that have ended, in the sequence in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def above(self, span: ReadableSpan) -> str | None:
        """The name of the span that this one is under."""
        return next((each.name for each in self.spans if _is_parent(each, span)), None)

    def forget(self) -> None:
        self._exporter.clear()


def _is_parent(above: ReadableSpan, span: ReadableSpan) -> bool:
    return span.parent is not None and above.context is not None and span.parent.span_id == above.context.span_id
