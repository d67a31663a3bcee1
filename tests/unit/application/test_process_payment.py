import asyncio
from uuid import UUID

import pytest
from attrs import define, evolve

from application.errors import OutcomeUnknown, Unavailable
from application.payments.pipeline import Answered, ProviderPipeline
from application.payments.process_payment import ProcessPayment
from domain.errors import UnknownOrder
from domain.ids import OrderId, PaymentId
from domain.money import Money
from domain.orders.events import OrderFailed, PaymentRequested
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus
from domain.payments.payment import PaymentStatus
from tests.unit.provider import Crash, Provider
from tests.unit.shop import Shop, a_request, accepted, types
from tests.unit.unsteady import Trouble


@define(eq=False)
class CountingProvider(Provider):
    """A provider that counts concurrent charges."""

    at_once: int = 0
    most: int = 0

    async def charge(self, key: PaymentId, amount: Money) -> str:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return await super().charge(key, amount)


async def test_the_stock_and_the_money_are_taken(shop: Shop) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))

    assert await shop.process_payment([request]) == [None]

    order = await shop.now(order)
    assert (order.status, order.holds_stock) == (OrderStatus.PAID, True)
    assert await shop.stock_of(pen) == 3
    assert shop.provider.taken == 2500
    assert types(await shop.history(order)) == ["placed", "payment_requested", "stock_reserved", "paid"]
    payment = shop.store.payments[request.payment_id]
    assert (payment.status, payment.provider_reference) == (PaymentStatus.CHARGED, f"ref-{request.payment_id}")


async def test_an_order_that_cannot_be_filled_takes_neither_stock_nor_money(shop: Shop) -> None:
    pen, ink = await shop.sells(stock=5), await shop.sells(stock=1)
    order, request = await shop.payment_requested((pen, 2), (ink, 2))

    assert await shop.process_payment([request]) == [None]

    order = await shop.now(order)
    assert (order.status, order.failure_reason) == (OrderStatus.FAILED, FailureReason.OUT_OF_STOCK)
    assert order.out_of_stock == (ink.id,)
    failed = (await shop.history(order))[-1]
    assert isinstance(failed, OrderFailed)
    assert failed.out_of_stock == (ink.id,)
    assert (await shop.stock_of(pen), await shop.stock_of(ink)) == (5, 1)
    assert shop.provider.ledger == []
    assert shop.store.payments[request.payment_id].status is PaymentStatus.FAILED


async def test_a_decline_gives_the_stock_back(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    shop.provider.declines = True

    order = await shop.paid((pen, 2))

    assert (order.status, order.failure_reason) == (OrderStatus.FAILED, FailureReason.PAYMENT_DECLINED)
    assert (await shop.stock_of(pen), order.holds_stock) == (5, False)
    assert types(await shop.history(order))[-2:] == ["stock_reserved", "failed"]


async def test_a_new_attempt_after_a_decline_takes_the_money_once(shop: Shop) -> None:
    pen = await shop.sells(stock=5, price=1250)
    shop.provider.declines = True
    order = await shop.paid((pen, 2))
    shop.provider.declines = False

    assert await shop.process_payment([await shop.ask_for_payment(order)]) == [None]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert (shop.provider.taken, await shop.stock_of(pen)) == (2500, 3)


@pytest.mark.parametrize("comes_first", [False, True])
async def test_a_late_answer_for_a_failed_payment_hides_no_answer_for_the_next_one(
    shop: Shop, *, comes_first: bool
) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))
    shop.provider.declines = True
    first = await shop.now(order)
    assert await shop.process_payment([request]) == [None]
    shop.provider.declines = False
    await shop.ask_for_payment(order)
    second = await shop.now(order)
    work = ProcessPayment(shop.unsteady, shop.provider, shop.clock)
    [due] = (await work.due([order.id], {})).values()
    assert isinstance(due, Order)
    # Two answers of slow calls: the decline, which another worker has recorded before, and the charge.
    answered = [Answered(first, await work.ask(first)), Answered(second, await work.ask(due))]

    assert list(await work.record(answered if comes_first else answered[::-1])) == [None, None]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert shop.provider.taken == 2500
    assert await shop.findings() == []


