"""What a customer was shown is what she pays, whichever way her order reaches the database."""

import pytest
from attrs import evolve

from application.access.principal import SYSTEM
from application.catalogue.change_product import ProductCall
from application.errors import OutcomeUnknown
from application.intake.queue_orders import Queued
from domain.catalogue.product import Product, ProductEdit
from domain.errors import InvalidOrder, NotForSale
from domain.orders.order import Order
from tests.unit.builders import euros
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request
from tests.unit.unsteady import Trouble


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


@pytest.fixture
async def pen(shop: Shop, intakes: Intakes) -> Product:
    pen = await shop.sells(price=1250)
    await intakes.learn_prices()
    return pen


async def edit(shop: Shop, product: Product, **fields: object) -> None:
    call = ProductCall(product_id=product.id, edit=ProductEdit(**fields))  # type: ignore[arg-type]
    await shop.use_cases.change_product(SYSTEM, call)


async def queued(intakes: Intakes, pen: Product) -> Order:
    told = await intakes.queued.place_order(SYSTEM, a_request((pen, 2)))
    assert isinstance(told, Queued)
    return told.order


async def test_an_accepted_order_is_recorded_at_the_price_that_was_shown(
    shop: Shop, intakes: Intakes, pen: Product
) -> None:
    told = await queued(intakes, pen)
    for change in ({"price": 999}, {"price": 1, "currency": "JPY"}, {"active": False}):
        await edit(shop, pen, **change)
    assert await intakes.work_off() == [None]
    recorded = await shop.now(told)
    assert (recorded.lines, recorded.total) == (told.lines, euros(2500))


async def test_a_process_that_is_behind_accepts_at_the_price_that_it_shows(
    shop: Shop, intakes: Intakes, pen: Product
) -> None:
    await edit(shop, pen, price=999)
    told = await queued(intakes, pen)
    assert told.total == euros(2500)
    assert await intakes.work_off() == [None]
    assert (await shop.now(told)).total == euros(2500)


async def test_an_order_at_a_price_that_there_never_was_is_set_aside(
    shop: Shop, intakes: Intakes, pen: Product
) -> None:
    await queued(intakes, pen)
    await edit(shop, pen, price=999)
    [event] = intakes.queue.events
    [line] = event.lines
    forged = evolve(event, lines=(evolve(line, unit_price=euros(1)),), total=euros(2))
    other_total = evolve(event, total=euros(2))
    for message in (forged, other_total):
        [outcome] = await shop.persist_orders([message])
        assert isinstance(outcome, InvalidOrder)
    assert shop.store.orders == {}


async def test_what_is_out_of_sale_is_refused_as_soon_as_the_process_knows(
    shop: Shop, intakes: Intakes, pen: Product
) -> None:
    await edit(shop, pen, active=False)
    await queued(intakes, pen)
    await intakes.learn_prices()
    with pytest.raises(NotForSale):
        await queued(intakes, pen)


async def test_the_process_that_changes_a_price_knows_it_at_once(shop: Shop, pen: Product) -> None:
    await shop.use_cases.refresh_prices()
    await edit(shop, pen, price=999)
    [known] = shop.ports.price_list.get_many({pen.id}).values()
    assert (known.price, known.version) == (euros(999), 2)


async def test_each_attempt_to_store_an_order_has_the_same_price(shop: Shop, intakes: Intakes, pen: Product) -> None:
    """The commit that was not answered had the new price, and this process knows the old one."""
    await edit(shop, pen, price=999)
    shop.unsteady.to_come.append(Trouble(OutcomeUnknown("no answer to the commit"), committed=True))
    told = await intakes.auto.place_order(SYSTEM, a_request((pen, 2)))
    assert isinstance(told, Queued)
    assert await intakes.work_off() == [None]
    assert told.order.total == (await shop.now(told.order)).total == euros(1998)
