from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Column, DateTime, Delete, Dialect, FromClause, Select, bindparam, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

from adapters.sql.dialects.base import SqlDialect
from adapters.sql.dialects.documents import JsonList, JsonRows
from adapters.sql.dialects.on_conflict import InsertsOnConflict
from adapters.sql.dialects.sqlite.connections import SqliteConnections
from adapters.sql.dialects.sqlite.driver import Aiosqlite
from adapters.sql.dialects.sqlite.errors import SqliteErrors

_ROWS: Final = "new_rows"


class NaiveUtc(TypeDecorator[datetime]):
    """A moment, stored in UTC because SQLite has no time zones, and read back with its time zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


@frozen
class DocumentRows:
    """Rows are sent as one JSON document."""

    def list_type(self, item: TypeEngine[Any]) -> TypeEngine[Any]:
        return JsonList(item)

    def new(self, columns: Sequence[Column[Any]]) -> FromClause:
        rows = bindparam(_ROWS, type_=JsonRows(tuple(column.type for column in columns)))
        each = func.json_each(rows).table_valued("key", "value")
        values = [
            func.json_extract(each.c.value, f"$[{index}]", type_=column.type).label(column.name)
            for index, column in enumerate(columns)
        ]
        return select(*values).order_by(each.c.key).subquery("new")

    def parameters(self, names: Sequence[str], columns: Sequence[list[Any]]) -> dict[str, Any]:  # noqa: ARG002
        return {_ROWS: columns}

    def look_up(self, new: FromClause, matching: Select[Any]) -> Select[Any]:  # noqa: ARG002 - `matching` joins it already
        return matching


@frozen
class WriterLocks:
    """No locks are needed: the only writer has locked the whole database."""

    try_each = None
    wait_for = None
    writers = None
    migrating = None

    def without_vacuum(self, tables: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 - there is no such thing
        return []


@frozen
class FullDurability:
    def need_not_last(self, delete: Delete) -> Delete:
        return delete

    must_last = None


@frozen
class SqliteExpressions:
    def among(self, value: str, values: str) -> str:
        return f"{value} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - of compiled parts

    def json_rows(self, columns: str) -> str:
        return f"json_group_array(json_array({columns}))"

    def from_now(self, seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


SQLITE: Final = SqlDialect(
    name="SQLite",
    version="SELECT sqlite_version()",
    # There are no rights.
    may="need.name IN (SELECT name FROM sqlite_master)",
    holding_back_vacuum=None,
    unsafe_settings=None,
    sessions=None,
    replication=None,
    transactional_ddl=True,
    # It is too late for this in a transaction.
    suspend_foreign_keys=("PRAGMA foreign_keys = OFF", "PRAGMA foreign_key_check"),
    empty=lambda tables: [f"DELETE FROM {table}" for table in tables],  # noqa: S608 - names of our own tables
    take_page=None,
    moment=NaiveUtc(),
    connections=SqliteConnections(),
    driver=Aiosqlite(),
    errors=SqliteErrors(),
    rows=DocumentRows(),
    inserts=InsertsOnConflict(sqlite.insert),
    locks=WriterLocks(),
    durability=FullDurability(),
    expressions=SqliteExpressions(),
    # A file has one process, whose caches end with it.
    mark=None,
    lineage=None,
    # SQLite can't notify other processes.
    signal=None,
)
