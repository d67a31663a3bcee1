"""Column types that mean the same in every database."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, Text, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine

from adapters.sql.dialects.registry import dialect_of, is_known

# A database without a UUID type stores 32 hex digits, which sort in the order of the ids.
Id: Final = Uuid


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, which is read back with its time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).moment if is_known(dialect) else self.impl_instance

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone, so it is not a moment")
        return value


class Many(TypeDecorator[list[Any]]):
    """A list of any number of values as one parameter."""

    impl = Text
    cache_ok = True

    def __init__(self, type_: TypeEngine[Any]) -> None:
        super().__init__()
        self.type_ = type_

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).rows.list_type(self.type_)
