"""Column types that mean the same on PostgreSQL and SQLite."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import ARRAY, DateTime, Dialect, String, Text, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite keeps an id as 32 hex digits, which sort as the ids themselves do.
Id: Final = Uuid


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. SQLite knows no time zones: there it is kept in UTC, and is given back with its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} names no time zone, and so no moment")
        return value if dialect.name == "postgresql" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.replace(tzinfo=UTC)


class Many(TypeDecorator[list[Any]]):
    """Any number of values as one parameter: an array for PostgreSQL, a JSON array for SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, type_: TypeEngine[Any]) -> None:
        super().__init__()
        self.type_ = type_

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(Text())
        # A cast to VARCHAR(16)[] would cut off what is too long; as text it is refused when it is written.
        return dialect.type_descriptor(ARRAY(Text() if isinstance(self.type_, String) else self.type_))

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        process = bind_processor(self.type_, dialect)
        return msgspec.json.encode([process(item) for item in value]).decode()


@lru_cache(512)
def bind_processor(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What turns a value into that which the driver sends."""
    return type_.dialect_impl(dialect).bind_processor(dialect) or as_it_is


def result_processor(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What turns that which the driver brings into a value."""
    return type_.dialect_impl(dialect).result_processor(dialect, None) or as_it_is


def as_it_is(value: Any) -> Any:
    return value
