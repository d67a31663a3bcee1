"""Errors of a request that are found before a use case is called."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

T = TypeVar("T")


class FieldError(Struct, frozen=True):
    """The path of the wrong part of a request, such as `items[0].quantity`, and the rule that this part breaks."""

    field: str
    rule: str


class MalformedBody(Exception):
    """The body is not JSON, or is JSON that two parsers could read differently."""


class InvalidRequest(Exception):
    """The request can be parsed, but breaks a rule."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.rule}" for error in errors))
        self.errors = errors


class InvalidHeader(InvalidRequest):
    """A header that can't be read, or that asks for what can't be done."""


def each_header(names: Iterable[str], read: Callable[[str], T]) -> dict[str, T]:
    """Return what `read` finds in each of these headers. Raise one `InvalidHeader` with the errors of all of them."""
    found: dict[str, T] = {}
    errors: list[FieldError] = []
    for name in names:
        try:
            found[name] = read(name)
        except InvalidHeader as error:
            errors += error.errors
    if errors:
        raise InvalidHeader(*errors)
    return found


class UnknownEncoding(Exception):
    """The body is compressed or encoded."""


class NotAnId(Exception):
    """A part of the path does not have the format of an id."""
