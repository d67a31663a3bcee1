"""Poison messages in the whole service: they are dead-lettered with their reason, and delay no other message."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from adapters.codecs.events import encode
from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.rabbitmq.topology import Topology
from adapters.sql.core.engine import create_engine
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.money import Money
from domain.orders.events import OrderAccepted, PaymentRequested
from domain.orders.line import OrderLine
from tests.brokers import put
from tests.engines import engine_on
from tests.servers import RabbitServer
from tests.service import Service, until

ORDERS = 1000


def a_stranger() -> PaymentRequested:
    """A request of an order that does not exist."""
    return PaymentRequested(
        order_id=OrderId(uuid4()),
        sequence=2,
        at=datetime.now(UTC),
        payment_id=PaymentId(uuid4()),
        amount=Money(100, "EUR"),
    )


def an_accepted_order() -> OrderAccepted:
    """An order of a product that does not exist."""
    line = OrderLine(product_id=ProductId(404), quantity=1, unit_price=Money(100, "EUR"))
    return OrderAccepted(
        order_id=OrderId(uuid4()), at=datetime.now(UTC), user_id=UserId(1), lines=(line,), total=line.total
    )


async def place_and_pay(client: aiohttp.ClientSession, service: Service, product: int) -> str:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
    async with client.post(f"{service.url}/orders", json=body) as response:
        assert response.status == 201
        order: dict[str, Any] = await response.json(content_type=None)
    async with client.post(f"{service.url}/orders/{order['order_id']}/pay") as response:
        assert response.status == 202
    return str(order["order_id"])


async def all_paid(service: Service) -> bool:
    engine = create_engine(service.database)
    try:
        async with SqlUnitOfWork(engine).reading() as tx:
            orders = await tx.orders.page(user_id=None, status=None, before=None, limit=ORDERS + 1)
    finally:
        await engine.dispose()
    return {order.status.value for order in orders} == {"PAID"}


async def dead(service: Service, count: int) -> list[str]:
    """The lines of `holdfast dead list`, when there are so many."""
    lines: list[str] = []

    async def are_there() -> bool:
        nonlocal lines
        lines = (await asyncio.to_thread(service.run, "dead", "list")).strip().splitlines()[1:]
        return len(lines) >= count

    await until(are_there, seconds=60, what="the dead letters are in the table")
    return lines


@pytest.fixture
def on_own_broker(tmp_path: Path, new_database: Any, redis_url: str, own_rabbitmq: RabbitServer) -> Iterator[Service]:
    settings = {"DATABASE_URL": new_database(), "REDIS_URL": redis_url, "AMQP_URL": own_rabbitmq.url}
    service = Service(folder=tmp_path, settings={**settings, "HOLDFAST_NAMESPACE": f"test-{uuid4().hex[:8]}"})
    service.run("migrate")
    yield service
    service.kill()


async def test_poison_delays_none_of_a_thousand_though_the_broker_is_killed_meanwhile(
    on_own_broker: Service, own_rabbitmq: RabbitServer, client: aiohttp.ClientSession
) -> None:
    service, queue = on_own_broker, Topology(on_own_broker.settings["HOLDFAST_NAMESPACE"]).queue("payments")
    product = await asyncio.to_thread(service.add_product, stock=ORDERS)
    # The poison comes first, before any worker starts, so that all good messages are behind it.
    stranger = a_stranger()
    await put(own_rabbitmq.url, queue, b"\xff no JSON")
    await put(own_rabbitmq.url, queue, encode(stranger))
    await asyncio.to_thread(service.start_all, ("api", "worker", "relay"))

    permits = asyncio.Semaphore(32)

    async def buy(number: int) -> None:
        async with permits:
            if number == ORDERS // 2:
                await asyncio.to_thread(own_rabbitmq.kill)
                await asyncio.to_thread(own_rabbitmq.start)
            await place_and_pay(client, service, product)

    async with asyncio.timeout(120):
        await asyncio.gather(*map(buy, range(ORDERS)))
    await until(lambda: all_paid(service), seconds=60, what="all thousand are paid")

    lines = await dead(service, 2)
    assert len(lines) == 2
    assert sorted("NotJson" in line for line in lines) == [False, True]
    [unknown] = [line for line in lines if "UnknownOrder" in line]
    assert str(stranger.order_id) in unknown
    assert await service.findings() == []


@pytest.fixture
def service(stopped: Service) -> Service:
    return stopped


async def test_a_dead_letter_is_seen_replayed_and_discarded_from_the_command_line(service: Service) -> None:
    await asyncio.to_thread(service.run, "migrate")
    stranger = an_accepted_order()
    async with engine_on(service.database) as engine, SqlUnitOfWork(engine)() as tx:
        await tx.outbox.re_enqueue([stranger])
    names = ("api", "worker", "relay") if "AMQP_URL" in service.settings else ("up",)
    await asyncio.to_thread(service.start_all, names)

    [line] = await dead(service, 1)
    assert str(stranger.order_id) in line
    shown = await asyncio.to_thread(service.run, "dead", "show", "1")
    assert "reason    UnknownProduct in application." in shown
    assert ": there is no product" in shown
    assert encode(stranger).decode() in shown

    # Nothing has changed, so the message becomes a new dead letter.
    assert "replayed 1" in await asyncio.to_thread(service.run, "dead", "replay", "--all", "--by", "ana")
    [line] = await dead(service, 1)
    assert line.split()[0] == "2"
    assert "discarded 1" in await asyncio.to_thread(
        service.run, "dead", "discard", "2", "--reason", "x", "--yes", "--by", "ben"
    )
    everything = await asyncio.to_thread(service.run, "dead", "list", "--all")
    assert "REPLAYED" in everything
    assert "DISCARDED" in everything
    assert "DISCARDED by ben" in await asyncio.to_thread(service.run, "dead", "show", "2")


async def test_reconcile_reports_a_charge_without_an_order_and_exits_with_1(migrated: Service) -> None:
    assert "everything agrees" in await asyncio.to_thread(migrated.run, "reconcile")
    async with open_file_ledger(migrated.data / "gateway.db") as ledger:
        gateway = SimulatedGateway(ledger)
        await gateway.charge(PaymentId(uuid4()), Money(1250, "EUR"))
    with pytest.raises(AssertionError, match="exited with 1") as failure:
        await asyncio.to_thread(migrated.run, "reconcile", "--repair")
    assert "1 of 1 discrepancies are left for a person to decide" in str(failure.value)
