"""Each kind of discrepancy is made by hand, found, and repaired or left."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any

import pytest
from attrs import define, evolve, field
from uuid_utils.compat import uuid7

from adapters.codecs.events import decode, encode
from adapters.memory.caches import MemoryRecentOrders
from application.errors import Unavailable
from application.orders.record_changes import RecordChanges
from application.orders.signed_changes import signed
from application.orders.standing import SENT
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.ports.idempotency import IdempotencyKey
from application.ports.payments import Charge, ProviderLedger
from application.reconciliation.discrepancies import Discrepancy, Remedy
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.find_unrecorded import FindUnrecorded
from application.reconciliation.reconcile import Reconcile
from application.reconciliation.repair import Repair
from application.reconciliation.webhooks import CompareWebhooks
from domain.dead_letter import DeadMessage
from domain.ids import JobId, OrderId, PaymentId
from domain.money import Money
from domain.orders.details import OrderDetails
from domain.orders.events import OrderAccepted, OrderChangeAccepted, event_id
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.payments.payment import PaymentStatus
from tests.unit.builders import PAYMENT, euros
from tests.unit.intakes import UnsteadyRecentOrders
from tests.unit.provider import Crash, Provider, Unruly
from tests.unit.shop import EXPIRY, Shop

STUCK = timedelta(minutes=10)


@pytest.fixture
def shop() -> Shop:
    """A shop without the check at the end: a discrepancy that is left for a person is still there."""
    return Shop()


async def found(shop: Shop, provider: ProviderLedger | None = None, **limits: float) -> list[Discrepancy]:
    find_stuck = FindStuck(shop.unit_of_work, shop.clock, EXPIRY, STUCK, page=2)
    find_unrecorded = FindUnrecorded(shop.unit_of_work, shop.recent, shop.ports.accepted_changes, shop.clock)
    return await Reconcile(
        shop.unit_of_work,
        provider or shop.provider,
        shop.clock,
        STUCK,
        find_stuck,
        find_unrecorded,
        CompareWebhooks(shop.unit_of_work),
        page=2,
        **limits,
    )()


@define(eq=False)
class Meanwhile:
    """The provider's record, and what happens in the shop while it is read: before a call of it or after."""

    _inner: ProviderLedger
    before: deque[Callable[[], Awaitable[object]]] = field(factory=deque)
    after: deque[Callable[[], Awaitable[object]]] = field(factory=deque)

    async def charges(self, *, after: PaymentId | None, limit: int) -> list[Charge]:
        found = await self._inner.charges(after=after, limit=limit)
        if limit > 1 and self.after:
            await self.after.popleft()()
        return found

    async def charges_of(self, keys: Collection[PaymentId]) -> dict[PaymentId, Charge]:
        if self.before:
            await self.before.popleft()()
        return await self._inner.charges_of(keys)


async def repair(shop: Shop, discrepancies: list[Discrepancy]) -> list[str | None]:
    process_payment = ProviderPipeline(ProcessPayment(shop.unit_of_work, shop.provider, shop.clock)).until_done
    return await Repair(
        shop.unit_of_work,
        shop.provider,
        process_payment,
        shop.expire_orders,
        shop.persist_orders,
        RecordChanges(shop.unit_of_work),
    )(discrepancies)


async def relayed(shop: Shop) -> None:
    """The broker was given everything."""
    shop.store.outbox.clear()


def payment_of(order: Order) -> PaymentId:
    assert order.payment_id is not None
    return order.payment_id


async def test_a_consistent_shop_has_no_discrepancies(shop: Shop) -> None:
    pen = await shop.sells(stock=20)
    await shop.order((pen, 1))
    await shop.payment_requested((pen, 2))
    await shop.paid((pen, 3))
    refunded = await shop.paid((pen, 1))
    await shop.refund_order([await shop.refund_requested(refunded)])
    await shop.complete_order([(await shop.paid((pen, 1))).id])
    await shop.cancel_order([(await shop.order((pen, 1))).id])
    shop.provider.declines = True
    await shop.paid((pen, 1))
    await shop.paid((pen, 2))
    assert await found(shop) == []


