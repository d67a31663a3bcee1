"""Data that was accepted under the rules of its day is read under those of any later day."""

from pathlib import Path

import pytest
from attrs import evolve

from adapters.codecs import events, stored_responses
from adapters.sql.core.engine import create_engine
from adapters.sql.migrate import migrate
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import NewProduct
from application.orders.change_details import DetailsChange
from domain.catalogue import product
from domain.errors import InvalidOrder
from domain.ids import OrderId
from domain.money import Money
from domain.orders import limits
from domain.orders.details import Address, OrderDetails
from domain.orders.events import OrderAccepted
from domain.orders.order import Order
from entrypoints.cli import products as commands
from entrypoints.http.bodies.orders import OrderBody
from tests.unit.builders import a_line, a_product, placed
from tests.unit.shop import Shop

# More than a new order may have today: it was entered when a shop's limits were higher.
LINES = [a_line(number, quantity=limits.MAX_QUANTITY * 2, price=1) for number in range(1, limits.MAX_LINES * 2)]
# Withdrawn from ISO 4217 in 2026.
BGN = Money(12_50, "BGN")
NAME = "x" * 2 * product.MAX_TEXT


def test_an_order_above_the_limits_is_read_wherever_it_is_stored() -> None:
    order, event = placed(*LINES)
    assert events.decode(events.encode(event)) == event
    assert stored_responses.decode(stored_responses.encode(order)) == order
    assert len(OrderBody.of(order).items) == len(LINES)


async def test_an_order_that_was_accepted_above_the_limits_is_recorded(shop: Shop) -> None:
    order, event = placed(*LINES)
    for line in LINES:
        shop.store.products[line.product_id] = a_product(line.product_id, stock=0, price=line.unit_price.minor)
    accepted = OrderAccepted(
        order_id=order.id, at=event.at, user_id=order.user_id, lines=order.lines, total=order.total
    )
    travelled = events.decode(events.encode(accepted))
    assert isinstance(travelled, OrderAccepted)
    assert await shop.persist_orders([travelled]) == [None]
    assert (await shop.now(order)).lines == order.lines


async def test_rows_from_under_other_rules_are_read(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    unit_of_work = SqlUnitOfWork(engine)
    try:
        await migrate(engine)
        order, _ = placed(*LINES)
        stored = [a_product(line.product_id) for line in LINES]
        stored[0] = evolve(stored[0], name=NAME, price=BGN, stock=product.MAX_COUNT * 2)
        async with unit_of_work() as tx:
            await tx.products.add_many(stored)
            await tx.orders.add_many([order])
        async with unit_of_work.reading() as tx:
            assert (await tx.products.page(after=None, limit=1)) == stored[:1]
            assert (await tx.orders.get_many([OrderId(order.id)])) == {order.id: order}
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        (Money(12_50, "EUR"), "12.50 EUR"),
        (Money(1250, "JPY"), "1250 JPY"),
        (Money(5, "KWD"), "0.005 KWD"),
        (BGN, "1250 minor BGN"),
        # No currency of ISO 4217 was ever called so.
        (Money(7, "QQQ"), "7 minor QQQ"),
    ],
)
def test_a_price_is_shown_in_any_currency(price: Money, shown: str) -> None:
    assert commands._shown(price) == shown  # noqa: SLF001 - the command prints it among other columns


async def test_a_long_name_is_still_refused_where_it_enters(shop: Shop) -> None:
    new = NewProduct(name=NAME, price=BGN, stock=1)
    [outcome] = await shop.use_cases.add_products(the_system("test"), [new])
    assert str(outcome) == "a name has 1 to 200 characters, none of them NUL"


async def test_details_above_the_limits_keep_nothing_else_from_being_changed(shop: Shop) -> None:
    kept = {f"{number}": "x" * limits.MAX_VALUE * 2 for number in range(limits.MAX_KEYS + 1)}
    old = OrderDetails(note="x" * limits.MAX_NOTE * 2, billing_address=Address(city="x" * 999), metadata=kept)
    order = evolve(placed()[0], details=old)
    async with shop.unit_of_work() as tx:
        await tx.orders.add_many([order])
        await tx.events.add_many([placed()[1]])
    change = shop.use_cases.change_details
    call = DetailsChange(order.id, changes={"shipping_address": Address(city="Malmö"), "metadata": {"0": "short"}})
    changed = await change(the_system("test"), call)
    assert isinstance(changed, Order)
    new = evolve(old, shipping_address=Address(city="Malmö"), metadata=kept | {"0": "short"})
    assert changed.details == new
    for wrong in ({"note": "y" * limits.MAX_NOTE * 2}, {"metadata": {"new": "x"}}, {"metadata": {"0": kept["1"]}}):
        with pytest.raises(InvalidOrder):
            await change(the_system("test"), DetailsChange(order.id, changes=wrong))
