"""Inserts with ON CONFLICT, for the databases that have it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Column, Executable, FromClause, Insert, Table, TextClause, insert, select
from sqlalchemy.sql.elements import ColumnElement


@frozen
class InsertsOnConflict:
    # The `insert` of SQLAlchemy's dialect. Each dialect has its own class, without a common base class for ON CONFLICT.
    _insert: Callable[[Table], Any]

    def upsert(  # noqa: PLR0913 - as in the protocol
        self,
        table: Table,
        values: Mapping[str, ColumnElement[Any]],
        *,
        key: Sequence[Column[Any]],
        key_where: TextClause | None = None,
        changes: Callable[[Any], Mapping[str, Any]],
        where: Callable[[Any], ColumnElement[bool]],
    ) -> Executable:
        inserting = self._insert(table).values(values)
        new = inserting.excluded
        statement: Executable = inserting.on_conflict_do_update(
            index_elements=list(key), index_where=key_where, set_=changes(new), where=where(new)
        )
        return statement

    def missing(self, table: Table, new: FromClause, *, key: Sequence[Column[Any]]) -> Executable:
        # The sequence also tells SQLite that ON begins no condition of a join.
        rows = select(new).order_by(*(new.c[column.name] for column in key))
        statement: Executable = (
            self._insert(table).from_select(list(new.c.keys()), rows).on_conflict_do_nothing(index_elements=list(key))
        )
        return statement

    def into_all(
        self, new: FromClause, first: Table, others: Mapping[Table, Sequence[str]], *, also: Sequence[Insert] = ()
    ) -> Sequence[Executable]:
        return [
            insert(first).from_select(list(new.c.keys()), select(new)),
            *(
                insert(other).from_select(list(shared), select(*(new.c[name] for name in shared)))
                for other, shared in others.items()
            ),
            *also,
        ]