async def test_stock_that_does_not_add_up_is_found_and_left(shop: Shop) -> None:
    pen, ink, nib = [await shop.sells(stock=5) for _ in range(3)]
    await shop.paid((ink, 2))
    await relayed(shop)
    shop.store.products[ink.id].stock = 4
    [discrepancy] = await found(shop)
    assert discrepancy.about == "stock"
    assert discrepancy.what == f"product {ink.id}: 4 left and 2 held by orders make 6, but 5 were counted in"
    assert await repair(shop, [discrepancy]) == [None]
    assert [await shop.stock_of(product) for product in (pen, ink, nib)] == [5, 4, 5]


async def test_a_gap_in_a_history_is_found_and_left(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    del shop.store.events[event_id((await shop.history(order))[2])]
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id) == ("history", order.id)
    assert discrepancy.what == "its version is 4, and its events are 1, 2, 4"
    assert await repair(shop, [discrepancy]) == [None]


async def test_an_order_whose_payment_says_something_else_is_found_and_left(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    shop.store.payments[payment_of(order)].status = PaymentStatus.REQUESTED
    missing = await shop.paid((await shop.sells(), 1))
    shop.provider.lose(payment_of(missing))
    del shop.store.payments[payment_of(missing)]
    discrepancies = await found(shop)
    assert {(each.order_id, each.about, each.what) for each in discrepancies} == {
        (order.id, "payment", "it is PAID, and its payment is REQUESTED"),
        (missing.id, "payment", "it is PAID, and has no payment"),
        (missing.id, "charge", "it is PAID, and the provider has taken no money"),
    }
    assert await repair(shop, discrepancies) == [None, None, None]


async def test_a_paid_order_without_its_charge_is_found_and_left(shop: Shop) -> None:
    pen = await shop.sells(price=100)
    without, given_back, another = [await shop.paid((pen, 1)) for _ in range(3)]
    shop.provider.lose(payment_of(without))
    await shop.provider.refund(payment_of(given_back), euros(100))
    shop.provider.lose(payment_of(another))
    await shop.provider.charge(payment_of(another), euros(70))
    discrepancies = await found(shop)
    assert {each.order_id: each.what for each in discrepancies} == {
        without.id: "it is PAID, and the provider has taken no money",
        given_back.id: "it is PAID, and the provider has given the money back",
        another.id: "it is of 100 minor units of EUR, and the provider took 70 minor units of EUR",
    }
    assert await repair(shop, discrepancies) == [None] * 3
    assert {(await shop.now(order)).status for order in (without, given_back, another)} == {OrderStatus.PAID}


async def test_a_charge_of_an_order_that_stopped_after_it_is_found_and_the_order_is_paid(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(price=1250), 2))
    shop.provider.after.append(Crash())
    with pytest.raises(Crash):
        await shop.process_payment([request])
    await relayed(shop)
    assert await found(shop) == []  # it may still be under way
    shop.clock.forward(STUCK)

    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("charge", order.id, Remedy.PAY)
    assert discrepancy.what == "2500 minor units of EUR were taken, and it is still PROCESSING"
    assert await repair(shop, [discrepancy]) == ["it is PAID"]

    assert (await shop.now(order)).status is OrderStatus.PAID
    assert shop.provider.taken == 2500
    assert await shop.findings() == []
    await relayed(shop)
    assert await found(shop) == []
    assert await shop.process_payment([request]) == [None]
    assert shop.provider.taken == 2500


@pytest.mark.parametrize("again", [False, True])
async def test_a_charge_of_an_order_that_has_failed_is_found_and_refunded(shop: Shop, *, again: bool) -> None:
    shop.provider.declines = True
    order = await shop.paid((await shop.sells(price=100, stock=5), 1))
    key = payment_of(order)
    shop.provider.declines = False
    if again:
        assert await shop.process_payment([await shop.ask_for_payment(order)]) == [None]
    taken = shop.provider.taken
    shop.provider.clear_decline(key)
    await shop.provider.charge(key, euros(100))

    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("charge", order.id, Remedy.REFUND)
    assert await repair(shop, [discrepancy]) == ["the money was given back"]

    assert shop.provider.taken == taken
    assert await found(shop) == []
    assert await repair(shop, [discrepancy]) == ["the money was given back"]
    assert shop.provider.taken == taken


