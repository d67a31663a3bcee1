from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Row

from adapters.sql.core.errors import BrokenRow

T = TypeVar("T")


def checked(what: str, id_: object, read: Callable[[Row[Any]], T], row: Row[Any]) -> T:
    """What a row says. Raise `BrokenRow` when a rule refuses it: no request is to blame for that."""
    try:
        return read(row)
    except Exception as error:
        raise BrokenRow(f"{what} {id_} is stored in a way that can't be: {error}") from error
