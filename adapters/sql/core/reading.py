from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import Row

from adapters.codecs.events import FromLaterRelease
from application.errors import BrokenRow, LaterRelease

Id = TypeVar("Id")
T = TypeVar("T")
B = TypeVar("B")


def checked(what: str, id_: object, read: Callable[[Row[Any]], T], row: Row[Any]) -> T:
    """Return the entity of a row. Raise `BrokenRow` if the row breaks a rule, which is not the fault of the request.

    Raise `LaterRelease` if it has an event that only a later release can read.
    """
    try:
        return read(row)
    except FromLaterRelease as error:
        raise LaterRelease(f"{what} {id_} was stored by a later release: {error}") from error
    except Exception as error:
        # Validators of attrs put the rule first, and more behind it that is no text for people.
        rule = error.args[0] if error.args and isinstance(error.args[0], str) else error
        raise BrokenRow(f"{what} {id_} is stored with invalid values: {rule}") from error


def listed(what: str, id_: Id, read: Callable[[Row[Any]], T], row: Row[Any], broken: Callable[[Id, str], B]) -> T | B:
    """As `checked`, for a row that stands in a list: if it breaks a rule, return what stands in its place."""
    try:
        return checked(what, id_, read, row)
    except BrokenRow as error:
        return broken(id_, str(error))


def storable(texts: Iterable[str]) -> list[str]:
    """Return those that a row can have. PostgreSQL stores no NUL, and fails if one is looked for among others."""
    return [text for text in texts if "\0" not in text]
