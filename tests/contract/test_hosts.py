"""A database of several hosts, of which one takes writes: which of them is used."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.dialects.postgresql.hosts import Hosts
from adapters.sql.dialects.registry import parsed_url
from adapters.sql.health import server_version
from adapters.sql.migrate import migrate
from adapters.sql.signal import open_outbox_signal
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Misconfigured, Unavailable
from tests.cables import Cable, both, cable
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_faults import stock, take
from tests.unit.builders import a_product

SOON = 120.0
Open = Callable[[str], AsyncEngine]


@pytest.fixture
async def first(migrated_postgres: str) -> AsyncIterator[Cable]:
    async with cable(migrated_postgres) as wire:
        yield wire


@pytest.fixture
async def second(migrated_postgres: str) -> AsyncIterator[Cable]:
    async with cable(migrated_postgres) as wire:
        yield wire


async def test_the_first_host_is_used_while_it_takes_writes(first: Cable, second: Cable, open_engines: Open) -> None:
    engine = open_engines(both(first, second))
    await server_version(engine)
    assert (first.connections(), second.connections()) == (1, 0)


async def test_a_host_whose_packets_are_dropped_does_not_use_up_the_time_for_a_connection(
    first: Cable, second: Cable
) -> None:
    first.silent_from_now = True
    url, _ = parsed_url(both(first, second))
    told = {"user": url.username, "password": url.password, "database": url.database}
    async with asyncio.timeout(SOON):
        connection = await Hosts.of(url)(**told, timeout=9 * SOON)
    try:
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()
    first.restore()


async def test_a_host_that_takes_no_writes_is_passed_over_and_the_other_one_remembered(
    first: Cable, second: Cable, open_engines: Open
) -> None:
    # As a standby tells it. The lengths of the messages are in them.
    first.replaces = (
        b"\0\0\0\x26default_transaction_read_only\0off\0",
        b"\0\0\0\x25default_transaction_read_only\0on\0",
    )
    engine = open_engines(both(first, second) + "?sslmode=disable")
    await server_version(engine)
    assert (first.replaced, second.connections()) == (1, 1)
    await engine.dispose()
    await server_version(engine)
    assert first.replaced == 1, "the first host was asked again before the one that takes writes"


async def test_a_host_that_refuses_connections_is_passed_over_by_everything(
    first: Cable, second: Cable, open_engines: Open
) -> None:
    first.plugged = False
    engine = open_engines(both(first, second))
    assert await migrate(engine) == []
    async with open_outbox_signal(engine) as listening, open_outbox_signal(engine) as telling:
        async with asyncio.timeout(SOON):
            # It hears itself when it begins to listen, and then the other one.
            await listening.wait(SOON)
            telling.notify()
            await listening.wait(SOON)


async def test_when_no_host_can_be_used_each_is_named_with_its_reason(
    first: Cable, second: Cable, open_engines: Open
) -> None:
    first.plugged = False
    places = [f"127.0.0.1:{urlsplit(wire.url).port}" for wire in (first, second)]
    dead = both(first, second).replace(places[1], "127.0.0.1:1")
    with pytest.raises(Unavailable) as refusal:
        await server_version(open_engines(dead))
    assert f"PostgreSQL at {places[0]}, 127.0.0.1:1, database" in str(refusal.value)
    assert f"{places[0]}: " in str(refusal.value)
    assert "127.0.0.1:1: " in str(refusal.value)


async def test_a_user_who_is_refused_is_told_so_although_another_host_is_gone(
    first: Cable, second: Cable, open_engines: Open
) -> None:
    first.plugged = False
    with pytest.raises(Misconfigured, match="database no_such_shop does not exist") as refusal:
        await server_version(open_engines(both(first, second).rpartition("/")[0] + "/no_such_shop"))
    assert f"(127.0.0.1:{urlsplit(second.url).port}: database" in str(refusal.value)


@pytest.mark.parametrize("ending", ["in the middle", "while it starts"])
async def test_whatever_keeps_a_host_from_being_used_it_is_named(
    first: Cable, second: Cable, open_engines: Open, ending: str
) -> None:
    second.plugged = False
    if ending == "in the middle":
        first.loses_answer_to = b"holdfast/"
    else:
        # As a server that recovers says it, of which database soever.
        first.replaces = (b"C3D000\0", b"C57P03\0")
    with pytest.raises(Unavailable) as refusal:
        await server_version(open_engines(both(first, second).rpartition("/")[0] + "/no_such_shop?sslmode=disable"))
    for wire in (first, second):
        assert f"127.0.0.1:{urlsplit(wire.url).port}: " in str(refusal.value)


async def test_one_host_that_must_take_writes_and_takes_none_is_refused(first: Cable, open_engines: Open) -> None:
    first.replaces = (
        b"\0\0\0\x26default_transaction_read_only\0off\0",
        b"\0\0\0\x25default_transaction_read_only\0on\0",
    )
    url = f"{first.url}?sslmode=disable"
    assert await server_version(open_engines(url))
    with pytest.raises(Unavailable, match="takes no writes"):
        await server_version(open_engines(f"{url}&target_session_attrs=read-write"))


async def test_a_connection_to_a_host_that_has_become_read_only_is_given_up(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Open
) -> None:
    await keep(SqlUnitOfWork(postgres_engine), products=[a_product(stock=100)])
    engine = open_engines(migrated_postgres)
    async with engine.connect() as connection:
        await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        await connection.commit()
    await take(SqlUnitOfWork(engine))
    assert await stock(SqlUnitOfWork(engine)) == 99


@pytest.mark.parametrize("url", ["postgresql://ana@{}:7/shop", "postgresql://ana@/shop?host={}"])
async def test_a_socket_is_named_by_its_folder(url: str, tmp_path: Path, open_engines: Open) -> None:
    asked = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    port = 7 if ":7" in url else 5432
    async with await asyncio.start_unix_server(accept, tmp_path / f".s.PGSQL.{port}"):
        with suppress(Unavailable):
            await server_version(open_engines(url.format(quote(str(tmp_path), safe=""))))
    assert asked.is_set()
