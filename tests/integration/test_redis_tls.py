"""Redis behind TLS: to open a connection takes longer than a call may, and no call waits for it."""

import asyncio
import secrets

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from adapters.redis.client import open_redis
from adapters.redis.connections import Connection, Connections, ConnectionsClosed, connector
from adapters.redis.health import server_version
from adapters.redis.recent_orders import RedisRecentOrders
from application.errors import Unavailable
from domain.ids import OrderId
from domain.orders.order import Order
from tests.brokers import eventually
from tests.cables import PATIENCE, cable
from tests.servers import TlsRedisServer
from tests.unit.builders import an_order

# Seconds for each direction. A round trip takes less than `CALL`; to open a connection takes several and so more.
DELAY = 0.7
CALL = 2.0


def new_orders(count: int) -> list[Order]:
    return [evolve(an_order(), id=OrderId(uuid7())) for _ in range(count)]


def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


async def test_a_handshake_that_takes_longer_than_a_call_is_waited_for(tls_redis: TlsRedisServer) -> None:
    async with cable(tls_redis.url) as slow:
        slow.delay = DELAY
        # A process that starts without Redis would not try again during this test.
        async with open_redis(slow.url, timeout=CALL, connect_timeout=PATIENCE, retry_every=PATIENCE) as redis:
            slow.delay = 0
            orders, (order,) = RedisRecentOrders(redis, namespace()), new_orders(1)
            await orders.put_many([order])
            assert await orders.get_many([order.id]) == {order.id: order}


async def test_no_call_waits_for_a_connection_that_is_being_opened(tls_redis: TlsRedisServer) -> None:
    async with cable(tls_redis.url) as link, open_redis(link.url, timeout=CALL, retry_every=PATIENCE) as redis:
        orders = RedisRecentOrders(redis, namespace())
        many = new_orders(40)
        await orders.put_many(many)
        # From here on no new connection can be opened.
        link.silent_from_now = True
        found = await asyncio.gather(*(orders.get_many([order.id]) for order in many))
        assert found == [{order.id: order} for order in many]


async def test_calls_at_once_are_spread_over_several_connections(tls_redis: TlsRedisServer) -> None:
    async with cable(tls_redis.url) as link, open_redis(link.url, timeout=CALL) as redis:
        orders = RedisRecentOrders(redis, namespace())
        many = new_orders(40)
        await orders.put_many(many)
        async with asyncio.timeout(PATIENCE):
            while link.connections() < 3:
                await asyncio.gather(*(orders.get_many([order.id]) for order in many))
        assert await orders.get_many([many[0].id]) == {many[0].id: many[0]}


async def test_a_call_that_is_given_up_loses_its_connection_and_no_other_call(tls_redis: TlsRedisServer) -> None:
    async with open_redis(tls_redis.url, timeout=CALL, retry_every=PATIENCE) as redis:
        orders, (order, another) = RedisRecentOrders(redis, namespace()), new_orders(2)
        await orders.put_many([order, another])
        for _ in range(5):
            given_up = asyncio.ensure_future(orders.get_many([another.id]))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait({given_up})
            assert await orders.get_many([order.id]) == {order.id: order}


async def test_a_connection_that_is_being_opened_is_closed_with_the_others(tls_redis: TlsRedisServer) -> None:
    # What is left open fails the module at its end.
    for turns in range(25):
        async with open_redis(tls_redis.url, timeout=CALL, retry_every=PATIENCE) as redis:
            orders = RedisRecentOrders(redis, namespace())
            calls = [asyncio.ensure_future(orders.get_many([order.id])) for order in new_orders(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.wait(calls)


async def test_closing_that_is_given_up_leaves_no_open_connection_and_calls_open_none(
    tls_redis: TlsRedisServer,
) -> None:
    async with cable(tls_redis.url) as link:
        connections = Connections(connector(link.url)(on_connect), connect_timeout=PATIENCE)
        await connections.open()
        link.silent_from_now = True
        # One has the connection, the others wait for another one, which is being opened.
        calls = [asyncio.ensure_future(connections.execute("BLPOP", namespace(), 0)) for _ in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(connections.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        async with asyncio.timeout(PATIENCE):
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(each) for each in ended[1:]] == [ConnectionsClosed] * 2
        await eventually(lambda: not link.connections())
        await connections.close()


async def on_connect(connection: Connection) -> None:
    await connection.on_connect()


async def test_the_version_of_a_server_with_tls_is_told(tls_redis: TlsRedisServer) -> None:
    assert (await server_version(tls_redis.url)).startswith(("Redis", "Valkey"))


async def test_a_certificate_that_nobody_trusts_is_refused(tls_redis: TlsRedisServer) -> None:
    distrusted = tls_redis.url.partition("?")[0]
    with pytest.raises(Unavailable, match="certificate"):
        await server_version(distrusted)
    async with open_redis(distrusted) as redis:
        orders, (order,) = RedisRecentOrders(redis, namespace()), new_orders(1)
        await orders.put_many([order])
        assert await orders.get_many([order.id]) == {}
