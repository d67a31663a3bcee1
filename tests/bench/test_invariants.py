"""The benchmarks' own consistency check: it has to find each kind of damage."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.sql.core.engine import create_engine, sqlite_url
from adapters.sql.tables import metadata
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.request_payment import RequestPayment
from bench.invariants import ShopData
from domain.ids import ProductId, UserId
from domain.money import Money
from domain.orders.order import Order


def _now() -> datetime:
    return datetime.now(UTC)


async def _trade(folder: Path) -> None:
    """Three orders of two products; two of them are paid."""
    engine = create_engine(sqlite_url(folder / "holdfast.db"))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    unit_of_work = SqlUnitOfWork(engine)
    pens = [NewProduct(id=ProductId(n), name=f"Pen {n}", price=Money(100 * n, "EUR"), stock=50) for n in (1, 2)]
    await AddProducts(unit_of_work, _now)(the_system("test"), pens)
    items = (RequestedItem(ProductId(1), 3), RequestedItem(ProductId(2), 1))
    requests = map(NumberRequests(uuid7, _now), [OrderRequest(UserId(1), items)] * 3)
    placed = await PlaceOrder(unit_of_work)(list(requests))
    paid = [order.id for order in placed[:2] if isinstance(order, Order)]
    await RequestPayment(unit_of_work, _now)(paid)
    async with open_file_ledger(folder / "gateway.db") as ledger:
        await ProviderPipeline(ProcessPayment(unit_of_work, SimulatedGateway(ledger), _now)).until_done(paid)
    await engine.dispose()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[ShopData]:
    asyncio.run(_trade(tmp_path))
    with ShopData(sqlite_url(tmp_path / "holdfast.db"), tmp_path / "gateway.db") as data:
        yield data


def _change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(statement).rowcount > 0
    connection.close()


def test_consistent_data_has_no_findings(data: ShopData) -> None:
    assert data.findings() == []
    assert (data.orders(), data.paid(), data.processing(), data.unsent()) == (3, 2, False, True)
    assert len(data.seconds_to_paid()) == 2
    assert all(0 <= seconds < 60 for seconds in data.seconds_to_paid())


@pytest.mark.parametrize(
    ("file", "damage", "finding"),
    [
        ("holdfast.db", "UPDATE products SET stock = stock + 1 WHERE id = 1", "product 1: 45 left and 6 held"),
        ("holdfast.db", "UPDATE products SET stock = -1 WHERE id = 2", "product 2: -1 left"),
        ("holdfast.db", "UPDATE orders SET holds_stock = 0", "product 1: 44 left and 0 held make no 50"),
        ("holdfast.db", "UPDATE orders SET total = total + 1", "3 orders have another total than their items"),
        ("holdfast.db", "DELETE FROM order_items WHERE product_id = 1", "3 orders have another total"),
        ("holdfast.db", "DELETE FROM order_items", "3 orders have no items"),
        ("holdfast.db", "DELETE FROM order_events WHERE type = 'order.paid'", "2 orders have another version"),
        ("holdfast.db", "UPDATE orders SET status = 'FAILED', holds_stock = 0", "2 charges are of no paid order"),
        ("gateway.db", "DELETE FROM ledger", "2 paid orders were not charged for"),
        ("gateway.db", "UPDATE ledger SET refunded = 1", "2 paid orders were not charged for"),
    ],
)
def test_damage_is_found(data: ShopData, tmp_path: Path, file: str, damage: str, finding: str) -> None:
    _change(tmp_path / file, damage)
    assert any(found.startswith(finding) for found in data.findings()), data.findings()
