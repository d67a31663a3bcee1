"""Where the database is, and what is said when it isn't there."""

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine
from adapters.sql.health import server_version
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Misconfigured, Unavailable


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ana:hidden@127.0.0.1:1/shop", "127.0.0.1:1, database shop refuses connections"),
        ("ana:hidden@there.invalid/shop", "there.invalid:5432, database shop can't be found"),
    ],
)
async def test_a_server_that_cannot_be_reached_is_named_without_its_password(
    address: str, words: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    with pytest.raises(Unavailable, match=words) as caught:
        await server_version(open_engines(f"postgresql://{address}"))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("state", ["XX000", "55000", "22023"])
async def test_a_server_that_begins_no_session_is_unavailable_whatever_it_says(
    state: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    """As with a full disk: "could not write init file"."""
    said = b"SFATAL\0VFATAL\0C" + state.encode() + b"\0Mcould not write init file\0\0"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # First the driver asks for TLS, which takes eight bytes.
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.read(1024)
        writer.write(b"E" + (len(said) + 4).to_bytes(4, "big") + said)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="it begins no session: could not write init file"):
            await server_version(open_engines(f"postgresql://ana@127.0.0.1:{port}/shop"))


async def test_a_database_that_does_not_exist_is_named(
    migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    url = f"{migrated_postgres.rpartition('/')[0]}/no_such_shop"
    with pytest.raises(Misconfigured, match="database no_such_shop does not exist"):
        await server_version(open_engines(url))


async def test_a_right_that_the_user_lacks_is_named(
    migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    user = f"clerk_{secrets.token_hex(4)}"
    parts = urlsplit(migrated_postgres)
    address = f"{user}:hidden@{parts.hostname}:{parts.port or 5432}"
    admin = await asyncpg.connect(migrated_postgres.replace("postgresql+asyncpg", "postgresql"), timeout=30)
    try:
        await admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'hidden'")
        shop = SqlUnitOfWork(open_engines(urlunsplit(parts._replace(netloc=address))))
        with pytest.raises(Misconfigured, match=r"refuses a right that this user needs.*grant") as refusal:
            async with shop() as tx:
                await tx.products.page(after=None, limit=1)
        assert "hidden" not in str(refusal.value)
    finally:
        await admin.execute(f"DROP ROLE {user}")
        await admin.close()


@pytest.mark.parametrize("path", ["/no/such/folder/shop.db", "/"])
async def test_a_sqlite_file_that_cannot_be_opened_is_named(
    path: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    with pytest.raises(Unavailable, match=f"SQLite file {path} can't be opened"):
        await server_version(open_engines(f"sqlite:///{path}"))


async def test_a_sqlite_file_that_is_no_file_is_not_opened(
    open_engines: Callable[[str], AsyncEngine], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "shop.db")
    with pytest.raises(Unavailable, match="can't be opened"):
        await server_version(open_engines(f"sqlite:///{tmp_path / 'shop.db'}"))


async def test_a_sqlite_file_that_is_none_is_named(open_engines: Callable[[str], AsyncEngine], tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("a shopping list" * 100)
    with pytest.raises(Unavailable, match="is not a database"):
        await server_version(open_engines(f"sqlite:///{tmp_path / 'shop.db'}"))


@pytest.mark.parametrize(
    "url",
    [
        "postgres://ana@127.0.0.1/shop",
        "postgresql://ana@127.0.0.1/shop?sslmode=require&application_name=till",
        "postgresql+asyncpg://ana@127.0.0.1/shop",
        "sqlite:///shop.db",
        "sqlite+aiosqlite:///shop.db",
    ],
)
def test_a_url_may_be_spelt_in_the_usual_ways(url: str) -> None:
    assert create_engine(url).url.database in {"shop", "shop.db"}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ana:hidden@127.0.0.1/shop",
        "ana:hidden",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://ana:hidden@127.0.0.1:many/shop",
        "postgresql://ana:hidden@127.0.0.1/shop?colour=hidden",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|database") as caught:
        create_engine(url)
    assert "hidden" not in str(caught.value)
