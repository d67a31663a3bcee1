"""Errors in a request that are found before a use case is called."""

from msgspec import Struct


class FieldError(Struct, frozen=True):
    """Which part of a request is wrong, as in `items[0].quantity`, and the rule that it breaks."""

    field: str
    rule: str


class MalformedBody(Exception):
    """The body is not JSON, or is ambiguous JSON."""


class InvalidRequest(Exception):
    """The request can be read, and breaks a rule."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.rule}" for error in errors))
        self.errors = errors


class NotAnId(Exception):
    """The text in the path can't be an id."""
