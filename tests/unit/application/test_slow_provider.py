"""A slow provider: no order waits for the answer to another, and each answer is recorded when it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from attrs import define, evolve, field

from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import OutcomeUnknown, Unavailable
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from domain.ids import OrderId, PaymentId
from domain.money import Money
from domain.orders.events import Event, PaymentRequested, RefundRequested
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.loops import Stop
from entrypoints.programs.worker import Worker
from tests.unit.provider import Provider
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

TIME_LIMIT = 10.0


@define(eq=False)
class SlowProvider(Provider):
    """A provider that answers about a payment when the test says so, and at once about the others."""

    gates: dict[PaymentId, asyncio.Event] = field(factory=dict)
    errors: dict[PaymentId, Exception] = field(factory=dict)
    running: list[PaymentId] = field(factory=list)
    most_at_once: int = 0

    async def charge(self, key: PaymentId, amount: Money) -> str:
        await self._take_time(key)
        return await super().charge(key, amount)

    async def refund(self, key: PaymentId, amount: Money) -> None:
        await self._take_time(key)
        await super().refund(key, amount)

    def hold(self, *orders: Order) -> None:
        self.gates |= {order.payment: asyncio.Event() for order in orders}

    def answer(self, *orders: Order) -> None:
        for order in orders:
            self.gates[order.payment].set()

    async def _take_time(self, key: PaymentId) -> None:
        assert key not in self.running, "it was asked twice at once about a payment"
        self.running.append(key)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            if key in self.gates:
                await self.gates[key].wait()
            if key in self.errors:
                raise self.errors.pop(key)
        finally:
            self.running.remove(key)


@pytest.fixture
def provider() -> SlowProvider:
    return SlowProvider()


@pytest.fixture
async def shop(provider: SlowProvider) -> AsyncIterator[Shop]:
    shop = Shop(provider=provider)
    yield shop
    assert await shop.findings() == []


def charging(shop: Shop, *, max_calls: int = 128, timeout: float = 30.0) -> ProviderPipeline[object]:
    work = ProcessPayment(shop.unsteady, shop.provider, shop.clock)
    return ProviderPipeline(work, max_calls=max_calls, timeout=timeout)


async def asked_for(shop: Shop, count: int) -> list[Order]:
    pen = await shop.sells(stock=100)
    return [await shop.now((await shop.payment_requested((pen, 1)))[0]) for _ in range(count)]


def ids(orders: list[Order]) -> list[OrderId]:
    return [order.id for order in orders]


async def statuses(shop: Shop, orders: list[Order]) -> list[str]:
    return [(await shop.now(order)).status.value for order in orders]


async def test_an_order_that_is_answered_does_not_wait_for_its_batch(shop: Shop, provider: SlowProvider) -> None:
    orders = await asked_for(shop, 3)
    provider.hold(orders[1])
    async with asyncio.timeout(TIME_LIMIT):
        first, late, third = await charging(shop)(ids(orders))
        assert (first, third) == (None, None)
        assert await statuses(shop, orders) == ["PAID", "PROCESSING", "PAID"]
        assert isinstance(late, asyncio.Future)
        provider.answer(orders[1])
        assert await late is None
    assert await statuses(shop, orders) == ["PAID"] * 3


async def test_a_refund_that_is_given_does_not_wait_for_its_batch(shop: Shop, provider: SlowProvider) -> None:
    pen = await shop.sells(stock=10)
    orders = [await shop.paid((pen, 1)) for _ in range(2)]
    for order in orders:
        await shop.refund_requested(order)
    provider.hold(orders[0])
    refunding = ProviderPipeline(RefundOrder(shop.unsteady, provider, shop.clock))
    async with asyncio.timeout(TIME_LIMIT):
        late, second = await refunding(ids(orders))
        assert second is None
        assert await statuses(shop, orders) == ["PAID", "REFUNDED"]
        assert isinstance(late, asyncio.Future)
        provider.answer(orders[0])
        assert await late is None
    assert await statuses(shop, orders) == ["REFUNDED"] * 2


@pytest.mark.parametrize("declines", [False, True])
async def test_late_answers_are_recorded_each_for_its_order(
    shop: Shop, provider: SlowProvider, *, declines: bool
) -> None:
    orders = await asked_for(shop, 20)
    provider.hold(*orders)
    provider.declines = declines
    async with asyncio.timeout(TIME_LIMIT):
        outcomes = await charging(shop)(ids(orders))
        provider.answer(*orders[::2])
        for outcome in outcomes[::2]:
            assert isinstance(outcome, asyncio.Future)
            assert await outcome is None
        assert await statuses(shop, orders) == ["FAILED" if declines else "PAID", "PROCESSING"] * 10
        provider.answer(*orders)
        assert [await outcome for outcome in outcomes if isinstance(outcome, asyncio.Future)] == [None] * 20


async def test_a_request_that_comes_again_joins_the_call_that_is_under_way(shop: Shop, provider: SlowProvider) -> None:
    [order] = await asked_for(shop, 1)
    provider.hold(order)
    pipeline = charging(shop)
    async with asyncio.timeout(TIME_LIMIT):
        outcomes = [outcome for _ in range(3) for outcome in await pipeline([order.id, order.id])]
        assert provider.running == [order.payment]
        provider.answer(order)
        assert [await outcome for outcome in outcomes if isinstance(outcome, asyncio.Future)] == [None] * 6
        assert await pipeline.until_done([order.id]) == [None]
    assert len(provider.ledger) == 1


async def test_the_provider_is_asked_a_bounded_number_of_times_at_once_over_all_batches(
    shop: Shop, provider: SlowProvider
) -> None:
    orders = await asked_for(shop, 20)
    provider.hold(*orders)
    pipeline = charging(shop, max_calls=4)
    async with asyncio.timeout(TIME_LIMIT):
        outcomes = [outcome for begin in range(0, 20, 5) for outcome in await pipeline(ids(orders[begin : begin + 5]))]
        assert len(provider.running) == 4
        provider.answer(*orders)
        assert [await outcome for outcome in outcomes if isinstance(outcome, asyncio.Future)] == [None] * 20
    assert provider.most_at_once == 4


async def test_a_call_without_an_answer_makes_room_for_the_next_and_its_payment_is_asked_about_again(
    shop: Shop, provider: SlowProvider
) -> None:
    silent, other = await asked_for(shop, 2)
    provider.hold(silent)
    pipeline = charging(shop, max_calls=1, timeout=0.05)
    async with asyncio.timeout(TIME_LIMIT):
        no_answer, paid = await pipeline.until_done([silent.id, other.id])
        assert isinstance(no_answer, OutcomeUnknown)
        assert str(silent.payment) in str(no_answer)
        assert paid is None
        assert provider.running == []
        assert await statuses(shop, [silent, other]) == ["PROCESSING", "PAID"]
        provider.answer(silent)
        assert await pipeline.until_done([silent.id]) == [None]
    assert {charge.key for charge in provider.ledger} == {silent.payment, other.payment}


async def test_a_call_that_waits_for_its_turn_has_all_of_its_time_when_it_begins(
    shop: Shop, provider: SlowProvider
) -> None:
    orders = await asked_for(shop, 3)
    provider.hold(*orders[:2])
    # The third waits for twice the timeout before it is asked about at all.
    outcomes = await charging(shop, max_calls=1, timeout=0.05).until_done(ids(orders))
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, OutcomeUnknown, type(None)]


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), Unavailable("gone"), LookupError("a surprise")])
@pytest.mark.parametrize("late", [False, True])
async def test_an_error_is_the_outcome_of_its_order_alone(
    shop: Shop, provider: SlowProvider, error: Exception, *, late: bool
) -> None:
    orders = await asked_for(shop, 3)
    provider.errors[orders[2].payment] = error
    if late:
        provider.hold(*orders)
    pipeline = charging(shop)
    async with asyncio.timeout(TIME_LIMIT):
        outcomes = await pipeline(ids(orders))
        if late:
            provider.answer(*orders)
        told = [await outcome if isinstance(outcome, asyncio.Future) else outcome for outcome in outcomes]
        assert told == [None, None, error]
        assert await statuses(shop, orders) == ["PAID", "PAID", "PROCESSING"]
        assert await pipeline.until_done(ids(orders)) == [None] * 3
    assert len(provider.ledger) == 3


async def test_a_late_answer_that_can_not_be_recorded_is_asked_for_again(shop: Shop, provider: SlowProvider) -> None:
    [order] = await asked_for(shop, 1)
    provider.hold(order)
    pipeline, gone = charging(shop), Unavailable("the database is gone")
    async with asyncio.timeout(TIME_LIMIT):
        [late] = await pipeline([order.id])
        shop.unsteady.to_come.append(Trouble(gone))
        provider.answer(order)
        assert isinstance(late, asyncio.Future)
        assert await late is gone
        assert await pipeline.until_done([order.id]) == [None]
    assert len(provider.ledger) == 1


async def test_nothing_is_asked_any_more_when_a_batch_was_cancelled(shop: Shop, provider: SlowProvider) -> None:
    orders = await asked_for(shop, 3)
    provider.hold(*orders)
    batch = asyncio.create_task(charging(shop)(ids(orders)))
    async with asyncio.timeout(TIME_LIMIT):
        while len(provider.running) < len(orders):  # noqa: ASYNC110 - the provider tells nobody
            await asyncio.sleep(0)
        batch.cancel()
        await asyncio.wait([batch])
    assert batch.cancelled()
    assert provider.running == []


@define(eq=False)
class Worked:
    """A worker on the queues of the shop."""

    shop: Shop
    stop: Stop = field(factory=Stop)
    running: asyncio.Task[None] = field(init=False)

    def start(self, *, max_charges: int, charge_timeout: float = 30.0) -> None:
        limits = evolve(Limits(), max_charges=max_charges, charge_timeout=charge_timeout)
        use_cases = assemble(self.shop.ports, limits)
        worker = Worker(use_cases=use_cases, stuck_after=timedelta(days=1), batches=2)
        self.running = asyncio.create_task(worker.run(self.stop))


async def bring(shop: Shop, orders: list[Order], event: type[Event] = PaymentRequested) -> None:
    wanted, type_ = set(ids(orders)), event.type
    entries = [entry for entry in await shop.outbox() if entry.type == type_ and entry.id.order_id in wanted]
    assert len(await shop.broker.enqueue(entries)) == len(orders)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 - a database tells nobody
        await asyncio.sleep(0.01)


async def test_a_worker_goes_on_while_charges_are_slow_and_settles_all_before_it_stops(
    shop: Shop, provider: SlowProvider
) -> None:
    slow = await asked_for(shop, 5)
    quick = await asked_for(shop, 30)
    provider.hold(*slow)
    worked = Worked(shop)
    worked.start(max_charges=8)
    await bring(shop, [*slow, *quick])

    async def all_quick_ones_are_paid() -> bool:
        return set(await statuses(shop, quick)) == {"PAID"}

    async with asyncio.timeout(TIME_LIMIT):
        await until(all_quick_ones_are_paid)
        assert await statuses(shop, slow) == ["PROCESSING"] * 5
        worked.stop.set()
        provider.answer(*slow)
        await worked.running
    assert set(await statuses(shop, slow)) == {"PAID"}
    assert provider.most_at_once <= 8


@pytest.mark.parametrize("refunds", [False, True])
async def test_a_provider_that_never_answers_does_not_stop_a_worker_with_one_call_at_once(
    shop: Shop, provider: SlowProvider, *, refunds: bool
) -> None:
    orders, done = await asked_for(shop, 4), {"PAID"}
    if refunds:
        orders, done = [await shop.paid((await shop.sells(stock=10), 1)) for _ in orders], {"REFUNDED"}
        for order in orders:
            await shop.refund_requested(order)
    silent, *others = orders
    provider.hold(silent)
    worked = Worked(shop)
    worked.start(max_charges=1, charge_timeout=0.05)
    await bring(shop, orders, RefundRequested if refunds else PaymentRequested)

    async def are_done(orders: list[Order]) -> bool:
        return set(await statuses(shop, orders)) == done

    async with asyncio.timeout(TIME_LIMIT):
        await until(lambda: are_done(others))
        assert not await are_done([silent])
        provider.answer(silent)
        await until(lambda: are_done([silent]))
        worked.stop.set()
        await worked.running


async def test_a_worker_that_is_cut_off_leaves_no_call_running(shop: Shop, provider: SlowProvider) -> None:
    slow = await asked_for(shop, 5)
    provider.hold(*slow)
    worked = Worked(shop)
    worked.start(max_charges=3)
    await bring(shop, slow)

    async def three_are_asked_about() -> bool:
        return len(provider.running) == 3

    async with asyncio.timeout(TIME_LIMIT):
        await until(three_are_asked_about)
        worked.stop.set()
        worked.running.cancel()
        await asyncio.wait([worked.running])
        assert provider.running == []
        # The next one continues.
        provider.answer(*slow)
        assert await charging(shop).until_done(ids(slow)) == [None] * 5
    assert OrderStatus.PAID.value in await statuses(shop, slow)