async def test_a_new_attempt_forgets_what_was_out_of_stock(shop: Shop) -> None:
    pen, ink = await shop.sells(stock=1), await shop.sells(stock=1)
    order = await shop.paid((pen, 2), (ink, 2))
    assert order.out_of_stock == (pen.id, ink.id)
    await shop.ask_for_payment(order)
    assert (await shop.now(order)).out_of_stock == ()


@pytest.mark.parametrize("declines", [False, True])
async def test_a_request_that_is_delivered_again_changes_nothing(shop: Shop, *, declines: bool) -> None:
    pen = await shop.sells(stock=5)
    shop.provider.declines = declines
    order, request = await shop.payment_requested((pen, 2))
    await shop.process_payment([request])
    settled, stock, ledger = await shop.now(order), await shop.stock_of(pen), shop.provider.ledger
    shop.provider.declines = False

    assert await shop.process_payment([request]) == [None]

    assert (await shop.now(order), await shop.stock_of(pen), shop.provider.ledger) == (settled, stock, ledger)


async def test_a_request_out_of_stock_that_is_delivered_again_stays_refused(shop: Shop) -> None:
    """The customer was told that it failed. To get the restocked units, a new payment must be requested."""
    pen = await shop.sells(stock=1)
    order, request = await shop.payment_requested((pen, 2))
    await shop.process_payment([request])
    shop.store.products[pen.id].stock = 5

    assert await shop.process_payment([request]) == [None]

    shop.store.products[pen.id].stock = 1
    assert (await shop.now(order)).status is OrderStatus.FAILED
    assert shop.provider.ledger == []


async def test_a_request_that_stands_twice_in_a_batch_is_done_once(shop: Shop) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))

    assert await shop.process_payment([request, request]) == [None, None]

    assert types(await shop.history(order)).count("paid") == 1
    assert (shop.provider.taken, await shop.stock_of(pen)) == (2500, 3)


@pytest.mark.parametrize("declines", [False, True])
async def test_two_workers_with_the_same_requests_do_each_of_them_once(shop: Shop, *, declines: bool) -> None:
    pen = await shop.sells(stock=100, price=1250)
    shop.provider.declines = declines
    requests = [(await shop.payment_requested((pen, 1)))[1] for _ in range(10)]

    outcomes = await asyncio.gather(*(shop.process_payment(requests) for _ in range(2)))

    assert outcomes == [[None] * 10] * 2
    assert await shop.stock_of(pen) == (100 if declines else 90)
    assert shop.provider.taken == (0 if declines else 12500)


@pytest.mark.parametrize(
    ("transaction", "committed"),
    [(1, False), (1, True), (2, False), (2, True)],
    ids=["before the stock is taken", "after it", "before the money is recorded", "after it"],
)
async def test_a_crash_around_a_commit_is_made_up_for(shop: Shop, *, transaction: int, committed: bool) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))
    shop.unsteady.to_come.extend([None] * (transaction - 1) + [Trouble(Crash(), committed=committed)])

    with pytest.raises(Crash):
        await shop.process_payment([request])
    assert await shop.findings() == []
    assert await shop.process_payment([request]) == [None]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert types(await shop.history(order)) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert (shop.provider.taken, await shop.stock_of(pen)) == (2500, 3)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_around_the_charge_is_made_up_for(shop: Shop, when: str) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))
    getattr(shop.provider, when).append(Crash())

    with pytest.raises(Crash):
        await shop.process_payment([request])
    assert (await shop.now(order)).status is OrderStatus.PROCESSING
    assert await shop.process_payment([request]) == [None]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert (shop.provider.taken, await shop.stock_of(pen)) == (2500, 3)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_without_an_answer_the_order_waits_and_is_charged_once(shop: Shop, when: str) -> None:
    pen = await shop.sells(stock=5, price=1250)
    order, request = await shop.payment_requested((pen, 2))
    no_answer = Unavailable("the provider did not answer")
    getattr(shop.provider, when).extend([no_answer, no_answer])

    for _ in range(2):
        assert await shop.process_payment([request]) == [no_answer]
        waiting = await shop.now(order)
        assert (waiting.status, waiting.holds_stock) == (OrderStatus.PROCESSING, True)
        assert await shop.stock_of(pen) == 3
    assert await shop.process_payment([request]) == [None]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert (shop.provider.taken, await shop.stock_of(pen)) == (2500, 3)


