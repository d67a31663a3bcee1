"""All that is used of SQLAlchemy beyond what it documents: the inside of a compiled statement, and the raw connection.

To execute a statement through SQLAlchemy takes 160 microseconds of this process, whatever the statement does; its text
handed to asyncpg takes 30. So the version of SQLAlchemy is bounded in pyproject.toml, and
`tests/unit/adapters/test_sqlalchemy_internals.py` says by name what a new version has changed.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from attrs import frozen
from sqlalchemy import Dialect, Executable
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from adapters.sql.dialects.registry import dialect_of

# More than there are statements.
_STATEMENTS: Final = 512

Parameters = Mapping[str, Any] | None


@frozen
class CompiledStatement:
    """A statement as a driver takes it: its text, which parameter stands where, and what its columns are."""

    sql: str
    # The name, the value where none is given, and what turns a value into that which the driver sends.
    _places: tuple[tuple[str, Any, Callable[[Any], Any]], ...]
    columns: tuple[Callable[[Any], Any], ...]
    row: type[Any]

    def arguments(self, parameters: Parameters) -> list[Any]:
        given = parameters or {}
        return [process(given.get(name, default)) for name, default, process in self._places]


@lru_cache(_STATEMENTS)
def compiled(statement: Executable, dialect: Dialect) -> CompiledStatement:
    inside: Any = cast(Any, statement).compile(dialect=dialect)
    binds = [(name, inside.binds[name]) for name in inside.positiontup or ()]
    places = ((name, bind.effective_value, _bind_processor(bind.type, dialect)) for name, bind in binds)
    columns = list(getattr(statement, "exported_columns", ()))
    row = dialect_of(dialect).driver.row([str(column.key) for column in columns])
    return CompiledStatement(
        inside.string, tuple(places), tuple(_result_processor(column.type, dialect) for column in columns), row
    )


def raw_connection(connection: AsyncConnection) -> Any:
    """The driver's own connection, without the round of the event loop that the documented way to it takes."""
    return cast(Any, connection.sync_connection).connection.driver_connection


def _bind_processor(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What turns a value into that which the driver sends."""
    return type_.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _result_processor(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What turns that which the driver brings into a value."""
    return type_.dialect_impl(dialect).result_processor(dialect, None) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
