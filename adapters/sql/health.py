from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Final
from uuid import uuid4

from sqlalchemy import String, TextualSelect, column, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of
from adapters.sql.core.finishing import finish
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.revisions import newest
from adapters.sql.schema import READ_WINDOW, closed_for
from adapters.sql.tables.events import announcements
from adapters.sql.tables.shop import heartbeats
from application.errors import Misconfigured, Unavailable

_REVISION: Final = text("SELECT version_num FROM alembic_version").columns(column("version_num", String()))
_WINDOW: Final = READ_WINDOW.columns(column("serves", String()), column("contracted", String()))
_PROBE: Final = insert(heartbeats)
# What taking an order and its payment does to which tables. A user may lack other rights on purpose, such as those to
# make API keys.
NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Every event is written into it, too.
        "feed_queue": "INSERT",
        "idempotency_keys": "SELECT INSERT",
        "order_events": "SELECT INSERT",
        "order_items": "SELECT INSERT",
        "orders": "SELECT INSERT UPDATE",
        "outbox": "SELECT INSERT DELETE",
        "payments": "SELECT INSERT UPDATE",
        "products": "SELECT UPDATE",
    }
)

_HARM: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fsync": "when its machine fails, the server may lose orders that were answered, or all data. Switch it on",
        "full_page_writes": "when its machine fails, the server may lose all data. Switch it on",
        "synchronous_commit": "when it is killed, the server may lose orders that were answered. Switch it on for the"
        " server, the database and the user",
        "server_encoding": "a text with a character that it lacks could not be stored. Take a database that was made"
        " with `createdb --encoding=UTF8 --template=template0`",
    }
)


async def server_version(engine: AsyncEngine) -> str:
    """As in `PostgreSQL 15.19`. Raise `Unavailable`, whose words tell a person what to look at."""
    dialect = backend_of(engine).dialect
    async with connected(engine, reading=True) as connection:
        version = str((await connection.execute(text(dialect.version))).scalar_one())
    # Debian adds its own number in brackets.
    return f"{dialect.name} {version.split(maxsplit=1)[0]}"


async def expect_writable(engine: AsyncEngine) -> None:
    """Write a row as requests do, and roll back. Raise if nothing can be written, or if the tables don't serve us.

    The row is none of an order, so the rights to those tables are asked for.
    """
    block = TransactionBlock(engine, writing=True)
    try:
        await block.change(_PROBE, {"kind": "probe", "instance": str(uuid4()), "seen_at": datetime.now(UTC)})
        found = (await block.fetch(_REVISION))[0].version_num
        # A later release may have taken away what this one needs, while this process could not be seen.
        serves = (await block.fetch(_WINDOW))[0].serves if found > newest() else newest()
        lacking = await block.fetch(_lacking(block.dialect.may))
    finally:
        await finish(block.rollback())
    if found < newest():
        raise Unavailable(f"the tables are at revision {found}, this version needs {newest()}")
    if serves > newest():
        raise Unavailable(closed_for(serves))
    if lacking:
        rights = ", ".join(f"{each.privilege} on {each.name}" for each in lacking)
        raise Misconfigured(f"this user lacks rights, or tables are missing: {rights}. Grant it the rights")


@cache
def _lacking(may: str) -> TextualSelect:
    """The needs of which this condition does not hold."""
    needs = (
        f"SELECT '{name}' AS name, '{privilege}' AS privilege"
        for name, privileges in NEEDED.items()
        for privilege in privileges.split()
    )
    statement = f"SELECT name, privilege FROM ({' UNION ALL '.join(needs)}) AS need WHERE NOT {may}"  # noqa: S608 - names of ours
    return text(statement).columns(column("name", String()), column("privilege", String()))


async def expect_room_on_server(engine: AsyncEngine) -> None:
    """Take a page of the server's disk, and give it back. Raise if there is none: `Unavailable`.

    That is dearer than the row of `expect_writable`, which may fit where there was one before.
    """
    take_page = backend_of(engine).dialect.take_page
    if take_page is None:
        return
    block = TransactionBlock(engine, writing=True)
    try:
        await block.change(take_page)
    except Misconfigured:
        # The user has no right to make temporary tables, and needs none.
        return
    finally:
        await finish(block.rollback())


async def refused_announcements(engine: AsyncEngine) -> tuple[int, datetime] | None:
    """How many announcements wait because others' queues refused them, and since when. Raise `Unavailable`."""
    waiting = select(func.count(), func.min(announcements.c.since))
    async with connected(engine, reading=True) as connection:
        count, since = (await connection.execute(waiting)).one()
    return (count, since) if count else None


async def holding_back_vacuum(engine: AsyncEngine) -> list[str]:
    """Sessions and slots that keep removed rows from being cleaned up for more than a minute, which slows queries down.

    Raise `Unavailable`.
    """
    query = backend_of(engine).dialect.holding_back_vacuum
    if query is None:
        return []
    async with connected(engine, reading=True) as connection:
        rows = (await connection.execute(text(query))).all()
    return [row.holder + (f" since {row.since:%Y-%m-%d %H:%M:%S %Z}" if row.since else "") for row in rows]


async def unsafe_settings(engine: AsyncEngine) -> dict[str, str]:
    """By the name of each setting that breaks a promise: what it may cost, and what to do. Raise `Unavailable`."""
    query = backend_of(engine).dialect.unsafe_settings
    if query is None:
        return {}
    async with connected(engine, reading=True) as connection:
        rows = (await connection.execute(text(query))).all()
    return {row.name: f"{row.name} is {row.setting}: {_HARM[row.name]}" for row in rows}


async def standby_problem(engine: AsyncEngine, *, hosts: int) -> str | None:
    """What a failover would lose, or why there can be none. `hosts` are so many as are named. Raise `Unavailable`."""
    query = backend_of(engine).dialect.replication
    if query is None:
        return None
    async with connected(engine, reading=True) as connection:
        found = (await connection.execute(text(query))).one()
    if found.names and not found.synchronous and not found.hidden:
        return (
            f"every commit waits: synchronous_standby_names is {found.names!r}, and no such standby is connected."
            " See to the standbys"
        )
    if found.standbys and not found.names:
        return (
            f"commits wait for none of {found.standbys} standbys, so a failover can lose orders that were answered:"
            " set `synchronous_mode: quorum` in Patroni, or synchronous_standby_names"
        )
    if hosts > 1 and not found.standbys:
        return f"DATABASE_URL names {hosts} hosts, and no standby is connected to the primary: there can be no failover"
    return None