async def test_a_payment_without_an_answer_holds_up_no_other(shop: Shop) -> None:
    pen = await shop.sells(stock=10)
    settled = [await shop.payment_requested((pen, 1)) for _ in range(3)]
    no_answer = OutcomeUnknown("the provider did not answer")
    shop.provider.before.append(no_answer)

    outcomes = await shop.process_payment([request for _, request in settled])

    assert outcomes == [no_answer, None, None]
    statuses = [(await shop.now(order)).status for order, _ in settled]
    assert statuses == [OrderStatus.PROCESSING, OrderStatus.PAID, OrderStatus.PAID]


async def test_a_provider_that_is_gone_is_asked_once_and_everybody_waits(shop: Shop) -> None:
    pen = await shop.sells(stock=10)
    settled = [await shop.payment_requested((pen, 1)) for _ in range(5)]
    gone = Unavailable("the provider can't be reached")
    shop.provider.before.append(gone)

    assert await shop.process_payment([request for _, request in settled]) == [gone] * 5
    assert [(await shop.now(order)).status for order, _ in settled] == [OrderStatus.PROCESSING] * 5

    assert await shop.process_payment([request for _, request in settled]) == [None] * 5


async def test_two_hundred_want_fifty_units_and_fifty_get_them(shop: Shop) -> None:
    pen = await shop.sells(stock=50)
    orders = [accepted(outcome) for outcome in await shop.place_order([a_request((pen, 1))] * 200)]
    await shop.request_payment([order.id for order in orders])
    requests = [event for event in shop.store.events.values() if isinstance(event, PaymentRequested)]

    batches = [requests[start : start + 40] for start in range(0, 200, 40)]
    await asyncio.gather(*(shop.process_payment(batch) for batch in batches))

    statuses = [(await shop.now(order)).status for order in orders]
    assert (statuses.count(OrderStatus.PAID), statuses.count(OrderStatus.FAILED)) == (50, 150)
    assert await shop.stock_of(pen) == 0
    assert len(shop.provider.ledger) == 50


async def test_a_small_order_gets_the_units_that_a_larger_one_before_it_could_not_get(shop: Shop) -> None:
    pen = await shop.sells(stock=3)
    (large, first), (small, second) = [await shop.payment_requested((pen, units)) for units in (4, 3)]
    await shop.process_payment([first, second])
    assert (await shop.now(large)).status is OrderStatus.FAILED
    assert (await shop.now(small)).status is OrderStatus.PAID


async def test_the_provider_is_asked_for_a_bounded_number_of_charges_at_once(shop: Shop) -> None:
    pen = await shop.sells(stock=100)
    requests = [(await shop.payment_requested((pen, 1)))[1] for _ in range(20)]
    provider = CountingProvider()
    process = ProviderPipeline(ProcessPayment(shop.unit_of_work, provider, shop.clock), max_calls=4)
    assert await process.until_done([request.order_id for request in requests]) == [None] * 20
    assert provider.most == 4
    shop.provider = provider


async def test_a_request_for_an_order_that_does_not_exist_is_refused_alone(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    stranger = evolve(request, order_id=OrderId(UUID(int=404)))
    refused, done = await shop.process_payment([stranger, request])
    assert isinstance(refused, UnknownOrder)
    assert done is None
    assert [charge.key for charge in shop.provider.ledger] == [request.payment_id]


async def test_nothing_to_do_is_no_error(shop: Shop) -> None:
    assert await shop.process_payment([]) == []
