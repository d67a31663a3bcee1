import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis

from adapters.redis.carts import RedisCarts
from adapters.redis.client import open_redis
from adapters.redis.health import server_version
from adapters.redis.recent_orders import RedisRecentOrders
from application.errors import Unavailable
from domain.cart import Cart, CartItem
from domain.ids import ProductId, UserId
from entrypoints.doctor import cache_warnings
from entrypoints.settings import Settings
from tests.integration.test_compose import SERVICES
from tests.servers import Process, RedisServer, free_port, plain_environment
from tests.servers.packages import find_redis
from tests.unit.builders import an_order, euros


async def test_the_server_says_what_it_is(redis_url: str) -> None:
    name, version = (await server_version(redis_url)).split()
    assert name in {"Redis", "Valkey"}
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:secret@127.0.0.1:1/0", "Redis at 127.0.0.1:1 refuses the connection: start it"),
        ("redis://:secret@localhost:1/0", "Redis at localhost:1 refuses the connection: start it"),
        ("redis://:secret@redis.invalid/0", "Redis at redis.invalid:6379 can't be found: its host name is unknown"),
        ("unix://:secret@/nowhere/redis.sock", "Redis at /nowhere/redis.sock can't be found: there is no such socket"),
        ("http://:secret@localhost", "not an address of Redis, which looks like redis://"),
        ("redis://:sec/ret@localhost", "not an address of Redis, which looks like redis://"),
        ("", "not an address of Redis, which looks like redis://"),
    ],
)
async def test_what_is_wrong_is_said_and_the_password_is_not(url: str, words: str) -> None:
    with pytest.raises(Unavailable) as refused:
        await server_version(url)
    assert words in str(refused.value)
    assert "sec" not in str(refused.value).replace("socket", "")


async def test_a_wrong_password_is_named_as_the_reason(own_redis: RedisServer) -> None:
    async with Redis.from_url(own_redis.url) as raw:
        await raw.config_set("requirepass", "secret")
    wrong = urlunsplit(urlsplit(own_redis.url)._replace(netloc=f":another@127.0.0.1:{own_redis.port}"))
    right = wrong.replace("another", "secret")
    for url in (own_redis.url, wrong):
        with pytest.raises(Unavailable, match="refuses the user or the password") as refused:
            await server_version(url)
        assert "another" not in str(refused.value)
    assert "." in await server_version(right)


async def test_a_silent_server_is_given_up(own_redis: RedisServer) -> None:
    own_redis.pause()
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match=f"127.0.0.1:{own_redis.port} gave no answer in 2 s"):
            await server_version(own_redis.url)
    own_redis.resume()


async def test_a_node_of_redis_cluster_is_called_what_it_is(server_programs: None) -> None:
    with (
        RedisServer(options=["--cluster-enabled", "yes"]) as server,
        pytest.raises(Unavailable, match="is a node of Redis Cluster, which Holdfast can't use"),
    ):
        await server_version(server.url)


async def test_a_sentinel_is_called_what_it_is(own_redis: RedisServer, tmp_path: Path) -> None:
    port, settings = free_port(), tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    sentinel = Process(
        argv=[str(find_redis()), str(settings), "--sentinel"], log=tmp_path / "log", env=plain_environment()
    ).start()
    try:
        sentinel.wait_for(lambda: _is_open(port), seconds=10, what="the Sentinel listens")
        with pytest.raises(Unavailable, match="is a Sentinel, which keeps no data"):
            await server_version(f"redis://127.0.0.1:{port}/0")
    finally:
        sentinel.kill()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# That of compose.yaml, which is full much earlier.
_COMPOSE = ["4mb" if each == "256mb" else each for each in SERVICES["redis"]["command"][1:]]


async def test_a_full_redis_keeps_carts_and_accepted_orders(server_programs: None) -> None:
    """As compose.yaml sets it up: what is kept nowhere else is not dropped for what was read a moment ago."""
    with RedisServer(options=_COMPOSE) as server:
        async with open_redis(server.url, timeout=60) as redis, Redis.from_url(server.url) as raw:
            recent, carts = RedisRecentOrders(redis, ttl=600), RedisCarts(redis)
            accepted = [an_order(number=number) for number in range(1, 21)]
            await recent.put_accepted(accepted)
            pens = CartItem(product_id=ProductId(1), quantity=2, unit_price=euros(1250))
            cart = await carts.change(UserId(1), lambda _: Cart(items=(pens,)))
            number = 1000
            while (await raw.info("stats"))["evicted_keys"] < 1000:
                await recent.put_many([an_order(number=number + more) for more in range(100)])
                number += 100
            assert await recent.get_accepted([order.id for order in accepted]) == {each.id: each for each in accepted}
            assert await carts.get(UserId(1)) == cart


async def test_a_policy_by_which_they_would_be_dropped_is_named(own_redis: RedisServer) -> None:
    settings = Settings(redis_url=own_redis.url, database_url="postgresql://localhost/shop")
    async with Redis.from_url(own_redis.url) as raw:
        for policy in (
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
        ):
            await raw.config_set("maxmemory-policy", policy)
            await raw.config_set("maxmemory", "100mb")
            [named] = await cache_warnings(settings)
            assert f"maxmemory-policy {policy}" in named
            # Without a limit it is never full.
            await raw.config_set("maxmemory", 0)
            assert await cache_warnings(settings) == []
        await raw.config_set("maxmemory", "100mb")
        for policy in ("noeviction", "volatile-ttl"):
            await raw.config_set("maxmemory-policy", policy)
            assert await cache_warnings(settings) == []
    own_redis.stop()
    assert await cache_warnings(settings) == []
