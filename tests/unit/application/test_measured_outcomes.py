"""Each outcome that a metric names can be counted: by every way in which a call of the port may end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import pytest
from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

from adapters.telemetry.prometheus import PrometheusTelemetry
from application.errors import OutcomeUnknown, Unavailable
from application.execution.batching import each_alone
from application.execution.idempotency import Replayed
from application.intake.queue_orders import Queued
from application.ports.payments import PaymentDeclined
from application.ports.telemetry import Metric, Telemetry
from application.ports.webhooks import Attempt, AttemptFailure, Told, WebhookRequest
from application.telemetry import metrics
from application.telemetry.measured_caches import (
    Lookups,
    MeasuredCatalogueCache,
    MeasuredRecentOrders,
    MeasuredStockCache,
)
from application.telemetry.measured_messaging import MeasuredPublisher, MeasuredWork
from application.telemetry.measured_orders import MeasuredIntake
from application.telemetry.measured_payments import MeasuredProvider
from application.telemetry.measured_webhooks import MeasuredMessages, MeasuredTransport
from application.telemetry.metrics import METRICS
from domain.errors import UnknownOrder
from domain.webhooks.endpoint import InvalidEndpoint
from tests.brokers import entries, payment_requested
from tests.unit.builders import NOW, PAYMENT, a_product, euros, placed

# What a call may end with beside an answer.
ENDS = (Unavailable("gone"), OutcomeUnknown("no answer"), UnknownOrder("none"), ValueError("a bug"))


@frozen
class Says:
    """Any port: each call returns this, or raises it."""

    said: Any

    def __getattr__(self, _: str) -> Callable[..., Awaitable[Any]]:
        return self.say

    async def say(self, *_: object, **__: object) -> Any:
        if isinstance(self.said, BaseException):
            raise self.said
        return self.said


class Breaks:
    """Makes no request."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def of_event(self, *_: object, **__: object) -> WebhookRequest:
        raise self.error


async def ended(call: Awaitable[Any]) -> None:
    with suppress(Exception, asyncio.CancelledError):
        await call


def port(said: Any) -> Any:
    return Says(said)


async def try_transport(telemetry: Telemetry) -> None:
    request = WebhookRequest(url="https://receiver.example/", headers={}, body=b"")
    attempts = [Attempt(at=NOW, duration_ms=1, failure=each) for each in AttemptFailure if each != "unexpected"]
    for said in (*attempts, Attempt(at=NOW, duration_ms=1), ValueError("a bug")):
        await ended(MeasuredTransport(port(said), telemetry).send(request))


async def try_provider(telemetry: Telemetry) -> None:
    for said in ("reference", PaymentDeclined(), *ENDS):
        provider = MeasuredProvider(port(said), telemetry)
        await ended(provider.charge(PAYMENT, euros(1)))
        await ended(provider.refund(PAYMENT, euros(1)))


async def try_work(telemetry: Telemetry) -> None:
    for said in ([None], *([error] for error in ENDS), *ENDS):
        work = MeasuredWork(partial(each_alone, port(said).say), telemetry, lambda: NOW, "payments")
        await work([payment_requested(1)])


async def try_intake(telemetry: Telemetry) -> None:
    order, _ = placed()
    answers = (order, Queued(order), Replayed(order), asyncio.CancelledError(), *ENDS)
    for said in answers:
        await ended(MeasuredIntake(port(said).say, telemetry, "direct")(cast("Any", None)))


async def try_publisher(telemetry: Telemetry) -> None:
    sent = list(entries(payment_requested(1)))
    publisher = MeasuredPublisher(port(sent), telemetry)
    await publisher.enqueue(sent)
    await publisher.announce(sent)


async def try_caches(telemetry: Telemetry) -> None:
    order, _ = placed()
    pen = a_product()
    for found in (True, False):
        orders = MeasuredRecentOrders(port({order.id: order} if found else {}), Lookups.of(telemetry, "orders"))
        await orders.get_many([order.id])
        page = cast("Any", None)
        catalogue = MeasuredCatalogueCache(port((page, [pen] if found else None)), Lookups.of(telemetry, "catalogue"))
        await catalogue.get(page)
        levels = {pen.id: cast("Any", None)} if found else {}
        await MeasuredStockCache(port(("epoch", levels)), Lookups.of(telemetry, "stock")).get_many([pen.id])


# By the metric with several outcomes: what makes each of them. The others have one series, or one for each queue, or
# what is measured is there anyway.
TRIED: dict[str, Callable[[Telemetry], Awaitable[None]]] = {
    metrics.WEBHOOK_ATTEMPTS.name: try_transport,
    metrics.GATEWAY_CALLS.name: try_provider,
    metrics.PROCESS_DURATION.name: try_work,
    metrics.SETTLED.name: try_work,
    metrics.ORDERS.name: try_intake,
    metrics.RELAY_PUBLISHED.name: try_publisher,
    metrics.RELAY_CONFIRM.name: try_publisher,
    metrics.CACHE_LOOKUPS.name: try_caches,
}
# What the product alone decides, and not how a call ends.
_NO_OUTCOME = {"queue", "use_case", "reason", "state", "version", "method"}


def series(telemetry: PrometheusTelemetry, metric: Metric) -> dict[str, float]:
    ending = "_count" if metric.kind == "histogram" else ""
    return {
        str(sample.labels): sample.value
        for family in text_string_to_metric_families(telemetry.rendered().decode())
        for sample in family.samples
        if sample.name == f"holdfast_{metric.name}{ending}"
    }


def test_each_metric_with_outcomes_is_tried() -> None:
    several = {each.name for each in METRICS if each.labels and not _NO_OUTCOME & each.labels.keys()}
    several |= {each.name for each in METRICS if "outcome" in each.labels}
    # The kinds of the consistency check are all set by the sampler, whatever it finds.
    assert several - {metrics.DISCREPANCIES.name} == TRIED.keys()


@pytest.mark.parametrize("name", TRIED)
async def test_no_outcome_stays_at_zero_however_calls_end(name: str) -> None:
    telemetry = PrometheusTelemetry()
    await TRIED[name](telemetry)
    found = series(telemetry, next(metric for metric in METRICS if metric.name == name))
    assert found
    assert {labels for labels, value in found.items() if not value} == set()


@pytest.mark.parametrize("error", [ValueError("a bug"), InvalidEndpoint("no key")])
def test_a_request_that_can_not_be_made_is_an_attempt_unless_the_key_is_missing(error: Exception) -> None:
    telemetry = PrometheusTelemetry()
    messages = MeasuredMessages(cast("Any", Breaks(error)), telemetry)
    told = cast("Told", None)
    with pytest.raises(type(error)):
        messages.of_event(cast("Any", None), told, at=datetime.now(UTC))
    assert list(series(telemetry, metrics.WEBHOOK_ATTEMPTS).values()) == [float(isinstance(error, ValueError))]
