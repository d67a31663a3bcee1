from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Row

from adapters.sql.core.errors import BrokenRow

T = TypeVar("T")


def checked(what: str, id_: object, read: Callable[[Row[Any]], T], row: Row[Any]) -> T:
    """Return the entity of a row. Raise `BrokenRow` if the row breaks a rule, which is not the fault of the request."""
    try:
        return read(row)
    except Exception as error:
        raise BrokenRow(f"{what} {id_} is stored with invalid values: {error}") from error
