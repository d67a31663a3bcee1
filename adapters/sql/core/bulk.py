"""Statements over any number of rows, with the same text for every number.

So the database plans one prepared statement for all sizes of batches, SQLAlchemy compiles the statement once, and a
batch never exceeds the maximum number of parameters.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field
from sqlalchemy import Executable, FromClause, Insert, Table, insert, select

from adapters.sql.dialects.base import SqlDialect

E = TypeVar("E")

# For each column, by its name: the function that gets the value from an entity.
Written = Mapping[str, Callable[[E], Any]]
Build = Callable[[FromClause, SqlDialect], Executable | Sequence[Executable]]


@define(eq=False)
class BulkStatement(Generic[E]):
    """One or more statements over the same rows, built once for each dialect by `build(new, dialect)`.

    `new` has one row for each entity, with those columns of the table that `written` names.
    """

    _table: Table
    _written: Written[E]
    _build: Build
    _made: dict[str, tuple[Executable, ...]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        if unknown := self._written.keys() - self._table.c.keys():
            raise ValueError(f"the table {self._table.name} has no {', '.join(sorted(unknown))}")

    def statements(self, dialect: SqlDialect) -> tuple[Executable, ...]:
        made = self._made.get(dialect.name)
        if made is None:
            built = self._build(dialect.rows.new([self._table.c[name] for name in self._written]), dialect)
            made = self._made[dialect.name] = tuple(built) if isinstance(built, Sequence) else (built,)
        return made

    def parameters(self, dialect: SqlDialect, entities: Collection[E]) -> dict[str, Any]:
        columns = [list(map(get, entities)) for get in self._written.values()]
        return dialect.rows.parameters(tuple(self._written), columns)


def bulk_insert(table: Table, written: Written[E]) -> BulkStatement[E]:
    """Return an insert that writes every column of the table, except its identity columns."""
    return BulkStatement(table, written_whole(table, written), lambda new, _: insert_new(table, new))


def written_whole(table: Table, written: Written[E]) -> Written[E]:
    """Return `written`. Raise `ValueError` if it lacks a column, other than an identity column."""
    if forgotten := {column.name for column in table.c if column.identity is None} - written.keys():
        raise ValueError(f"nothing is written into {', '.join(sorted(forgotten))} of the table {table.name}")
    return written


def insert_new(table: Table, new: FromClause) -> Insert:
    return insert(table).from_select(new.c.keys(), select(new))


def insert_missing(table: Table, new: FromClause, *, key: Sequence[str], also_in: Sequence[Table] = ()) -> Insert:
    """Insert the new rows whose key is neither in the table nor in the others."""
    found = (
        # Not EXISTS: PostgreSQL may answer that one by reading all of a table that was empty when it was analysed.
        select(each.c[key[0]]).where(*(each.c[name] == new.c[name] for name in key)).limit(1).scalar_subquery()
        for each in (table, *also_in)
    )
    return insert(table).from_select(new.c.keys(), select(new).where(*(one.is_(None) for one in found)))
