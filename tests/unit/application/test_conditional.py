"""A change with a condition is made only if the condition holds for the order under its lock."""

from collections.abc import Callable

import pytest

from application.execution.conditional import OnlyIf, PreconditionFailed
from application.execution.idempotency import Keyed, Replayed
from application.ports.idempotency import IdempotencyKey
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.shop import Shop, accepted


@pytest.fixture
async def shop() -> Shop:
    return Shop()


def version(number: int) -> Callable[[Order], bool]:
    return lambda order: order.version == number


@pytest.mark.parametrize("name", ["cancel_order", "delete_order", "request_payment"])
async def test_a_change_whose_condition_does_not_hold_is_refused_alone(shop: Shop, name: str) -> None:
    pen = await shop.sells()
    one, two = await shop.order((pen, 1)), await shop.order((pen, 1))
    refused, done = await getattr(shop, name)([OnlyIf(one.id, version(2)), OnlyIf(two.id, version(1))])
    assert isinstance(refused, PreconditionFailed)
    assert accepted(done).version == 2
    assert [event.sequence for event in await shop.history(one)] == [1]


@pytest.mark.parametrize("name", ["complete_order", "request_refund"])
async def test_a_paid_order_is_changed_only_if_the_condition_holds(shop: Shop, name: str) -> None:
    order = await shop.paid((await shop.sells(), 1))
    refused, done = await getattr(shop, name)(
        [OnlyIf(order.id, version(order.version - 1)), OnlyIf(order.id, version(order.version))]
    )
    assert isinstance(refused, PreconditionFailed)
    assert accepted(done).version == order.version + 1


async def test_in_one_batch_a_later_change_meets_the_earlier_one(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    first, second = await shop.cancel_order([OnlyIf(order.id, version(1)), OnlyIf(order.id, version(1))])
    assert accepted(first).status is OrderStatus.CANCELLED
    assert isinstance(second, PreconditionFailed)


async def test_under_a_key_the_stored_response_comes_first_and_a_refusal_is_not_stored(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))

    def pay(expected: int) -> Keyed[OnlyIf]:
        return Keyed(OnlyIf(order.id, version(expected)), IdempotencyKey(f"order {order.id}", "monday"), "the same")

    [missed] = await shop.request_payment([pay(7)])
    [met] = await shop.request_payment([pay(1)])
    [again] = await shop.request_payment([pay(1)])
    assert isinstance(missed, PreconditionFailed)
    assert accepted(met).version == 2
    assert isinstance(again, Replayed)
    assert again.answer == met
