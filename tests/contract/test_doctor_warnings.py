"""What `holdfast doctor` says of a database that works, and won't for long."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.health import holding_back_vacuum


async def test_a_healthy_database_has_nothing_that_holds_back_vacuum(sql_engine: AsyncEngine) -> None:
    assert await holding_back_vacuum(sql_engine) == []


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM products", "SELECT pg_current_xact_id()"])
async def test_a_session_that_holds_back_vacuum_is_named_without_its_query(
    postgres_engine: AsyncEngine, statement: str
) -> None:
    async with postgres_engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.execute(text(f"{statement} -- a secret"))
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        [holder] = await _after_no_time(postgres_engine)
    assert holder.startswith(f"session {pid} of user ")
    assert "'holdfast', idle in transaction since 20" in holder
    assert "secret" not in holder


async def _after_no_time(engine: AsyncEngine) -> list[str]:
    """As a minute later."""
    query: Any = backend_of(engine).dialect.holding_back_vacuum
    async with asyncio.timeout(20), engine.connect() as connection:
        rows = (await connection.execute(text(query.replace("1 min", "0 s")))).all()
    return [f"{row.holder} since {row.since}" for row in rows if "autovacuum" not in row.holder]
