"""What the time of an order went into, leg by leg: from what is stored of it, and nothing else."""

from datetime import timedelta

import pytest
from attrs import define

from adapters.memory.webhooks import Answer
from application.access.principal import SYSTEM
from application.errors import OutcomeUnknown
from application.orders.explain_order import StepKind
from application.orders.legs import IN_WORDS, LegName
from domain.ids import PaymentId
from domain.money import Money
from domain.orders.order import Order
from tests.unit.provider import Provider
from tests.unit.shop import Shop
from tests.unit.webhooks import BROKEN, OK, URL, Webhooks

SECOND = timedelta(seconds=1)


@define(eq=False)
class Slow(Provider):
    """Each of its answers takes 5 s, if there is one."""

    shop: Shop | None = None
    silent: bool = False

    async def charge(self, key: PaymentId, amount: Money) -> str:
        self._wait()
        return await super().charge(key, amount)

    async def refund(self, key: PaymentId, amount: Money) -> None:
        self._wait()
        await super().refund(key, amount)

    def _wait(self) -> None:
        assert self.shop is not None
        self.shop.clock.forward(5 * SECOND)
        if self.silent:
            raise OutcomeUnknown("no answer")


@pytest.fixture
def shop() -> Shop:
    shop = Shop(provider=Slow())
    assert isinstance(shop.provider, Slow)
    shop.provider.shop = shop
    return shop


async def into_feed(shop: Shop, after: timedelta) -> None:
    shop.clock.forward(after)
    await shop.use_cases.give_positions()


async def legs(shop: Shop, order: Order) -> dict[str, dict[str, float]]:
    """By what the step is about."""
    explained = await shop.use_cases.explain_order(SYSTEM, order.id)
    return {
        step.delivery.type if step.delivery else step.what.removeprefix("order."): {
            leg.name.value: leg.took.total_seconds() for leg in step.legs
        }
        for step in explained.steps
    }


async def test_a_payment_and_a_refund_tell_how_long_the_queue_and_the_provider_took(shop: Shop) -> None:
    pen = await shop.sells()
    order = await shop.order((pen, 1))
    await into_feed(shop, 2 * SECOND)
    request = await shop.ask_for_payment(order)
    shop.clock.forward(3 * SECOND)
    assert await shop.process_payment([request]) == [None]
    await into_feed(shop, SECOND)
    refund = await shop.refund_requested(order)
    shop.clock.forward(4 * SECOND)
    assert await shop.refund_order([refund]) == [None]
    assert await legs(shop, order) == {
        "placed": {"feed": 2},
        "payment_requested": {"feed": 3 + 5 + 1},
        "stock_reserved": {"queue": 3, "feed": 5 + 1},
        "paid": {"worker": 0, "provider": 5, "feed": 1},
        # These have no position yet.
        "refund_requested": {},
        "refunded": {"queue": 4, "provider": 5},
    }


async def test_a_payment_that_failed_tells_whether_the_provider_was_asked(shop: Shop) -> None:
    pen = await shop.sells(stock=1)
    shop.provider.declines = True
    declined, request = await shop.payment_requested((pen, 1))
    await shop.process_payment([request])
    assert (await legs(shop, declined))["failed"] == {"worker": 0, "provider": 5}
    # The next attempt is measured from its own request.
    shop.clock.forward(60 * SECOND)
    shop.provider.declines = False
    request = await shop.ask_for_payment(declined)
    shop.clock.forward(2 * SECOND)
    await shop.process_payment([request])
    assert (await legs(shop, declined))["stock_reserved"] == {"queue": 2}
    lacking, request = await shop.payment_requested((pen, 1))
    shop.clock.forward(2 * SECOND)
    await shop.process_payment([request])
    assert (await legs(shop, lacking))["failed"] == {"queue": 2}


async def test_attempts_without_an_answer_are_in_the_leg_before_that_of_the_provider(shop: Shop) -> None:
    assert isinstance(shop.provider, Slow)
    order, request = await shop.payment_requested((await shop.sells(), 1))
    shop.provider.silent = True
    [unknown] = await shop.process_payment([request])
    assert isinstance(unknown, OutcomeUnknown)
    shop.clock.forward(3600 * SECOND)
    shop.provider.silent = False
    assert await shop.process_payment([request]) == [None]
    refund = await shop.refund_requested(order)
    shop.provider.silent = True
    [unknown] = await shop.refund_order([refund])
    assert isinstance(unknown, OutcomeUnknown)
    shop.clock.forward(3600 * SECOND)
    shop.provider.silent = False
    assert await shop.refund_order([refund]) == [None]
    told = await legs(shop, order)
    assert told["paid"] == {"worker": 3605, "provider": 5}
    assert told["refunded"] == {"queue": 3605, "provider": 5}
    for blamed in (LegName.WORKER, LegName.QUEUE):
        assert IN_WORDS[blamed].endswith("and earlier attempts")


async def test_a_webhook_tells_how_long_it_took_with_all_its_attempts() -> None:
    answers: list[Answer] = [BROKEN]
    webhooks = Webhooks()
    webhooks.answers[URL] = lambda _: answers.pop() if answers else OK
    shop = webhooks.shop
    await webhooks.add()
    order = await shop.order((await shop.sells(), 1))
    await into_feed(shop, 2 * SECOND)
    await webhooks.send()
    assert [step.kind for step in (await shop.use_cases.explain_order(SYSTEM, order.id)).steps] == [StepKind.EVENT]
    await webhooks.pass_time(timedelta(minutes=10), step=SECOND)
    [webhook] = [
        step for step in (await shop.use_cases.explain_order(SYSTEM, order.id)).steps if step.kind is StepKind.WEBHOOK
    ]
    assert webhook.delivery is not None
    assert webhook.delivery.attempts == 2
    [leg] = webhook.legs
    assert leg.name == "webhook"
    assert leg.took == webhook.at - order.created_at - 2 * SECOND > timedelta(0)
