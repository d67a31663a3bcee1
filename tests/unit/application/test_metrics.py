"""What is counted when something happens, as Prometheus would read it."""

import re
from collections import deque
from datetime import timedelta

import pytest
from attrs import define, evolve, field
from prometheus_client.parser import text_string_to_metric_families

from adapters.memory.broker import MemorySubscription
from adapters.telemetry.prometheus import PrometheusTelemetry
from application.access.principal import SYSTEM
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.use_cases import UseCases
from application.errors import OutcomeUnknown, Unavailable
from application.execution.after_commit import Committed, tell_nobody
from application.execution.idempotency import Keyed
from application.messaging.subscriptions import PAYMENTS
from application.ports.idempotency import IdempotencyKey
from application.ports.payments import PaymentDeclined
from application.telemetry.measured_messaging import MeasuredSubscription
from application.telemetry.measured_orders import CountChanges
from application.telemetry.measured_payments import MeasuredProvider
from application.telemetry.metrics import METRICS
from domain.errors import UnknownProduct
from domain.ids import PaymentId
from domain.money import Money
from domain.orders.details import OrderDetails
from domain.orders.status import OrderStatus
from tests.brokers import entries, payment_requested, refund_requested
from tests.unit.builders import PAYMENT, a_product, euros
from tests.unit.shop import Shop, a_request
from tests.unit.unsteady import Trouble


@define(eq=False)
class Measured:
    """A shop whose use cases are measured."""

    shop: Shop
    telemetry: PrometheusTelemetry = field(factory=PrometheusTelemetry)
    use_cases: UseCases = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.use_cases = assemble(evolve(self.shop.ports, telemetry=self.telemetry), Limits())

    def __call__(self, name: str, **labels: str) -> float:
        return value(self.telemetry, name, **labels)


