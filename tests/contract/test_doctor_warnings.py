"""Warnings of `holdfast doctor` about a database that works, and won't for long."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.health import holding_back_vacuum
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.outbox import Announcement
from entrypoints.doctor import warnings
from entrypoints.settings import Settings
from tests.brokers import entries, order_paid


async def test_a_healthy_database_has_nothing_that_holds_back_vacuum(sql_engine: AsyncEngine) -> None:
    assert await holding_back_vacuum(sql_engine) == []


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM products", "SELECT pg_current_xact_id()"])
async def test_a_session_that_holds_back_vacuum_is_named_without_its_query(
    postgres_engine: AsyncEngine, statement: str
) -> None:
    async with postgres_engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await connection.execute(text(f"{statement} -- a secret"))
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        [holder] = await _after_no_time(postgres_engine)
    assert holder.startswith(f"session {pid} of user ")
    assert "'holdfast', idle in transaction since 20" in holder
    assert "secret" not in holder


async def _after_no_time(engine: AsyncEngine) -> list[str]:
    """As a minute later."""
    query: Any = backend_of(engine).dialect.holding_back_vacuum
    async with asyncio.timeout(60), engine.connect() as connection:
        rows = (await connection.execute(text(query.replace("1 min", "0 s")))).all()
    return [f"{row.holder} since {row.since}" for row in rows if "autovacuum" not in row.holder]


async def test_announcements_that_are_refused_are_told_with_what_to_do(sql_engine: AsyncEngine, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, namespace="pens")
    assert not any("announcements" in warning for warning in await warnings(settings, sql_engine))
    since = datetime(2026, 11, 21, 12, tzinfo=UTC)
    async with SqlUnitOfWork(sql_engine)() as tx:
        await tx.announcements.put_off(
            [
                Announcement(entry=entry, attempts=1, since=since + timedelta(days=entry.position))
                for entry in entries(order_paid(1), order_paid(2))
            ]
        )
    [warning] = [each for each in await warnings(settings, sql_engine) if "announcements" in each]
    assert "announcements are refused by the broker since 2026-11-21 12:00:00, 2 wait" in warning
    assert "pens.events" in warning
    assert "rabbitmqctl list_bindings" in warning
