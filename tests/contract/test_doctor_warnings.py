"""Warnings of `holdfast doctor` about a database that works, and won't for long."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.health import holding_back_vacuum, standby_problem
from adapters.sql.revisions import newest
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.outbox import Announcement
from entrypoints.doctor import warnings
from entrypoints.settings import Settings
from tests.brokers import entries, order_paid
from tests.engines import engine_on
from tests.servers import PostgresServer, Process, plain_environment
from tests.servers.packages import find_postgres
from tests.service import until


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
    assert f"'holdfast/{newest()}', idle in transaction since 20" in holder
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
    assert "announcements have been refused by the broker since 2026-11-21 12:00:00, 2 wait" in warning
    assert "pens.events" in warning
    assert "rabbitmqctl list_bindings" in warning


async def test_hosts_without_a_standby_are_told(sql_engine: AsyncEngine, postgres_engine: AsyncEngine) -> None:
    assert await standby_problem(sql_engine, hosts=1) is None
    assert "names 3 hosts, and no standby is connected" in str(await standby_problem(postgres_engine, hosts=3))


async def test_how_standbys_commit_is_told(own_postgres: PostgresServer, tmp_path: Path) -> None:
    # It streams as a standby does, and says what it has on its disk.
    mirror = Process(
        argv=[
            *(str(find_postgres() / "pg_receivewal"), "--directory", str(tmp_path), "--synchronous"),
            *("--dbname", f"host=127.0.0.1 port={own_postgres.port} user=postgres application_name=mirror"),
        ],
        log=tmp_path / "log",
        env=plain_environment(),
    ).start()
    try:
        async with engine_on(own_postgres.url) as engine:

            async def is_told(words: str | None) -> bool:
                found = await standby_problem(engine, hosts=2)
                return found is None if words is None else words in str(found)

            await until(partial(is_told, "commits wait for none of 1 standbys"), seconds=20, what="it is asynchronous")
            await _wait_for(own_postgres, "mirror")
            await until(partial(is_told, None), seconds=20, what="it is synchronous")
            await _wait_for(own_postgres, "another")
            await until(partial(is_told, "every commit waits"), seconds=20, what="another one is missing")
    finally:
        mirror.kill()


async def _wait_for(server: PostgresServer, standby: str) -> None:
    connection = await asyncpg.connect(server.url, timeout=30)
    try:
        await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
