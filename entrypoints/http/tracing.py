from typing import Any, Final

from attrs import frozen
from quart import Request

from application.ports.telemetry import Span, SpanKind, Tracer

_TRACEPARENT: Final = b"traceparent"
_SERVER_ERROR: Final = 500


@frozen
class TraceRequests:
    """Makes a span of each request that is sampled. It is named for its route: a path has ids in it."""

    _tracer: Tracer

    def begin(self, headers: list[tuple[bytes, bytes]]) -> Span | None:
        sent = None
        for name, value in headers:
            if name == _TRACEPARENT:
                sent = value.decode("latin-1").strip(" \t")
        if not self._tracer.samples(sent):
            return None
        return self._tracer.begin("HTTP", SpanKind.SERVER, parent=sent)

    def end(self, span: Span, request: Request, status: int | None) -> None:
        """`status` is None for a request that got no response."""
        rule = request.url_rule
        route = "none" if rule is None else rule.rule
        about: dict[str, Any] = {"http.request.method": request.method, "http.route": route}
        if status is not None:
            about["http.response.status_code"] = status
        error = "cancelled" if status is None else f"{status}" if status >= _SERVER_ERROR else None
        span.end(error=error, name=f"{request.method} {route}", about=about)