async def test_a_refunded_order_whose_money_is_still_there_is_given_it_back(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(price=100), 1))
    await shop.refund_order([await shop.refund_requested(order)])
    shop.provider.lose(payment_of(order))
    await shop.provider.charge(payment_of(order), euros(100))
    [discrepancy] = await found(shop)
    assert await repair(shop, [discrepancy]) == ["the money was given back"]
    assert (shop.provider.taken, await found(shop)) == (0, [])


async def test_a_charge_that_is_not_known_to_be_ours_is_left_alone(shop: Shop) -> None:
    await shop.provider.charge(PAYMENT, euros(100))
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("charge", None, None)
    assert await repair(shop, [discrepancy]) == [None]
    assert shop.provider.taken == 100


async def test_a_refund_that_failed_is_left(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(price=100), 1))
    await shop.refund_order([await shop.refund_requested(order)])
    shop.provider.lose(payment_of(order))
    await shop.provider.charge(payment_of(order), euros(100))
    discrepancies = await found(shop)
    shop.provider.before.append(Unavailable("no answer"))
    assert await repair(shop, discrepancies) == [None]
    assert await found(shop) == discrepancies


async def test_a_refund_under_way_is_no_discrepancy(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(price=100), 1))
    await shop.refund_requested(order)
    await shop.provider.refund(payment_of(order), euros(100))
    assert await found(shop) == []


async def test_an_order_that_the_broker_lost_is_found_stuck_and_republished(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    await relayed(shop)
    shop.clock.forward(STUCK)
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("stuck", order.id, Remedy.REPUBLISH)
    assert discrepancy.what.endswith("its request was sent to the worker, and is not done yet")
    assert await repair(shop, [discrepancy]) == ["republished"]
    assert [entry.body for entry in await shop.outbox()] == [encode(request)]


async def test_a_refund_that_the_broker_lost_is_found_stuck_and_republished(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    request = await shop.refund_requested(order)
    await relayed(shop)
    shop.clock.forward(STUCK)
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id) == ("stuck", order.id)
    assert await repair(shop, [discrepancy]) == ["republished"]
    assert [entry.body for entry in await shop.outbox()] == [encode(request)]


async def test_an_order_that_waits_in_the_outbox_is_reported_and_not_republished(shop: Shop) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))
    shop.clock.forward(STUCK)
    discrepancies = await found(shop)
    assert [(each.about, each.order_id) for each in discrepancies] == [
        ("outbox", order.id),
        ("outbox", order.id),
        ("stuck", order.id),
    ]
    assert discrepancies[-1].what.endswith("its request waits in the outbox")
    entries = await shop.outbox()
    assert await repair(shop, discrepancies) == [None] * 3
    assert await shop.outbox() == entries


