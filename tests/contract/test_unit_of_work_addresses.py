"""Where the database is, and what is said when it isn't there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine
from adapters.sql.health import server_version
from application.errors import Unavailable


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


async def test_a_database_that_does_not_exist_is_named(
    migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    url = f"{migrated_postgres.rpartition('/')[0]}/no_such_shop"
    with pytest.raises(Unavailable, match="database no_such_shop has no database of this name"):
        await server_version(open_engines(url))


@pytest.mark.parametrize("path", ["/no/such/folder/shop.db", "/"])
async def test_a_sqlite_file_that_cannot_be_opened_is_named(
    path: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    with pytest.raises(Unavailable, match=f"SQLite file {path} can't be opened"):
        await server_version(open_engines(f"sqlite:///{path}"))


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
