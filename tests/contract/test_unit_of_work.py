"""The block is the transaction."""

import asyncio

import pytest

from application.errors import Aborted
from application.execution.after_commit import Committed
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import ProductId
from tests.contract.conftest import OpenUnitOfWork, keep
from tests.unit.builders import a_line, a_product, an_order, placed

PEN = ProductId(1)
INK = ProductId(2)


async def stock_of(unit_of_work: UnitOfWork, product_id: ProductId = PEN) -> int:
    async with unit_of_work.reading() as tx:
        return (await tx.products.get_many({product_id}))[product_id].stock


async def take(unit_of_work: UnitOfWork, *ids: ProductId) -> None:
    """One unit of each product, asked for in this order."""
    async with unit_of_work() as tx:
        products = await tx.products.get_many(ids, lock=True)
        for product in products.values():
            product.take(1)
        await asyncio.sleep(0)
        await tx.products.save_many(list(products.values()))


async def test_what_a_block_has_written_is_there_after_it(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(stock=5)])
    assert await stock_of(unit_of_work) == 5


async def test_a_block_that_raises_leaves_nothing_behind(unit_of_work: UnitOfWork) -> None:
    async def fail_after_writing() -> None:
        async with unit_of_work() as tx:
            await tx.products.add_many([a_product()])
            raise LookupError("the shop is on fire")

    with pytest.raises(LookupError, match="on fire"):
        await fail_after_writing()

    async with unit_of_work.reading() as tx:
        assert await tx.products.page(after=None, limit=10) == []


async def test_a_block_sees_its_own_writes(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        await tx.products.add_many([a_product()])
        assert await tx.products.get_many({PEN}) == {PEN: a_product()}


async def test_nobody_else_sees_what_is_not_committed_and_readers_do_not_wait_for_it(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(stock=5)])
    async with unit_of_work() as tx:
        [pen] = (await tx.products.get_many({PEN}, lock=True)).values()
        pen.take(2)
        await tx.products.save_many([pen])
        async with asyncio.timeout(60):
            assert await stock_of(unit_of_work) == 5
    assert await stock_of(unit_of_work) == 3


async def test_an_empty_block_commits(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work():
        pass


async def test_batches_of_nothing_change_nothing(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        await tx.products.add_many([])
        await tx.products.save_many([])
        await tx.orders.add_many([])
        await tx.orders.save_many([])
        await tx.payments.add_many([])
        await tx.payments.save_many([])
        await tx.stock_adjustments.add_many([])
        await tx.events.add_many([])
        await tx.outbox.remove([])
        await tx.outbox.re_enqueue([])
        assert await tx.products.get_many([]) == {}
        assert await tx.orders.get_many([]) == {}
        assert await tx.payments.get_many([]) == {}
        assert await tx.stock_adjustments.totals([]) == {}
        assert await tx.events.of_orders([]) == []
        await tx.idempotency_keys.add_many([])
        assert await tx.idempotency_keys.claim([]) == {}


async def test_whoever_hears_of_a_commit_finds_it_done(open_unit_of_work: OpenUnitOfWork) -> None:
    found: list[dict[ProductId, Product]] = []
    heard: list[Committed] = []

    async def look(committed: Committed) -> None:
        heard.append(committed)
        async with unit_of_work.reading() as tx:
            found.append(await tx.products.get_many({PEN}))

    unit_of_work = open_unit_of_work(look)
    order, event = placed(a_line())
    async with unit_of_work() as tx:
        await tx.products.add_many([a_product()])
        await tx.orders.add_many([order])
        await tx.events.add_many([event])

    assert found == [{PEN: a_product()}]
    assert [(each.orders, each.catalogue, each.events, each.outbox) for each in heard] == [
        ([order], True, [event], True)
    ]


async def test_whoever_hears_of_a_commit_may_write(open_unit_of_work: OpenUnitOfWork) -> None:
    async def add_ink(committed: Committed) -> None:
        if committed.orders:
            await keep(unit_of_work, products=[a_product(2, stock=7)])

    unit_of_work = open_unit_of_work(add_ink)
    async with asyncio.timeout(60):
        await keep(unit_of_work, products=[a_product()], orders=[an_order()])
    assert await stock_of(unit_of_work, INK) == 7


async def test_nobody_hears_of_what_was_rolled_back(open_unit_of_work: OpenUnitOfWork) -> None:
    heard: list[Committed] = []

    async def listen(committed: Committed) -> None:
        heard.append(committed)

    async def fail_after_writing() -> None:
        async with open_unit_of_work(listen)() as tx:
            await tx.products.add_many([a_product()])
            raise LookupError("the shop is on fire")

    with pytest.raises(LookupError, match="on fire"):
        await fail_after_writing()
    assert heard == []


async def test_a_hot_product_loses_no_unit_to_those_who_take_it_at_once(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(stock=30)])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(take(unit_of_work, PEN))
    assert await stock_of(unit_of_work) == 0


async def test_those_who_name_the_same_products_in_another_order_do_not_block_each_other(
    unit_of_work: UnitOfWork,
) -> None:
    await keep(unit_of_work, products=[a_product(1, stock=20), a_product(2, stock=20)])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(take(unit_of_work, PEN, INK))
            group.create_task(take(unit_of_work, INK, PEN))
    assert [await stock_of(unit_of_work, product_id) for product_id in (PEN, INK)] == [0, 0]


async def test_a_cancelled_block_leaves_nothing_behind(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(stock=5)])
    written = asyncio.Event()

    async def take_and_wait() -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many({PEN}, lock=True)).values()
            pen.take(1)
            await tx.products.save_many([pen])
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(take_and_wait())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with asyncio.timeout(60):
        await take(unit_of_work, PEN)
    assert await stock_of(unit_of_work) == 4


async def test_two_of_the_same_product_are_refused_as_a_whole(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, products=[a_product(1, stock=5)])
    with pytest.raises(Aborted):
        await keep(unit_of_work, products=[a_product(2), a_product(1, stock=9)])
    async with unit_of_work.reading() as tx:
        assert await tx.products.page(after=None, limit=10) == [a_product(1, stock=5)]
