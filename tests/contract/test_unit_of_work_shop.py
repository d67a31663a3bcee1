"""What is true of the shop as a whole, on every adapter."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.migrate import migrate
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Unavailable
from application.execution.after_commit import propagate_nothing
from tests.contract.conftest import OpenUnitOfWork


async def test_the_secret_stays_as_it_is(open_unit_of_work: OpenUnitOfWork) -> None:
    read = []
    for _ in range(2):
        async with open_unit_of_work(propagate_nothing).reading() as tx:
            read.append(await tx.shop.secret())
    assert read[0] == read[1]
    assert len(read[0]) == 32


async def test_each_database_has_its_own(tmp_path: Path, open_engines: Callable[[str], AsyncEngine]) -> None:
    secrets = set()
    for name in ("one", "other"):
        engine = open_engines(f"sqlite:///{tmp_path / name}.db")
        await migrate(engine)
        async with SqlUnitOfWork(engine).reading() as tx:
            secrets.add(await tx.shop.secret())
    assert len(secrets) == 2


async def test_before_the_migration_there_is_none(sql_engine: AsyncEngine) -> None:
    async with sql_engine.begin() as connection:
        await connection.execute(text("UPDATE shop SET secret = NULL"))
    with pytest.raises(Unavailable, match="holdfast migrate"):
        async with SqlUnitOfWork(sql_engine).reading() as tx:
            await tx.shop.secret()
