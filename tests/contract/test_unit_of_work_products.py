import pytest
from attrs import evolve

from application.ports import Aborted, UnitOfWork
from domain.ids import MAX_ID, ProductId
from domain.money import MAX_MINOR, Money
from domain.product import MAX_STOCK, Product, StockAdjustment
from tests.contract.conftest import keep
from tests.unit.builders import NOW, a_product


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
