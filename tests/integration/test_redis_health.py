import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis

from adapters.redis.health import server_version
from application.errors import Unavailable
from tests.servers import Process, RedisServer, free_port, plain_environment
from tests.servers.packages import find_redis


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
