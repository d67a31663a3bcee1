"""A payment provider that gives no answers is seen by those who wait for it, and forgotten when it answers."""

from contextlib import suppress
from datetime import timedelta
from itertools import repeat

import pytest

from application.access.principal import SYSTEM
from application.errors import OutcomeUnknown
from application.orders.standing import WaitsFor
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.provider_calls import ProviderCalls, silence_of
from application.ports.payments import ProviderReport, ProviderSilence
from domain.ids import PaymentId
from domain.money import Money
from domain.orders.events import PaymentRequested
from domain.orders.order import Order
from tests.unit.builders import NOW, ManualClock
from tests.unit.shop import Shop

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def lost(times: int) -> "repeat[Exception]":
    return repeat(OutcomeUnknown("the payment provider gave no answer"), times)


async def waiting_order(shop: Shop) -> tuple[Order, PaymentRequested]:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    async with shop.unit_of_work() as tx:
        await tx.outbox.remove(await tx.outbox.page(after=None, limit=1000))
    return order, request


async def test_a_provider_that_fails_and_then_answers_is_told_of_for_as_long_as_it_fails(shop: Shop) -> None:
    order, request = await waiting_order(shop)
    assert await shop.use_cases.see_provider(SYSTEM) is None
    shop.provider.before.extend(lost(4))
    since = shop.clock()
    for _ in range(4):
        [outcome] = await shop.process_payment([request])
        assert isinstance(outcome, OutcomeUnknown)
        shop.clock.forward(15 * SECOND)

    assert await shop.use_cases.see_provider(SYSTEM) == ProviderSilence(since=since, failed_calls=4)
    told = (await shop.use_cases.explain_order(SYSTEM, order.id)).standing
    assert told.waits_for is WaitsFor.WORKER
    assert told.because == f"the payment provider has not answered since {since:%Y-%m-%d %H:%M:%S} UTC"
    assert told.next == "it is paid when the provider answers; nothing needs to be done; its stock is held"
    assert (await shop.use_cases.see_waiting(SYSTEM)).orders == 1

    assert await shop.process_payment([request]) == [None]
    assert await shop.use_cases.see_provider(SYSTEM) is None
    assert (await shop.use_cases.explain_order(SYSTEM, order.id)).standing.waits_for is WaitsFor.SHOP


async def test_a_refund_waits_for_the_provider_as_well(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    request = await shop.refund_requested(order)
    async with shop.unit_of_work() as tx:
        await tx.outbox.remove(await tx.outbox.page(after=None, limit=1000))
    shop.provider.before.extend(lost(1))
    await shop.refund_order([request])
    shop.clock.forward(15 * SECOND)
    told = (await shop.use_cases.explain_order(SYSTEM, order.id)).standing
    assert told.because.startswith("the payment provider has not answered since")
    assert told.next.startswith("its money is given back when the provider answers")


async def test_a_request_that_is_not_with_the_worker_does_not_wait_for_the_provider(shop: Shop) -> None:
    _, request = await waiting_order(shop)
    shop.provider.before.extend(lost(1))
    await shop.process_payment([request])
    shop.clock.forward(15 * SECOND)
    other, _ = await shop.payment_requested((await shop.sells(), 1))
    told = (await shop.use_cases.explain_order(SYSTEM, other.id)).standing
    assert told.because == "its request waits in the outbox"


async def test_a_declined_card_is_an_answer(shop: Shop) -> None:
    _, request = await waiting_order(shop)
    shop.provider.before.extend(lost(1))
    await shop.process_payment([request])
    shop.provider.declines = True
    await shop.process_payment([request])
    shop.clock.forward(15 * SECOND)
    assert shop.calls.report().silent_since is None


async def test_a_provider_that_hangs_gives_no_answer(shop: Shop) -> None:
    class Hanging:
        async def charge(self, key: PaymentId, amount: Money) -> str:
            shop.clock.forward(30 * SECOND)
            raise TimeoutError

        async def refund(self, key: PaymentId, amount: Money) -> None:
            raise NotImplementedError

    _, request = await waiting_order(shop)
    begun = shop.clock()
    process = ProviderPipeline(ProcessPayment(shop.unit_of_work, Hanging(), shop.clock), one_call=shop.calls.one)
    [outcome] = await process.until_done([request.order_id])
    assert isinstance(outcome, OutcomeUnknown)
    assert await shop.use_cases.see_provider(SYSTEM) == ProviderSilence(since=begun, failed_calls=1)


def fail(calls: ProviderCalls) -> None:
    with pytest.raises(OutcomeUnknown), calls.one():
        raise OutcomeUnknown("no answer")


def test_one_call_that_fails_among_others_is_no_silence() -> None:
    clock = ManualClock()
    calls = ProviderCalls(clock)
    fail(calls)
    clock.forward(SECOND)
    assert calls.report() == ProviderReport()
    with calls.one():
        pass
    clock.forward(MINUTE)
    assert calls.report() == ProviderReport(answered_at=clock() - MINUTE)


def test_a_silence_begins_after_the_last_answer() -> None:
    clock = ManualClock()
    calls = ProviderCalls(clock)
    with suppress(OutcomeUnknown), calls.one():
        clock.forward(SECOND)
        with calls.one():
            answered_at = clock()
        clock.forward(30 * SECOND)
        raise OutcomeUnknown("no answer")
    assert calls.report() == ProviderReport(answered_at=answered_at, silent_since=answered_at, failed_calls=1)


def test_a_silence_is_forgotten_when_nothing_is_asked_any_more() -> None:
    clock = ManualClock()
    calls = ProviderCalls(clock)
    fail(calls)
    clock.forward(4 * MINUTE)
    assert calls.report().failed_calls == 1
    clock.forward(2 * MINUTE)
    assert calls.report() == ProviderReport()
    since = clock()
    fail(calls)
    clock.forward(MINUTE)
    assert calls.report() == ProviderReport(silent_since=since, failed_calls=1)


def test_the_answer_to_one_process_ends_the_silence_that_others_report() -> None:
    silent = ProviderReport(silent_since=NOW, failed_calls=3)
    earlier = ProviderReport(answered_at=NOW - MINUTE, silent_since=NOW - SECOND, failed_calls=2)
    assert silence_of([]) is None
    assert silence_of([ProviderReport()]) is None
    assert silence_of([silent, earlier]) == ProviderSilence(since=NOW - SECOND, failed_calls=5)
    assert silence_of([silent, ProviderReport(answered_at=NOW + SECOND)]) is None
    # What is after the answer counts, and what was before it does not.
    later = ProviderReport(answered_at=NOW + SECOND, silent_since=NOW + MINUTE, failed_calls=4)
    assert silence_of([silent, later]) == ProviderSilence(since=NOW + MINUTE, failed_calls=4)
