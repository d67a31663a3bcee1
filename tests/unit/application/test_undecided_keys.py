"""A request under a key is never refused for good while an order of its key may still be in the intake queue."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from application.access.principal import SYSTEM
from application.assembly import UseCases
from application.catalogue.change_product import ProductCall
from application.errors import Unavailable
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.place_order import KeyUndecided
from application.intake.queue_orders import Queued
from application.ports.idempotency import IdempotencyKey
from domain.catalogue.product import Product, ProductEdit
from domain.errors import NotForSale, PriceChanged
from domain.ids import UserId
from domain.orders.order import Order
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

GONE = Unavailable("the database is gone")
Change = Callable[[Intakes, Product], Awaitable[None]]


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


@pytest.fixture
async def pen(intakes: Intakes) -> Product:
    product = await intakes.shop.sells(price=1250)
    await intakes.learn_prices()
    return product


def wanted(product: Product, key: str = "monday") -> Keyed[OrderRequest]:
    request = OrderRequest(UserId(1), (RequestedItem(product.id, 1, unit_price=1250),))
    return Keyed(request, IdempotencyKey("customer 1", key), "the same")


async def costs_more(intakes: Intakes, pen: Product) -> None:
    await _edit(intakes, pen, ProductEdit(price=1400))


async def is_not_for_sale(intakes: Intakes, pen: Product) -> None:
    await _edit(intakes, pen, ProductEdit(active=False))


async def _edit(intakes: Intakes, pen: Product, edit: ProductEdit) -> None:
    await intakes.direct.change_product(SYSTEM, ProductCall(product_id=pen.id, edit=edit))
    await intakes.learn_prices()


def caches_forget(intakes: Intakes) -> None:
    intakes.own.clear()
    intakes.recent.gone = True


def ways(intakes: Intakes) -> Sequence[UseCases]:
    return intakes.queued, intakes.auto


@pytest.mark.parametrize("change", [costs_more, is_not_for_sale])
async def test_a_repeated_request_is_not_refused_while_its_order_is_queued(
    intakes: Intakes, pen: Product, change: Change
) -> None:
    first = await intakes.queued.place_order(SYSTEM, wanted(pen))
    assert isinstance(first, Queued)
    caches_forget(intakes)
    await change(intakes, pen)
    for shop in ways(intakes):
        with pytest.raises(KeyUndecided):
            await shop.place_order(SYSTEM, wanted(pen))
    assert intakes.shop.store.orders == {}
    await intakes.work_off()
    for shop in ways(intakes):
        assert await shop.place_order(SYSTEM, wanted(pen)) == Replayed(first.order)


@pytest.mark.parametrize("change", [costs_more, is_not_for_sale])
async def test_a_new_request_is_refused_for_good_when_nothing_is_queued(
    intakes: Intakes, pen: Product, change: Change
) -> None:
    await change(intakes, pen)
    for shop, key in zip(ways(intakes), ("monday", "tuesday"), strict=True):
        with pytest.raises((NotForSale, PriceChanged)):
            await shop.place_order(SYSTEM, wanted(pen, key))
        again = await intakes.direct.place_order(SYSTEM, wanted(pen, key))
        assert isinstance(again, Replayed)
        assert isinstance(again.answer, NotForSale | PriceChanged)


@pytest.mark.parametrize("gone", ["database", "broker"])
async def test_nothing_is_refused_while_nobody_can_be_asked(intakes: Intakes, pen: Product, gone: str) -> None:
    await costs_more(intakes, pen)
    for shop in ways(intakes):
        intakes.queue.gone = gone == "broker"
        if gone == "database":
            intakes.shop.unsteady.to_come.append(Trouble(GONE))
        with pytest.raises((KeyUndecided, Unavailable)):
            await shop.place_order(SYSTEM, wanted(pen))
        intakes.queue.gone = False
        assert intakes.shop.store.idempotency_keys == {}


async def test_an_order_that_the_caches_know_keeps_its_price_when_the_database_is_back(
    intakes: Intakes, pen: Product
) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    first = await intakes.auto.place_order(SYSTEM, wanted(pen))
    assert isinstance(first, Queued)
    await costs_more(intakes, pen)
    assert await intakes.auto.place_order(SYSTEM, wanted(pen)) == first.order
    assert await intakes.work_off() == [None]
    assert len(intakes.shop.store.orders) == 1


async def test_a_stored_refusal_is_no_answer_once_there_is_an_order(intakes: Intakes, pen: Product) -> None:
    await costs_more(intakes, pen)
    with pytest.raises(PriceChanged):
        await intakes.queued.place_order(SYSTEM, wanted(pen))
    await _edit(intakes, pen, ProductEdit(price=1250))
    accepted = await intakes.queued.place_order(SYSTEM, wanted(pen))
    assert isinstance(accepted, Queued)
    await intakes.work_off()
    assert await intakes.direct.place_order(SYSTEM, wanted(pen)) == Replayed(accepted.order)


async def test_without_its_stored_response_a_repeated_request_is_answered_with_its_order(
    intakes: Intakes, pen: Product
) -> None:
    placed = await intakes.direct.place_order(SYSTEM, wanted(pen))
    assert isinstance(placed, Order)
    intakes.shop.store.idempotency_keys.clear()
    await costs_more(intakes, pen)
    assert await intakes.direct.place_order(SYSTEM, wanted(pen)) == placed
