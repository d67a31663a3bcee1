"""Where traces are sent, if they are: OpenTelemetry is an extra, and imported nowhere but for this."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from threading import Thread
from typing import TYPE_CHECKING, Final

import structlog

from application.ports.telemetry import Tracer
from entrypoints.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

# Seconds that a collector has to take a batch, and that the end of a program waits for the last one.
_TIMEOUT: Final = 5
_LAST: Final = 2.0
_log: Final = structlog.get_logger("holdfast.traces")


@asynccontextmanager
async def open_tracer(settings: Settings, program: str) -> AsyncGenerator[Tracer | None, None]:
    """Yield what makes spans, or None if no collector is named. Raise `InvalidSettings`."""
    if not settings.otel_exporter_otlp_endpoint:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

        from adapters.telemetry.otel import OtelTracer  # noqa: PLC0415 - as above
    except ImportError as error:
        raise InvalidSettings(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: traces need OpenTelemetry; pip install 'holdfast[otel]' ({error})"
        ) from None
    # It would tell of each attempt, for as long as the collector is away.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
    processor = BatchSpanProcessor(_exporter(OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT)))
    tracer = OtelTracer(settings.trace_ratio, processor, program=f"holdfast-{program}")
    try:
        yield tracer
    finally:
        # It waits for a collector that is away. A daemon does not keep the process from its end.
        closing = Thread(target=tracer.close, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _LAST)


def _exporter(inner: "SpanExporter") -> "SpanExporter":
    """Return an exporter that tells once when the collector is away, and when it is back."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415 - as above

    class Telling(SpanExporter):
        is_away = False

        def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
            try:
                result = inner.export(spans)
            except Exception as error:  # noqa: BLE001 - whatever it is, the program goes on without traces
                result, reason = SpanExportResult.FAILURE, f"{type(error).__name__}: {error}"
            else:
                reason = "the collector did not take them"
            is_away = result is not SpanExportResult.SUCCESS
            if is_away and not self.is_away:
                _log.warning("traces can't be sent, and are lost", reason=reason)
            elif self.is_away and not is_away:
                _log.info("traces are sent again")
            self.is_away = is_away
            return result

        def shutdown(self) -> None:
            inner.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return inner.force_flush(timeout_millis)

    return Telling()
