"""Traces for OpenTelemetry. Nothing is global: each process has a provider of its own.

Whether something is traced is decided here, before anything of OpenTelemetry is asked: a span that is not sampled would
cost 17 µs, and this less than one.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from attrs import define, field
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind as OtelKind
from opentelemetry.trace import Tracer as OtelSpans

from adapters.codecs.events import traceparent_in
from application.ports.telemetry import NOTHING, About, Span, SpanKind

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_KINDS: Final = {
    SpanKind.SERVER: OtelKind.SERVER,
    SpanKind.CLIENT: OtelKind.CLIENT,
    SpanKind.PRODUCER: OtelKind.PRODUCER,
    SpanKind.CONSUMER: OtelKind.CONSUMER,
}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


@define(eq=False)
class OtelTracer:
    """`ratio` is the share of requests that are traced of those whose caller does not say."""

    _ratio: float
    _processor: SpanProcessor
    _program: str = field(default="holdfast", kw_only=True)
    _chance: Callable[[], float] = field(factory=lambda: Random().random, kw_only=True)  # noqa: S311 - no secret hangs on it
    _provider: TracerProvider = field(init=False)
    _tracer: OtelSpans = field(init=False)

    def __attrs_post_init__(self) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say more, or something else.
        named = Resource({"service.name": self._program})
        resource = named.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("holdfast")

    def samples(self, traceparent: str | None) -> bool:
        if traceparent is not None and (found := _TRACEPARENT.fullmatch(traceparent)) is not None:
            return bool(int(found[3], 16) & TraceFlags.SAMPLED)
        return self._chance() < self._ratio

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        about: About = NOTHING,
    ) -> Span:
        above = None if parent is None else _context(parent)
        return _Begun(
            self._tracer.start_span(
                name,
                # Never what happens to be current: spans of one process have nothing to do with each other here.
                context=Context() if above is None else set_span_in_context(NonRecordingSpan(above), Context()),
                kind=_KINDS[kind],
                attributes=about,
                links=[Link(each) for each in map(_context, links) if each is not None],
            )
        )

    def of_message(self, body: bytes) -> str | None:
        return traceparent_in(body)

    def close(self) -> None:
        """Send what has ended. It takes seconds where nobody answers: call it in a thread."""
        self._provider.shutdown()


class _Begun:
    def __init__(self, span: OtelSpan) -> None:
        self._span: Final = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def end(self, *, error: str | None = None, name: str | None = None, about: About = NOTHING) -> None:
        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(about)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _context(traceparent: str) -> SpanContext | None:
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=_SAMPLED)
