"""Statements over any number of rows whose text is always the same.

PostgreSQL then plans one prepared statement for every size of a batch, SQLAlchemy compiles once, and no limit on the
number of variables is ever met. The rows travel as arrays (`unnest`) or, to SQLite, as one JSON document (`json_each`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field
from sqlalchemy import Column, Dialect, Executable, FromClause, Text, bindparam, column, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from adapters.sql.core.types import Many, as_it_is, bind_processor

_ROWS: Final = "new_rows"


class _Among(FunctionElement[Any]):
    # Were it Boolean, SQLAlchemy would compare it with 1 on SQLite, which then uses no index.
    type = NullType()
    inherit_cache = True


@compiles(_Among)
def _on_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    value, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{value} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - of compiled parts


@compiles(_Among, "postgresql")
def _on_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    value, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{value} = ANY ({values})"


def among(key: Column[Any], parameter: str) -> ColumnElement[bool]:
    """Whether the column holds one of the values of a parameter, which is a list."""
    return _Among(key, bindparam(parameter, type_=Many(key.type)))


@define(eq=False)
class BulkStatement:
    """A statement over rows of these columns, made once for each dialect by `build(new)`, `new` being the rows."""

    _columns: tuple[Column[Any], ...]
    _build: Callable[[FromClause], Executable]
    _made: dict[str, Executable] = field(factory=dict, init=False)

    def statement(self, dialect: Dialect) -> Executable:
        made = self._made.get(dialect.name)
        if made is None:
            new = self._arrays() if dialect.name == "postgresql" else self._document()
            made = self._made[dialect.name] = self._build(new)
        return made

    def parameters(self, dialect: Dialect, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        columns = zip(*rows, strict=True)
        if dialect.name == "postgresql":
            return {_parameter(key): list(values) for key, values in zip(self._columns, columns, strict=True)}
        # By columns, since most of them are sent as they are.
        prepared = [
            values if (process := bind_processor(key.type, dialect)) is as_it_is else map(process, values)
            for key, values in zip(self._columns, columns, strict=True)
        ]
        return {_ROWS: msgspec.json.encode(list(zip(*prepared, strict=True))).decode()}

    def _arrays(self) -> FromClause:
        values = [bindparam(_parameter(key), type_=Many(key.type)) for key in self._columns]
        columns = [column(key.name, key.type) for key in self._columns]
        return func.unnest(*values).table_valued(*columns, name="new").render_derived()

    def _document(self) -> FromClause:
        each = func.json_each(bindparam(_ROWS, type_=Text())).table_valued("key", "value")
        values = [
            func.json_extract(each.c.value, f"$[{index}]", type_=key.type).label(key.name)
            for index, key in enumerate(self._columns)
        ]
        # In the order in which they were given.
        return select(*values).order_by(each.c.key).subquery("new")


def _parameter(key: Column[Any]) -> str:
    # The name of the column itself means something else to an INSERT or UPDATE.
    return f"new_{key.name}"