def value(telemetry: PrometheusTelemetry, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(telemetry.rendered().decode()):
        for sample in family.samples:
            if sample.name == f"holdfast_{name}" and labels.items() <= sample.labels.items():
                return sample.value
    raise AssertionError(f"there is no {name} with {labels}")


@pytest.fixture
def measured(shop: Shop) -> Measured:
    return Measured(shop)


async def test_orders_are_counted_by_what_became_of_them(measured: Measured) -> None:
    pen, place = await measured.shop.sells(), measured.use_cases.place_order
    keyed = Keyed(a_request((pen, 1)), IdempotencyKey("customer 7", "k"), "asked")
    for _ in range(2):
        await place(SYSTEM, keyed)
    with pytest.raises(UnknownProduct):
        await place(SYSTEM, a_request((a_product(999), 1)))
    counted = {
        outcome: measured("orders_total", outcome=outcome, intake="direct")
        for outcome in ("placed", "queued", "replayed", "refused", "unavailable")
    }
    assert counted == {"placed": 1, "queued": 0, "replayed": 1, "refused": 1, "unavailable": 0}
    assert measured("idempotent_replays_total") == 1
    assert measured("batch_size_sum", use_case="place_order") == 3
    assert measured("batch_wait_seconds_count", use_case="place_order") == 3


async def test_reading_an_order_is_a_lookup(measured: Measured) -> None:
    order = await measured.shop.order((await measured.shop.sells(), 1))
    await measured.use_cases.get_order(SYSTEM, order.id)
    assert measured("cache_lookups_total", cache="orders", result="hit") == 1
    assert measured("cache_lookups_total", cache="orders", result="miss") == 0


async def test_a_payment_is_measured_from_its_request_to_paid(measured: Measured) -> None:
    shop, use_cases = measured.shop, measured.use_cases
    order, _ = await shop.payment_requested((await shop.sells(stock=5), 1))
    shop.clock.forward(timedelta(seconds=3))
    await use_cases.relay_events()
    payments = next(consumer for consumer in use_cases.consumers if consumer.work is PAYMENTS)

    await payments.step()
    await payments.nothing_is_late()

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert measured("relay_published_total", kind="work") == 1
    assert measured("relay_published_total", kind="announcement") == 2
    assert measured("queue_time_seconds_sum", queue="payments") == 3
    assert measured("settled_seconds_count", queue="payments", outcome="done") == 1
    assert 3 <= measured("settled_seconds_sum", queue="payments", outcome="done") < 60
    assert measured("process_duration_seconds_count", queue="payments", outcome="done") == 1
    assert measured("gateway_call_seconds_count", operation="charge", outcome="done") == 1
    assert measured("inbox_duplicates_total", queue="payments") == 0


@pytest.mark.parametrize("queue", ["payments", "refunds"])
async def test_a_message_that_comes_twice_is_a_duplicate(measured: Measured, queue: str) -> None:
    shop = measured.shop
    pen = await shop.sells(stock=5)
    if queue == "payments":
        _, event = await shop.payment_requested((pen, 1))
    else:
        event = await shop.refund_requested(await shop.paid((pen, 1)))
    consumer = next(each for each in measured.use_cases.consumers if each.work.name == queue)
    for duplicates in (0, 1):
        await shop.broker.enqueue(entries(event))
        await consumer.step()
        await consumer.nothing_is_late()
        assert measured("inbox_duplicates_total", queue=queue) == duplicates


@pytest.mark.parametrize("gone", [False, True])
async def test_a_batch_that_fails_is_counted_by_what_becomes_of_each_of_its_messages(
    measured: Measured, *, gone: bool
) -> None:
    """A worker without its database counts trouble, and not nothing. One that succeeds at last counts no error."""
    shop = measured.shop
    pen = await shop.sells(stock=5)
    requests = [(await shop.payment_requested((pen, 1)))[1] for _ in range(2)]
    await shop.broker.enqueue(entries(*requests))
    consumer = next(each for each in measured.use_cases.consumers if each.work is PAYMENTS)
    shop.unsteady.gone, shop.unsteady.to_come = gone, deque([Trouble(ValueError("a bug"))])
    await consumer.step()
    await consumer.nothing_is_late()
    outcomes = ("done", "trouble", "refused", "error")
    found = [measured("process_duration_seconds_count", queue="payments", outcome=outcome) for outcome in outcomes]
    assert found == ([0, 2, 0, 0] if gone else [2, 0, 0, 0])


@pytest.mark.parametrize("queue", ["payments", "refunds"])
async def test_a_message_that_is_refused_is_not_late(measured: Measured, queue: str) -> None:
    """Anybody can send one that names no order of ours and a time of long ago: nobody is called for that."""
    event = payment_requested() if queue == "payments" else refund_requested()
    measured.shop.clock.forward(timedelta(days=300))
    consumer = next(each for each in measured.use_cases.consumers if each.work.name == queue)
    await measured.shop.broker.enqueue(entries(event))
    await consumer.step()
    await consumer.nothing_is_late()
    assert measured("process_duration_seconds_count", queue=queue, outcome="refused") == 1
    assert measured("queue_time_seconds_count", queue=queue) == 0
    assert measured("settled_seconds_count", queue=queue) == 0


@pytest.mark.parametrize(
    ("error", "outcome", "unknown"),
    [
        (PaymentDeclined(), "declined", 0),
        (Unavailable("gone"), "not_done", 0),
        (OutcomeUnknown("no answer"), "unknown", 1),
        (ValueError("a bug"), "error", 0),
    ],
)
async def test_a_call_to_the_provider_that_fails_is_counted_by_what_it_means(
    error: Exception, outcome: str, unknown: int
) -> None:
    class Fails:
        async def charge(self, key: PaymentId, amount: Money) -> str:
            raise error

        async def refund(self, key: PaymentId, amount: Money) -> None:
            raise error

    telemetry = PrometheusTelemetry()
    provider = MeasuredProvider(Fails(), telemetry)
    with pytest.raises(type(error)):
        await provider.charge(PAYMENT, euros(1))
    assert value(telemetry, "gateway_call_seconds_count", operation="charge", outcome=outcome) == 1
    assert value(telemetry, "gateway_unknown_outcomes_total") == unknown


async def test_what_fails_is_counted_once_for_each_try(measured: Measured) -> None:
    subscription = MeasuredSubscription(measured.shop.broker.queue(PAYMENTS), measured.telemetry, "payments")
    await measured.shop.broker.enqueue(entries(payment_requested(1)))
    [delivery] = await subscription.receive(1)
    await subscription.retry(delivery, reason="the database is gone")
    assert measured("retries_total", queue="payments") == 1


async def test_dead_letters_are_counted_also_those_that_were_never_delivered(measured: Measured) -> None:
    queue = measured.shop.ports.subscription(PAYMENTS)
    assert isinstance(queue, MemorySubscription)
    await measured.shop.broker.enqueue(entries(payment_requested(1)))
    [delivery] = await queue.receive(1)
    await queue.dead_letter(delivery, reason="it is no order")
    queue.bring(b"no event at all")
    assert measured("dead_letters_total", queue="payments") == 0
    [record] = [each for each in measured.use_cases.record_dead_letters if each._consumer == PAYMENTS.name]  # noqa: SLF001
    await record.record(await record.receive())
    assert measured("dead_letters_total", queue="payments") == 2


async def test_a_paid_order_whose_note_changes_is_not_paid_again(measured: Measured) -> None:
    shop = measured.shop
    count_changes = CountChanges(tell_nobody, measured.telemetry)
    order = await shop.paid((await shop.sells(stock=1), 1))
    history = await shop.history(order)
    count_changes(Committed(orders=[order], events=history[-1:]))
    assert measured("order_time_to_paid_seconds_count") == 1
    changed = order.change_details(OrderDetails(note="ring"), at=shop.clock())
    count_changes(Committed(orders=[order], events=[changed]))
    assert measured("order_time_to_paid_seconds_count") == 1
    lacking, request = await shop.payment_requested(((await shop.sells(stock=0)), 1))
    await shop.process_payment([request])
    failed = await shop.now(lacking)
    count_changes(Committed(orders=[failed], events=(await shop.history(lacking))[-1:]))
    count_changes(Committed(orders=[failed], events=[failed.change_details(OrderDetails(note="x"), at=shop.clock())]))
    assert measured("stock_conflicts_total") == 1


def test_no_label_is_an_id_and_every_name_has_its_unit() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert not {label for label in metric.labels if re.search(r"id$|user|customer|order|key|path", label)}, metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert (metric.kind == "histogram") == bool(metric.buckets), metric
        assert list(metric.buckets) == sorted(metric.buckets)
