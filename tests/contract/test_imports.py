"""Imports on every database: whatever ends an attempt, each row is done once, and nothing is done of a bad file."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from adapters.codecs.export_rows import WRITERS
from adapters.memory.price_list import MemoryPriceList
from application.access.principal import SYSTEM
from application.catalogue.add_products import AddProducts
from application.catalogue.adjust_stock import AdjustStock
from application.catalogue.change_product import ChangeProduct
from application.errors import Aborted
from application.imports.orders import ApplyOrders
from application.imports.products import ApplyProducts
from application.imports.request import ImportRequest
from application.imports.run_import import ApplyRows, RunImport
from application.imports.start_import import StartImport
from application.imports.stock import ApplyStock
from application.intake.place_order import PlaceOrder
from application.jobs.kinds import Progress
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from domain.ids import JobId, ProductId
from domain.jobs.job import Job
from domain.orders.status import OrderStatus
from entrypoints.http.row_parsers import PARSERS

PRODUCTS: Final = ImportRequest(what="products", format="ndjson")
STOCK: Final = ImportRequest(what="stock", format="ndjson")
ORDERS: Final = ImportRequest(what="orders", format="ndjson")


class Stopped(Exception):
    """The process ends here."""


def now() -> datetime:
    return datetime.now(UTC)


def handler(unit_of_work: UnitOfWork, wrap: Callable[[ApplyRows], ApplyRows] = lambda apply: apply) -> RunImport:
    add, change = AddProducts(unit_of_work, now), ChangeProduct(unit_of_work, now, MemoryPriceList())
    apply: dict[str, ApplyRows] = {
        "products": wrap(ApplyProducts(add, change)),
        "stock": wrap(ApplyStock(AdjustStock(unit_of_work, now))),
        "orders": wrap(ApplyOrders(PlaceOrder(unit_of_work), uuid7, now)),
    }
    return RunImport(unit_of_work, PARSERS, apply, WRITERS["ndjson"], batch=10)


async def parts(content: bytes, length: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), length):
        yield content[at : at + length]


async def start(
    unit_of_work: UnitOfWork, wanted: ImportRequest, rows: Sequence[object], key: IdempotencyKey | None = None
) -> Job:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return (await StartImport(unit_of_work, PARSERS, uuid7, now)(SYSTEM, wanted, parts(content), key=key)).job


async def results(unit_of_work: UnitOfWork, job: Job, name: str = "results") -> list[dict[str, Any]]:
    content = b""
    async with unit_of_work.reading() as tx:
        while part := await tx.files.read(job.id, name, at=len(content)):
            content += part
    return [json.loads(line) for line in content.splitlines()]


async def stock_of(unit_of_work: UnitOfWork, *ids: int) -> list[int]:
    async with unit_of_work.reading() as tx:
        found = await tx.products.get_many({ProductId(id_) for id_ in ids})
    return [found[ProductId(id_)].stock for id_ in ids]


def products(count: int) -> list[dict[str, Any]]:
    return [{"id": id_, "name": f"pen {id_}", "price": 5, "currency": "EUR", "stock": 9} for id_ in range(1, count + 1)]


@pytest.fixture
async def pens(unit_of_work: UnitOfWork) -> None:
    await handler(unit_of_work)(await start(unit_of_work, PRODUCTS, products(3)), Progress())


async def test_a_file_is_imported(unit_of_work: UnitOfWork) -> None:
    rows = products(25)
    job, progress = await start(unit_of_work, PRODUCTS, [*rows, {**rows[0], "id": 26, "sku": "S"}]), Progress()
    told = await handler(unit_of_work)(job, progress)
    assert told == {"applied": True, "rows": 26, "outcomes": {"added": 26}}
    assert (progress.done, progress.total) == (26, 26)
    assert [result["id"] for result in await results(unit_of_work, job)] == list(range(1, 27))
    async with unit_of_work.reading() as tx:
        assert await tx.files.read(job.id, job.arguments["upload"], at=0) == b""
        assert await tx.stock_adjustments.totals({ProductId(7)}) == {ProductId(7): 9}
    # Whoever does it again finds it done.
    assert await handler(unit_of_work)(job, Progress()) == told


@pytest.mark.parametrize("at", [1, 3, 5])
async def test_an_attempt_that_ended_in_the_middle_is_gone_on_with(
    unit_of_work: UnitOfWork, pens: None, at: int
) -> None:
    calls = 0

    def stopping(apply: ApplyRows) -> ApplyRows:
        async def stop(*given: Any) -> Any:
            nonlocal calls
            calls += 1
            done = await apply(*given)
            if calls == at:
                raise Stopped
            return done

        return stop

    rows = [{"product_id": 1 + number % 3, "delta": 1, "reason": "delivery"} for number in range(30)]
    job = await start(unit_of_work, STOCK, rows)
    with pytest.raises(Stopped):
        await handler(unit_of_work, stopping)(job, Progress())
    await handler(unit_of_work)(job, Progress())
    assert await stock_of(unit_of_work, 1, 2, 3) == [19, 19, 19]
    assert [result["row"] for result in await results(unit_of_work, job)] == list(range(1, 31))


async def test_of_two_attempts_at_once_each_row_is_done_once(unit_of_work: UnitOfWork, pens: None) -> None:
    rows = [{"product_id": 1, "delta": 1, "reason": "delivery"} for _ in range(60)]
    job = await start(unit_of_work, evolve(STOCK, on_error="skip"), rows)

    async def attempt() -> None:
        for _ in range(100):
            with suppress(Aborted):
                await handler(unit_of_work)(job, Progress())
                return

    await asyncio.gather(attempt(), attempt())
    assert await stock_of(unit_of_work, 1) == [69]
    assert [result["row"] for result in await results(unit_of_work, job)] == list(range(1, 61))


async def test_nothing_is_done_of_a_file_with_a_bad_row_at_its_end(unit_of_work: UnitOfWork, pens: None) -> None:
    rows = [{"product_id": 1, "delta": 1, "reason": "delivery", "reference": str(number)} for number in range(25)]
    job = await start(unit_of_work, STOCK, [*rows, {"product_id": 4, "delta": 1, "reason": "delivery"}])
    told = await handler(unit_of_work)(job, Progress())
    assert told == {"applied": False, "rows": 26, "outcomes": {"would_be_changed": 25, "bad": 1}}
    assert await stock_of(unit_of_work, 1) == [9]
    [bad] = [result for result in await results(unit_of_work, job, "trial") if result["outcome"] == "bad"]
    assert (bad["row"], bad["errors"][0]["code"]) == (26, "unknown_product")
    # What a trial has done is gone: the same references move stock afterwards.
    job = await start(unit_of_work, STOCK, rows)
    assert (await handler(unit_of_work)(job, Progress()))["outcomes"] == {"changed": 25}  # type: ignore[index]
    job = await start(unit_of_work, STOCK, rows)
    assert (await handler(unit_of_work)(job, Progress()))["outcomes"] == {"unchanged": 25}  # type: ignore[index]
    assert await stock_of(unit_of_work, 1) == [34]


async def test_a_row_that_was_right_when_it_was_tried_may_be_refused(unit_of_work: UnitOfWork, pens: None) -> None:
    # In each of two batches, which are tried apart, 5 of the 9 units of both products are to be removed.
    rows = [{"product_id": 1 + number % 2, "delta": -1, "reason": "lost"} for number in range(20)]
    told = await handler(unit_of_work)(await start(unit_of_work, STOCK, rows), Progress())
    assert told == {"applied": True, "rows": 20, "outcomes": {"changed": 18, "bad": 2}}
    assert await stock_of(unit_of_work, 1, 2) == [0, 0]


async def test_orders_are_placed_once(unit_of_work: UnitOfWork, pens: None) -> None:
    rows = [
        {"external_id": f"web-{number}", "user_id": 1 + number % 2, "items": [{"product_id": 1, "quantity": 1}]}
        for number in range(25)
    ]
    told = [await handler(unit_of_work)(await start(unit_of_work, ORDERS, rows), Progress()) for _ in range(2)]
    assert [each["outcomes"] for each in told if each] == [{"added": 25}, {"unchanged": 25}]
    async with unit_of_work.reading() as tx:
        orders = await tx.orders.page(user_id=None, status=OrderStatus.PENDING, before=None, limit=100)
    assert len({order.details.external_id for order in orders if order.details}) == len(orders) == 25
    assert await stock_of(unit_of_work, 1) == [9]


async def test_a_file_that_breaks_off_leaves_nothing(unit_of_work: UnitOfWork) -> None:
    taken = StartImport(unit_of_work, PARSERS, uuid7, now)

    async def broken() -> AsyncIterator[bytes]:
        # More than one part of a file.
        for number in range(8):
            yield b'{"id": %d}' % number + b" " * 60_000 + b"\n"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await taken(SYSTEM, PRODUCTS, broken())
    async with unit_of_work() as tx:
        assert await tx.jobs.page(kind=None, status=None, before=None, limit=9) == []
        await asyncio.sleep(0)
        assert await tx.files.prune(older_than=now() - now(), limit=9) == 0


async def test_a_key_makes_one_import_of_a_file_that_is_sent_twice_at_once(unit_of_work: UnitOfWork) -> None:
    key = IdempotencyKey("import", "april")
    rows = products(3000)

    async def send() -> Job:
        for _ in range(100):
            with suppress(Aborted):
                return await start(unit_of_work, PRODUCTS, rows, key)
        raise AssertionError("no attempt went through")

    first, second = await asyncio.gather(send(), send())
    assert first.id == second.id == JobId(key.order_id)
    assert first.arguments["upload"] == second.arguments["upload"]
    async with unit_of_work.reading() as tx:
        content = b""
        while part := await tx.files.read(first.id, first.arguments["upload"], at=len(content)):
            content += part
    assert len(content.splitlines()) == len(rows)
