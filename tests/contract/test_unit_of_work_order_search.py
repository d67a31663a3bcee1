"""A search finds the same orders in every database: those that match, newest first, each once, page after page."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from adapters.sql.repositories.customers import number_of
from application.ports.order_search import IdsFound, OrderFilter
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId, ProductId, UserId, UserName
from domain.orders.details import OrderDetails
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.contract.conftest import keep
from tests.unit.builders import LATER, NOW, a_line, a_product, an_order

ZOE = UserName("auth0|Zoë")
CUSTOMERS = (UserId(1), UserId(2), ZOE, UserId(number_of(ZOE)))
NOWHERE = OrderId(UUID(int=404))
P, C = OrderStatus.PENDING, OrderStatus.CANCELLED
AT = NOW + timedelta(minutes=10)

FILTERS = {
    "all": OrderFilter(),
    "one": OrderFilter(order_id=OrderId(UUID(int=7))),
    "one of another customer": OrderFilter(order_id=OrderId(UUID(int=7)), user_id=UserId(2)),
    "one that is not there": OrderFilter(order_id=NOWHERE),
    "customer": OrderFilter(user_id=UserId(1)),
    "customer by name": OrderFilter(user_id=ZOE),
    "customer with the number of a name": OrderFilter(user_id=CUSTOMERS[3]),
    "status": OrderFilter(statuses=frozenset({C})),
    "statuses": OrderFilter(statuses=frozenset({P, C, OrderStatus.PAID})),
    "customer and status": OrderFilter(user_id=ZOE, statuses=frozenset({P})),
    "customer and statuses": OrderFilter(user_id=UserId(2), statuses=frozenset({P, C})),
    "product": OrderFilter(product_ids=frozenset({ProductId(2)})),
    "products": OrderFilter(product_ids=frozenset({ProductId(2), ProductId(3)})),
    "product and customer": OrderFilter(product_ids=frozenset({ProductId(3)}), user_id=UserId(2)),
    "external id": OrderFilter(external_id="Nr. 4"),
    "external id of several": OrderFilter(external_id="shared"),
    "external id and customer": OrderFilter(external_id="shared", user_id=UserId(2)),
    "email": OrderFilter(email="ANA@example.org"),
    "email and product": OrderFilter(email="ana@example.org", product_ids=frozenset({ProductId(3)})),
    "email and external id": OrderFilter(email="ana@example.org", external_id="shared"),
    "time": OrderFilter(placed_after=AT, placed_before=AT + timedelta(minutes=5)),
    "time and customer": OrderFilter(placed_after=AT, user_id=UserId(1)),
    "time and email": OrderFilter(placed_before=AT + timedelta(minutes=2), email="ana@example.org"),
    "total": OrderFilter(total_min=2500, total_max=3749),
    "total and status": OrderFilter(total_min=3750, statuses=frozenset({P})),
    "nothing": OrderFilter(total_min=10**15),
}


def orders() -> Iterator[Order]:
    """Orders of all kinds. Some stand at the same moment, and some are deleted."""
    for number in range(1, 25):
        lines = [a_line(1 + number % 3, quantity=1 + number % 4), *([a_line(3)] if number % 6 == 1 else [])]
        at = NOW + timedelta(minutes=number // 2 * 2)
        details = OrderDetails(
            external_id="shared" if number in {8, 9, 11} else f"Nr. {number}",
            email="Ana@Example.org" if number % 5 == 0 or number == 8 else None,
        )
        order = evolve(
            an_order(*lines, number=number),
            user_id=CUSTOMERS[number % 4],
            created_at=at,
            updated_at=at,
            details=details if number % 2 == 0 or number in {9, 11, 15} else None,
        )
        if number % 6 == 0 or number == 10:
            order.cancel(at=LATER)
        if number in {10, 13}:
            order.delete(at=LATER)
        yield order


@pytest.fixture
async def shop(unit_of_work: UnitOfWork) -> UnitOfWork:
    await keep(unit_of_work, products=[a_product(number) for number in (1, 2, 3)], orders=list(orders()))
    return unit_of_work


async def test_a_search_finds_what_matches_page_after_page(shop: UnitOfWork) -> None:
    newest_first = sorted(orders(), key=lambda order: (order.created_at, order.id), reverse=True)
    for name, wanted in FILTERS.items():
        expected = [order for order in newest_first if wanted.matches(order)]
        assert expected or name in {"one of another customer", "one that is not there", "nothing"}, name
        # Many pages, of which some are full and some have looked enough, and all at once.
        for limit, stretch in ((2, 3), (100, 100)):
            found: list[Order] = []
            before = None
            while True:
                async with shop.reading() as tx:
                    page = await tx.orders.search(wanted, before=before, limit=limit, stretch=stretch)
                    alone = await tx.orders.search_ids(wanted, before=before, limit=limit, stretch=stretch)
                assert alone == IdsFound([order.id for order in page.orders], page.looked_to), name
                assert len(page.orders) <= limit
                found += page.orders
                before = page.orders[-1].id if len(page.orders) == limit else page.looked_to
                if before is None:
                    break
            assert found == expected, (name, limit, stretch)


async def test_a_page_ends_where_it_has_looked_enough(shop: UnitOfWork) -> None:
    async with shop.reading() as tx:
        page = await tx.orders.search(FILTERS["nothing"], before=None, limit=5, stretch=4)
        of_one = await tx.orders.search(FILTERS["external id"], before=None, limit=5, stretch=4)
        none = await tx.orders.search(FILTERS["all"], before=NOWHERE, limit=5, stretch=4)
    newest_first = sorted(orders(), key=lambda order: (order.created_at, order.id), reverse=True)
    there = [order for order in newest_first if not order.deleted]
    assert (page.orders, page.looked_to) == ([], there[3].id)
    assert ([order.id.int for order in of_one.orders], of_one.looked_to) == ([4], None)
    assert (none.orders, none.looked_to) == ([], None)


async def test_an_order_is_found_as_soon_as_it_is_recorded_and_as_it_is_by_then(shop: UnitOfWork) -> None:
    order = evolve(an_order(number=99), details=OrderDetails(email="new@example.org"))
    await keep(shop, orders=[order])
    wanted = OrderFilter(email="new@example.org", statuses=frozenset({P}))
    async with shop.reading() as tx:
        assert (await tx.orders.search(wanted, before=None, limit=5)).orders == [order]
    order.cancel(at=LATER)
    async with shop() as tx:
        await tx.orders.save_many([order])
    async with shop.reading() as tx:
        assert (await tx.orders.search(wanted, before=None, limit=5)).orders == []
