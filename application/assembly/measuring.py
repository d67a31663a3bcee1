"""The ports, with what measures and traces their calls around them, so that no use case names a metric or a span."""

from attrs import evolve

from application.assembly.ports import Ports
from application.telemetry.measured_caches import (
    Lookups,
    MeasuredCatalogueCache,
    MeasuredRecentOrders,
    MeasuredStockCache,
)
from application.telemetry.measured_messaging import MeasuredDeadLetterQueue, MeasuredPublisher, MeasuredSubscription
from application.telemetry.measured_orders import CountChanges
from application.telemetry.measured_payments import MeasuredProvider
from application.telemetry.measured_webhooks import MeasuredMessages, MeasuredTransport
from application.telemetry.traced import TracedProvider, TracedPublisher, TracedTransport


def traced(ports: Ports) -> Ports:
    if (tracer := ports.tracer) is None:
        return ports
    return evolve(
        ports,
        publisher=TracedPublisher(ports.publisher, tracer),
        provider=TracedProvider(ports.provider, tracer),
        webhook_transport=TracedTransport(ports.webhook_transport, tracer),
    )


def measured(ports: Ports) -> Ports:
    telemetry = ports.telemetry
    return evolve(
        ports,
        recent_orders=MeasuredRecentOrders(ports.recent_orders, Lookups.of(telemetry, "orders")),
        catalogue_cache=MeasuredCatalogueCache(ports.catalogue_cache, Lookups.of(telemetry, "catalogue")),
        stock_cache=MeasuredStockCache(ports.stock_cache, Lookups.of(telemetry, "stock")),
        publisher=MeasuredPublisher(ports.publisher, telemetry),
        subscription=lambda work: MeasuredSubscription(ports.subscription(work), telemetry, work.name),
        dead_letter_queue=lambda work: MeasuredDeadLetterQueue(ports.dead_letter_queue(work), telemetry, work.name),
        provider=MeasuredProvider(ports.provider, telemetry),
        webhook_transport=MeasuredTransport(ports.webhook_transport, telemetry),
        webhook_messages=MeasuredMessages(ports.webhook_messages, telemetry),
        order_log=CountChanges(ports.order_log, telemetry),
    )
