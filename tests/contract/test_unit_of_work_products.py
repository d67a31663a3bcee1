from uuid import UUID

import pytest
from attrs import evolve

from application.errors import Aborted
from application.ports.catalogue import EarlierPrice, StockCount, StockLevel
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import MAX_STOCK, Product, ProductEdit, StockAdjustment
from domain.ids import MAX_ID, MOST_AUTOMATIC, PaymentId, ProductId
from domain.money import MAX_MINOR, Money
from tests.contract.conftest import keep
from tests.unit.builders import LATER, NOW, a_line, a_product, an_order, euros


async def stored(unit_of_work: UnitOfWork, *ids: int) -> dict[ProductId, Product]:
    async with unit_of_work.reading() as tx:
        return await tx.products.get_many([ProductId(id_) for id_ in ids])


def adjustment(number: int, change: int) -> StockAdjustment:
    return StockAdjustment(product_id=ProductId(number), change=change, reason="first count", made_by="Ana", at=NOW)


@pytest.mark.parametrize(
    "product",
    [
        a_product(),
        evolve(a_product(), id=ProductId(MAX_ID), stock=MAX_STOCK, price=Money(MAX_MINOR, "KWD")),
        evolve(a_product(), stock=0, price=Money(0, "JPY")),
        evolve(a_product(), version=2**53, sku="x" * 64, active=False, metadata={"k": "万\0'; --", "": ""}),
        evolve(a_product(), name="万" * 200, created_at=NOW.replace(microsecond=1)),
        evolve(a_product(), name="'; DROP TABLE products; -- \U0001f58b\ufe0f {}[]\"\\\n\t"),
    ],
)
async def test_a_product_is_read_as_it_was_written(unit_of_work: UnitOfWork, product: Product) -> None:
    await keep(unit_of_work, products=[product])
    assert await stored(unit_of_work, product.id) == {product.id: product}


async def test_only_products_that_exist_are_found(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(1), a_product(2)])
    assert await stored(unit_of_work, 2, 3, MAX_ID) == {ProductId(2): a_product(2)}


async def test_an_id_that_is_taken_is_refused(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product()])
    with pytest.raises(Aborted):
        await keep(unit_of_work, products=[a_product()])


async def test_the_stock_of_many_is_saved_at_once(unit_of_work: UnitOfWork) -> None:
    products = [a_product(number, stock=1000) for number in range(1, 301)]
    await keep(unit_of_work, products=products[150:] + products[:150])
    async with unit_of_work() as tx:
        locked = await tx.products.get_many([product.id for product in reversed(products)], lock=True)
        for product in locked.values():
            product.take(product.id)
        await tx.products.save_many(list(locked.values()))
    assert list(locked) == [product.id for product in products]
    assert {id_: product.stock for id_, product in (await stored(unit_of_work, *locked)).items()} == {
        product.id: 1000 - product.id for product in products
    }


async def test_the_catalogue_is_paged_by_id(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(number) for number in (5, 1, 9, 3)])
    async with unit_of_work.reading() as tx:
        first = await tx.products.page(after=None, limit=3)
        rest = await tx.products.page(after=first[-1].id, limit=3)
    assert [[product.id for product in page] for page in (first, rest)] == [[1, 3, 5], [9]]


async def test_a_page_has_what_is_for_sale_or_what_is_not_or_all(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[evolve(a_product(number), active=number % 2 == 0) for number in range(1, 7)])
    async with unit_of_work.reading() as tx:
        pages = {
            active: [
                [product.id for product in await tx.products.page(after=after, limit=2, active=active)]
                for after in (None, ProductId(3))
            ]
            for active in (True, False, None)
        }
        counts = [
            await tx.products.count(active=active, most=most) for active in (True, False, None) for most in (2, 10)
        ]
    assert counts == [2, 3, 2, 3, 2, 6]
    assert pages == {True: [[2, 4], [4, 6]], False: [[1, 3], [5]], None: [[1, 2], [4, 5]]}


async def test_an_edit_saves_all_but_the_stock(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(1, stock=5), evolve(a_product(2), sku="old", metadata={"a": "1"})])
    edit = ProductEdit(name="ink", price=7, currency="JPY", sku="new", active=False, metadata={"a": None, "b": "2"})
    async with unit_of_work() as tx:
        locked = await tx.products.get_many([ProductId(1), ProductId(2)], lock=True)
        for number in (1, 2):
            locked[ProductId(number)].edit(evolve(edit, sku=f"new {number}"))
        await tx.products.edit_many(list(locked.values()))
    found = await stored(unit_of_work, 1, 2)
    assert found == locked
    assert found[ProductId(2)].metadata == {"b": "2"}
    async with unit_of_work.reading() as tx:
        assert await tx.products.by_sku({"old", "new 1", "new 2"}) == {"new 1": 1, "new 2": 2}
        assert await tx.products.stock_of([ProductId(1), ProductId(9)]) == {ProductId(1): StockLevel(2, 5)}


async def test_an_sku_belongs_to_one_product(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[evolve(a_product(1), sku="A"), a_product(2), a_product(3)])
    with pytest.raises(Aborted):
        await keep(unit_of_work, products=[evolve(a_product(4), sku="A")])

    async def take_its_sku() -> None:
        async with unit_of_work() as tx:
            [two] = (await tx.products.get_many([ProductId(2)], lock=True)).values()
            two.edit(ProductEdit(sku="A"))
            await tx.products.edit_many([two])

    with pytest.raises(Aborted):
        await take_its_sku()
    assert [product.sku for product in (await stored(unit_of_work, 1, 2, 3, 4)).values()] == ["A", None, None]


