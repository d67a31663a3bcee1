"""Which servers there may be: PostgreSQL alone, or with one of the two others."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from adapters.rabbitmq.topology import Topology
from adapters.sql.migrate import migrate
from application.access.principal import ANYBODY
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import NewProduct
from application.catalogue.adjust_stock import StockCall
from application.intake.order_request import OrderRequest, RequestedItem
from domain.ids import ProductId, UserId
from domain.money import Money
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.connections import open_container
from entrypoints.read_settings import read_settings
from entrypoints.settings import Settings
from tests.brokers import removed
from tests.engines import engine_on


@asynccontextmanager
async def replicas(settings: Settings) -> AsyncIterator[tuple[UseCases, UseCases]]:
    """Two processes, as far as the ports can tell: each has its own connections and its own memory."""
    async with AsyncExitStack() as stack:
        one, another = [await stack.enter_async_context(open_container(settings)) for _ in range(2)]
        yield one.use_cases(), another.use_cases()
        await one.use_cases().drained()
        await another.use_cases().drained()


@pytest.fixture
async def settings(
    request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[], str]
) -> AsyncIterator[Settings]:
    environment = {
        "DATABASE_URL": new_database(),
        "HOLDFAST_DATA": str(tmp_path),
        # A slow machine would queue some of the orders.
        "HOLDFAST_INTAKE": "direct",
        "HOLDFAST_NAMESPACE": f"test-{secrets.token_hex(6)}",
        **{variable: request.getfixturevalue(fixture) for variable, fixture in request.param.items()},
    }
    settings = read_settings(environment)
    async with engine_on(settings.database_url) as engine:
        await migrate(engine)
    if not settings.amqp_url:
        yield settings
        return
    async with removed(settings.amqp_url, Topology(settings.namespace)):
        yield settings


def wanted(product: ProductId) -> OrderRequest:
    return OrderRequest(user_id=UserId(7), items=(RequestedItem(product, 2),))


async def a_product_of(shop: UseCases) -> ProductId:
    new = NewProduct(id=None, name="Pen", price=Money(1250, "EUR"), stock=10)
    [product] = await shop.add_products(ANYBODY, [new])
    assert not isinstance(product, Exception)
    return product.id


@pytest.mark.parametrize("settings", [{}, {"AMQP_URL": "amqp_url"}, {"REDIS_URL": "redis_url"}], indirect=True)
async def test_a_change_is_read_on_every_replica_as_soon_as_it_is_answered(settings: Settings) -> None:
    async with replicas(settings) as (one, another):
        product = await a_product_of(one)
        for shop, other in [(one, another), (another, one)] * 5:
            order = await shop.place_order(ANYBODY, wanted(product))
            assert isinstance(order, Order)
            assert await other.get_order(ANYBODY, order.id) == order
            cancelled = await other.cancel_order(ANYBODY, order.id)
            assert cancelled.status is OrderStatus.CANCELLED
            assert await shop.get_order(ANYBODY, order.id) == cancelled
            await shop.adjust_stock(ANYBODY, [StockCall(product_id=product, delta=1, reason="count")])
            [listed] = await other.list_products(ANYBODY, after=None, limit=10)
            assert listed == await shop.get_product(ANYBODY, product)
