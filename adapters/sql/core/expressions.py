"""SQL expressions whose syntax differs between databases."""

from typing import Any

from sqlalchemy import Column, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from adapters.sql.core.types import Many, UtcDateTime
from adapters.sql.dialects.registry import dialect_of


class _Among(FunctionElement[Any]):
    # With the type Boolean, SQLAlchemy would add `= 1` for a database that has no Boolean, and no index would be used.
    type = NullType()
    inherit_cache = True


@compiles(_Among)
def _compile_among(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    value, values = (compiler.process(clause, **options) for clause in element.clauses)
    return dialect_of(compiler.dialect).expressions.among(value, values)


def among(key: Column[Any], parameter: str) -> ColumnElement[bool]:
    """Return the condition that the column has one of the values of a parameter, which is a list."""
    return _Among(key, bindparam(parameter, type_=Many(key.type)))


class JsonRows(FunctionElement[str]):
    """The columns of all rows of a group as JSON, in no order: `[[1, "a"], [2, "b"], ...]`."""

    type = Text()
    inherit_cache = True


@compiles(JsonRows)
def _compile_json_rows(element: JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    return dialect_of(compiler.dialect).expressions.json_rows(compiler.process(element.clauses, **options))


class FromNow(FunctionElement[Any]):
    """The time some seconds from now, by the clock of the database: the clocks of two processes may differ."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(FromNow)
def _compile_from_now(element: FromNow, compiler: SQLCompiler, **options: Any) -> str:
    return dialect_of(compiler.dialect).expressions.from_now(compiler.process(element.clauses, **options))