async def test_earlier_prices_are_kept_once_each(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(1), a_product(2)])
    pen, ink = ProductId(1), ProductId(2)
    async with unit_of_work() as tx:
        await tx.earlier_prices.add_many([EarlierPrice(pen, euros(1), NOW), EarlierPrice(ink, euros(1), NOW)])
    async with unit_of_work() as tx:
        await tx.earlier_prices.add_many([EarlierPrice(pen, euros(1), LATER), EarlierPrice(pen, Money(1, "JPY"), NOW)])
    async with unit_of_work.reading() as tx:
        assert await tx.earlier_prices.of_products([]) == []
        of_pen = await tx.earlier_prices.of_products([pen, ProductId(3)])
    assert {(each.price, each.until) for each in of_pen} == {(euros(1), NOW), (Money(1, "JPY"), NOW)}
    assert len(of_pen) == 2


async def test_adjustments_come_newest_first(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(1), a_product(2)])
    async with unit_of_work() as tx:
        await tx.stock_adjustments.add_many([adjustment(1 + number % 2, number) for number in range(1, 8)])
    async with unit_of_work.reading() as tx:
        first = await tx.stock_adjustments.page(ProductId(2), before=None, limit=3)
        rest = await tx.stock_adjustments.page(ProductId(2), before=first[-1].number, limit=3)
    assert [each.adjustment for each in (*first, *rest)] == [adjustment(2, number) for number in (7, 5, 3, 1)]


async def test_the_largest_id_is_known(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == 0
    await keep(unit_of_work, products=[a_product(7), a_product(3)])
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == 7


async def test_adjustments_add_up(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(number) for number in (1, 2, 3)])
    async with unit_of_work() as tx:
        await tx.stock_adjustments.add_many([adjustment(1, 10), adjustment(2, MAX_STOCK), adjustment(1, -3)])
        await tx.stock_adjustments.add_many([adjustment(1, 1)])
        within = await tx.stock_adjustments.totals([ProductId(1)])
    async with unit_of_work.reading() as tx:
        totals = await tx.stock_adjustments.totals([ProductId(number) for number in (1, 2, 3)])
    assert within == {1: 8}
    assert totals == {1: 8, 2: MAX_STOCK, 3: 0}


async def test_stock_counts_tell_what_is_left_and_held_and_was_counted_in(unit_of_work: UnitOfWork) -> None:
    pen, ink, never_counted = a_product(1, stock=3), a_product(2, stock=5), a_product(3, stock=0)
    holding, another = an_order(a_line(1, quantity=2), a_line(2, quantity=1), number=1), an_order(a_line(1), number=2)
    for order in (holding, another):
        order.request_payment(PaymentId(UUID(int=order.id.int)), at=NOW)
    holding.reserve_stock({ProductId(1): a_product(1), ProductId(2): a_product(2)}, at=NOW)
    await keep(unit_of_work, products=[pen, ink, never_counted], orders=[holding, another])
    async with unit_of_work() as tx:
        await tx.stock_adjustments.add_many(
            [
                StockAdjustment(product_id=ProductId(id_), change=change, reason="count", made_by="test", at=NOW)
                for id_, change in ((1, 7), (1, -2), (2, 9))
            ]
        )
    async with unit_of_work.reading() as tx:
        first = await tx.products.stock_counts(after=None, limit=2)
        rest = await tx.products.stock_counts(after=ProductId(2), limit=2)
    assert first == [StockCount(ProductId(1), 3, 2, 5), StockCount(ProductId(2), 5, 1, 9)]
    assert rest == [StockCount(ProductId(3), 0, 0, 0)]


async def test_products_are_found_by_their_names(unit_of_work: UnitOfWork) -> None:
    named = {1: "pen", 2: "ink", 3: "pen", 4: "Pen", 5: "old", 6: "old", 7: "'; -- 万", 8: "sold"}
    products = [evolve(a_product(id_), name=name, active=id_ not in {1, 5, 6}) for id_, name in named.items()]
    await keep(unit_of_work, products=products)
    async with unit_of_work.reading() as tx:
        found = await tx.products.by_name({"pen", "ink", "old", "'; -- 万", "unknown"})
        nothing = await tx.products.by_name(set())
    # The first that is for sale, or else the first.
    assert {name: product.id for name, product in found.items()} == {"pen": 3, "ink": 2, "old": 5, "'; -- 万": 7}
    assert found["pen"] == products[2]
    assert nothing == {}


async def test_a_name_that_no_database_stores_hides_no_other(unit_of_work: UnitOfWork) -> None:
    pen = evolve(a_product(1), name="pen", sku="PEN")
    await keep(unit_of_work, products=[pen])
    async with unit_of_work.reading() as tx:
        assert await tx.products.by_sku({"PEN", "\0", "a\0b"}) == {"PEN": 1}
        assert await tx.products.by_name({"pen", "\0", "a\0b"}) == {"pen": pen}
        assert (await tx.products.by_sku({"\0"}), await tx.products.by_name({"\0"})) == ({}, {})


async def test_the_last_id_is_that_of_the_products_that_got_theirs_from_the_shop(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(number) for number in (3, MOST_AUTOMATIC + 1, MAX_ID)])
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == 3
