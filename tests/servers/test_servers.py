import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from aio_pika import DeliveryMode, Message, connect
from redis.asyncio import Redis

from tests.servers import (
    PostgresServer,
    Process,
    RabbitServer,
    RedisServer,
    ServerFailed,
    keeper,
    plain_environment,
    wait_until,
)


async def test_the_shared_servers_serve(postgres_url: str, redis_url: str, amqp_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    async with Redis.from_url(redis_url) as redis:
        assert await redis.ping()
    async with await connect(amqp_url) as broker, broker.channel() as channel:
        assert channel.is_initialized


async def test_postgres_keeps_its_data_and_its_port_when_killed(own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    before = own_postgres.pid

    own_postgres.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(own_postgres.url)
    connection.terminate()
    await asyncio.to_thread(own_postgres.start)

    assert own_postgres.pid != before
    connection = await asyncpg.connect(own_postgres.url)
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()


async def test_a_postgres_that_is_like_another_begins_with_its_data(own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    await asyncio.to_thread(own_postgres.stop)
    copy = PostgresServer(like=own_postgres)
    try:
        await asyncio.to_thread(copy.start)
        await asyncio.to_thread(own_postgres.start)

        in_copy, in_original = await asyncpg.connect(copy.url), await asyncpg.connect(own_postgres.url)
        await in_copy.execute("UPDATE kept SET number = 8")
        assert await in_copy.fetchval("SELECT number FROM kept") == 8
        assert await in_original.fetchval("SELECT number FROM kept") == 7
        await in_copy.close()
        await in_original.close()
    finally:
        await asyncio.to_thread(copy.close)


def test_a_running_postgres_is_not_copied(own_postgres: PostgresServer) -> None:
    with pytest.raises(ServerFailed, match="running"), PostgresServer(like=own_postgres):
        pass


async def test_a_paused_postgres_is_silent_until_it_is_resumed(own_postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    own_postgres.pause()
    answer = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait({answer}, timeout=0.3)
    assert not done
    own_postgres.resume()
    assert await asyncio.wait_for(answer, 60) == 1
    await connection.close()


async def test_redis_is_paused_restarted_and_empty(own_redis: RedisServer) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        await redis.set("key", "value")
    await asyncio.to_thread(own_redis.restart)
    async with Redis.from_url(own_redis.url) as redis:
        assert await redis.get("key") is None


async def test_rabbitmq_keeps_what_it_confirmed_when_killed(own_rabbitmq: RabbitServer) -> None:
    async with await connect(own_rabbitmq.url) as broker, broker.channel() as channel:
        await channel.declare_queue("kept", durable=True)
        await asyncio.to_thread(own_rabbitmq.sync)
        message = Message(b"confirmed", delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="kept")

    own_rabbitmq.kill()
    await asyncio.to_thread(own_rabbitmq.start)

    async with await connect(own_rabbitmq.url) as broker, broker.channel() as channel:
        kept = await (await channel.get_queue("kept")).get(timeout=60)
        assert kept is not None
        assert kept.body == b"confirmed"


def test_a_closed_server_leaves_nothing_behind(own_redis: RedisServer) -> None:
    folder, port = own_redis.folder, urlsplit(own_redis.url).port
    own_redis.close()
    assert not folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port or 0)) != 0


# Bears children without a pause, as a server does while its clients come.
_MOTHER = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if not os.fork():
        time.sleep(0.5)
        os._exit(0)
    time.sleep(0.0005)
"""


@pytest.mark.parametrize("_", range(5))
def test_a_killed_process_leaves_no_newborn_child_behind(tmp_path: Path, _: int) -> None:
    mother = Process(argv=[sys.executable, "-c", _MOTHER], log=tmp_path / "log", env=plain_environment()).start()
    wait_until(lambda: len(keeper.tree(mother.pid)) > 20, seconds=20, what="there are children")

    mother.kill()

    assert _of_session(mother.pid) == set()


def _of_session(session: int) -> set[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,sess=,state="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listing.stdout.splitlines()]
    return {int(pid) for pid, sid, state in rows if int(sid) == session and state not in {"Z", "X"}}