async def test_an_order_whose_request_is_a_dead_letter_is_reported(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    await relayed(shop)
    moment = shop.clock()
    message = DeadMessage(body=encode(request), reason="KeyError: 'x'", attempts=8, first_at=moment, last_at=moment)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    shop.clock.forward(STUCK)
    letter, stuck = await found(shop)
    assert (letter.about, letter.order_id) == ("dead letter", order.id)
    assert letter.what.endswith("waits for a decision (`holdfast dead`): KeyError: 'x'")
    assert (stuck.about, stuck.order_id) == ("stuck", order.id)
    assert stuck.what.endswith("its request is dead letter 1")
    assert await repair(shop, [letter, stuck]) == [None, None]
    assert await shop.outbox() == []


async def test_a_dead_letter_of_an_order_with_metadata_is_reported(shop: Shop) -> None:
    """No set takes such an event."""
    order = await shop.order((await shop.sells(), 1))
    accepted = OrderAccepted(
        order_id=OrderId(uuid7()),
        at=order.created_at,
        user_id=order.user_id,
        lines=order.lines,
        total=order.total,
        details=OrderDetails(metadata={"till": "7"}),
    )
    moment = shop.clock()
    message = DeadMessage(body=encode(accepted), reason="KeyError: 'x'", attempts=8, first_at=moment, last_at=moment)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("intake", [message])
    [letter] = await found(shop)
    assert (letter.about, letter.order_id) == ("dead letter", accepted.order_id)


async def test_a_dead_letter_with_the_id_of_a_request_does_not_keep_the_request_from_being_republished(
    shop: Shop,
) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    await relayed(shop)
    moment, forged = shop.clock(), evolve(request, amount=request.amount * 2)
    message = DeadMessage(body=encode(forged), reason="forged", attempts=1, first_at=moment, last_at=moment)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    shop.clock.forward(STUCK)
    discrepancies = await found(shop)
    assert await repair(shop, discrepancies) == [None, "republished"]
    assert [decode(entry.body) for entry in await shop.outbox()] == [request]


async def test_an_unreachable_provider_is_reported_once_and_explains_waiting_orders(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.paid((pen, 1))
    order, _ = await shop.payment_requested((pen, 1))
    await relayed(shop)
    shop.clock.forward(STUCK)
    shop.provider.before.append(Unavailable("no answer"))
    provider, stuck = await found(shop)
    assert provider.about == "provider"
    assert provider.what == (
        "the payment provider can't be reached: no answer; no payment and no charge is compared with it"
    )
    assert stuck.order_id == order.id
    assert stuck.what.endswith("the payment provider can't be reached: no answer")


_NO_ANSWER = "can't be reached: the payment provider gave no answer within 0.01 s"
_NOTHING = "no payment and no charge is compared with it"
_A_PART = "the payments and charges after that are not compared with it"
_AGAIN = "gives the same charges again and again"


@pytest.mark.parametrize(
    ("trouble", "limits", "told"),
    [
        ({"answers": 0}, {"call_timeout": 0.01}, f"{_NO_ANSWER}; {_NOTHING}"),
        # The first call only finds out whether it answers.
        ({"answers": 1}, {"call_timeout": 0.01}, f"{_NO_ANSWER}; {_NOTHING}"),
        ({"answers": 2}, {"call_timeout": 0.01}, f"{_NO_ANSWER}; {_A_PART}"),
        ({"answers": 3}, {"call_timeout": 0.01}, f"{_NO_ANSWER}; {_A_PART}"),
        ({}, {"total_timeout": 0.0}, f"is too slow: its answers took 0 s altogether; {_NOTHING}"),
        ({"repeats": "page"}, {}, f"{_AGAIN}; {_A_PART}"),
        ({"repeats": "pages"}, {}, f"{_AGAIN}; {_A_PART}"),
    ],
)
async def test_a_provider_that_is_silent_slow_or_endless_ends_its_own_comparison_alone(
    shop: Shop, trouble: dict[str, Any], limits: dict[str, float], told: str
) -> None:
    pen, ink = await shop.sells(), await shop.sells(stock=5)
    orders = [await shop.paid((pen, 1)) for _ in range(4)]
    await relayed(shop)
    shop.store.products[ink.id].stock = 4
    del shop.store.events[event_id((await shop.history(orders[0]))[2])]
    ledger = Unruly(shop.provider, **trouble)
    async with asyncio.timeout(60):
        discrepancies = await found(shop, ledger, **limits)
    assert {each.about for each in discrepancies} == {"stock", "history", "provider"}
    [provider] = [each for each in discrepancies if each.about == "provider"]
    assert provider.what == f"the payment provider {told}"
    assert ledger.asked <= 8


async def test_a_provider_that_answers_wrongly_is_not_named_as_what_orders_wait_for(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.paid((pen, 1))
    order, _ = await shop.payment_requested((pen, 1))
    await relayed(shop)
    shop.clock.forward(STUCK)
    for trouble, limits in (({"repeats": "page"}, {}), ({}, {"total_timeout": 0.0})):
        provider, stuck = await found(shop, Unruly(shop.provider, **trouble), **limits)
        assert (provider.about, stuck.about, stuck.order_id) == ("provider", "stuck", order.id)
        assert stuck.what.endswith(SENT)


async def test_an_order_without_a_payment_is_not_said_to_lack_its_charge_while_nobody_can_be_asked(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    shop.store.orders[order.id].payment_id = None
    shop.provider.before.append(Unavailable("no answer"))
    assert {each.about for each in await found(shop)} == {"provider", "payment"}


async def test_a_provider_that_does_not_answer_is_asked_for_one_refund_alone(shop: Shop) -> None:
    """Each of the others would wait as long."""
    charges = [Charge(key=PaymentId(uuid7()), amount=euros(5), refunded=False, at=shop.clock()) for _ in range(20)]
    found = [Discrepancy(about="charge", what="nobody's", charge=each, remedy=Remedy.REFUND) for each in charges]
    asked: list[PaymentId] = []

    class Silent(Provider):
        async def refund(self, key: PaymentId, amount: Money) -> None:
            asked.append(key)
            await asyncio.Event().wait()

    repair = Repair(
        shop.unit_of_work,
        Silent(),
        shop.process_payment,
        shop.expire_orders,
        shop.persist_orders,
        RecordChanges(shop.unit_of_work),
        timeout=0.01,
    )
    async with asyncio.timeout(60):
        assert await repair(found) == [None] * 20
    assert asked == [charges[0].key]


async def test_an_accepted_change_that_is_no_job_is_found_and_recorded(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    promised, forged = [
        OrderChangeAccepted(
            order_id=order.id, at=shop.clock(), job_id=JobId(uuid7()), asked='{"change":"cancel"}', signature=""
        )
        for _ in range(2)
    ]
    async with shop.unit_of_work.reading() as tx:
        promised = signed(promised, await tx.shop.secret())
    await shop.ports.accepted_changes.put_many([promised, forged])
    # It has time to get there.
    assert await found(shop) == []
    shop.clock.forward(timedelta(minutes=3))
    discrepancies = await found(shop)
    assert [(each.about, each.order_id, each.change) for each in discrepancies] == [
        ("accepted", order.id, promised),
        ("accepted", order.id, forged),
    ]
    assert await repair(shop, discrepancies) == ["recorded", None]
    assert [job.id for job in shop.store.jobs.values()] == [promised.job_id]
    assert [each.change for each in await found(shop)] == [forged]
    await shop.ports.accepted_changes.forget({order.id: [forged.job_id]})


async def test_a_change_that_was_accepted_before_the_shop_was_emptied_is_not_missed(shop: Shop) -> None:
    changes = [
        OrderChangeAccepted(
            order_id=OrderId(uuid7()),
            at=shop.clock() + timedelta(minutes=minutes),
            job_id=JobId(uuid7()),
            asked='{"change":"cancel"}',
            signature="",
        )
        for minutes in (0, 2)
    ]
    await shop.ports.accepted_changes.put_many(changes)
    shop.store.reset_at = shop.clock() + timedelta(minutes=1)
    shop.clock.forward(timedelta(minutes=5))
    assert [each.change for each in await found(shop)] == changes[1:]
    await shop.ports.accepted_changes.forget({change.order_id: [change.job_id] for change in changes})


async def test_an_order_that_should_have_expired_is_found_and_expires(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await relayed(shop)
    await shop.is_open_for(EXPIRY)
    assert await found(shop) == []
    # The worker has stopped. The shop is open without it.
    shop.clock.forward(STUCK)
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("stuck", order.id, Remedy.EXPIRE)
    assert await repair(shop, [discrepancy]) == ["it is EXPIRED"]
    await relayed(shop)
    assert await found(shop) == []


async def test_a_charged_order_without_its_stock_is_repaired_by_processing_its_payment(shop: Shop) -> None:
    pen = await shop.sells(stock=5, price=100)
    order, request = await shop.payment_requested((pen, 1))
    await shop.provider.charge(request.payment_id, euros(100))
    await relayed(shop)
    shop.clock.forward(STUCK)
    assert await repair(shop, await found(shop)) == ["it is PAID"]
    assert ((await shop.now(order)).status, await shop.stock_of(pen)) == (OrderStatus.PAID, 4)


async def test_money_of_an_order_that_found_no_stock_is_refunded_in_the_end(shop: Shop) -> None:
    pen = await shop.sells(stock=1, price=100)
    order, request = await shop.payment_requested((pen, 1))
    await shop.paid((pen, 1))
    await shop.provider.charge(request.payment_id, euros(100))
    await relayed(shop)
    shop.clock.forward(STUCK)
    assert await repair(shop, await found(shop)) == [None]
    assert await repair(shop, [each for each in await found(shop) if each.order_id == order.id]) == [
        "the money was given back"
    ]
    assert (shop.provider.taken, await shop.findings()) == (100, [])


async def test_every_order_of_many_pages_is_looked_at(shop: Shop) -> None:
    pen = await shop.sells(stock=50, price=100)
    orders = [await shop.paid((pen, 1)) for _ in range(7)]
    for order in orders:
        shop.provider.lose(payment_of(order))
    await relayed(shop)
    assert {each.order_id for each in await found(shop)} == {order.id for order in orders}
    strangers = [PaymentId(shop.new_id()) for _ in range(7)]
    for key in strangers:
        await shop.provider.charge(key, euros(1))
    assert {each.charge.key for each in await found(shop) if each.charge} == set(strangers)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_order_that_moves_on_meanwhile_is_no_discrepancy(shop: Shop, when: str) -> None:
    order = await shop.paid((await shop.sells(), 1))

    async def refund() -> None:
        await shop.refund_order([await shop.refund_requested(order)])

    provider = Meanwhile(shop.provider)
    getattr(provider, when).append(refund)
    assert await found(shop, provider) == []
    assert (await shop.now(order)).status is OrderStatus.REFUNDED


async def accepted_and_lost(shop: Shop, *, age: timedelta = timedelta(minutes=3)) -> Order:
    """An order that was answered 202, and that the queue has lost."""
    order = evolve(await shop.order((await shop.sells(), 1)), id=OrderId(uuid7()))
    await shop.recent.put_accepted([order])
    await relayed(shop)
    shop.clock.forward(age)
    return order


async def test_an_accepted_order_that_was_never_recorded_is_found_and_recorded(shop: Shop) -> None:
    order = await accepted_and_lost(shop)
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.order_id, discrepancy.remedy) == ("accepted", order.id, Remedy.RECORD)
    assert await repair(shop, [discrepancy]) == ["recorded"]
    assert await shop.now(order) == order
    assert [event.sequence for event in await shop.history(order)] == [1]
    assert await found(shop) == []


async def test_an_accepted_order_may_be_recorded_twice(shop: Shop) -> None:
    await accepted_and_lost(shop)
    discrepancies = await found(shop)
    assert await repair(shop, discrepancies) == await repair(shop, discrepancies) == ["recorded"]


async def test_an_order_that_was_accepted_just_now_is_on_its_way(shop: Shop) -> None:
    await accepted_and_lost(shop, age=timedelta(seconds=90))
    assert await found(shop) == []


async def test_an_accepted_order_of_a_key_is_left_since_its_key_is_not_known(shop: Shop) -> None:
    lost = evolve(await accepted_and_lost(shop, age=timedelta(0)), id=IdempotencyKey("customer 1", "monday").order_id)
    shop.recent = MemoryRecentOrders()
    await shop.recent.put_accepted([lost])
    shop.clock.forward(timedelta(minutes=3))
    [discrepancy] = await found(shop)
    assert discrepancy.order_id == lost.id
    assert "repeat its request under the same key" in discrepancy.what
    assert await repair(shop, [discrepancy]) == [None]


async def test_an_order_that_a_restored_database_does_not_know_is_left(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    shop.provider.lose(payment_of(order))
    await relayed(shop)
    shop.clock.forward(timedelta(minutes=3))
    shop.store.orders.clear()
    shop.store.events.clear()
    [discrepancy] = [each for each in await found(shop) if each.about == "accepted"]
    assert (discrepancy.order_id, discrepancy.remedy) == (order.id, None)
    assert "Was an older backup restored?" in discrepancy.what


async def test_an_accepted_order_that_is_a_dead_letter_is_reported_once(shop: Shop) -> None:
    order = await accepted_and_lost(shop)
    event = OrderAccepted(
        order_id=order.id, at=order.created_at, user_id=order.user_id, lines=order.lines, total=order.total
    )
    message = DeadMessage(body=encode(event), reason="?", attempts=1, first_at=shop.clock(), last_at=shop.clock())
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("intake", [message])
    assert [(each.about, each.order_id) for each in await found(shop)] == [("dead letter", order.id)]


async def test_a_check_without_the_recent_orders_does_not_pass(shop: Shop) -> None:
    shop.recent = UnsteadyRecentOrders(gone=True)
    [discrepancy] = await found(shop)
    assert (discrepancy.about, discrepancy.what) == ("accepted", "not checked: the recent orders are gone")
    assert await repair(shop, [discrepancy]) == [None]
