"""Traces of a running shop, as a collector gets them."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from attrs import define, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.service import Service

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@define(eq=False)
class Collector:
    """Takes what is sent by OTLP over HTTP."""

    server: ThreadingHTTPServer
    spans: list[Span] = field(factory=list)
    services: set[str] = field(factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            self.services.add(named["service.name"])
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans

    def names(self) -> set[str]:
        return {span.name for span in self.spans}


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    collector = Collector(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join(60)
    collector.server.server_close()


def test_a_collector_gets_the_trace_of_an_order_that_is_paid(embedded: Service, collector: Collector) -> None:
    embedded.settings |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "HOLDFAST_TRACE_RATIO": "0",
    }
    embedded.start_all(["up"])
    body = {"user_id": 7, "pay": True, "items": [{"product_id": 1, "quantity": 1}]}
    for headers in ({"traceparent": SENT}, {}):
        placed = httpx.post(f"{embedded.url}/orders", json=body, headers=headers, timeout=60)
        assert placed.status_code == 201
    wanted = {"POST /orders", "enqueue", "process payments", "charge"}
    until = time.monotonic() + 60
    while not wanted <= collector.names() and time.monotonic() < until:
        time.sleep(0.02)
    assert wanted <= collector.names()
    assert collector.services == {"holdfast-up"}
    # The other order is in none, though both may have been worked on together.
    assert {span.trace_id.hex() for span in collector.spans} == {SENT[3:35]}
    [request] = [span for span in collector.spans if span.name == "POST /orders"]
    assert request.parent_span_id.hex() == SENT[36:52]
