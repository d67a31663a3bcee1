"""Errors of a request that are found before a use case is called."""

from msgspec import Struct


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


class UnknownEncoding(Exception):
    """The body is compressed or encoded."""


class NotAnId(Exception):
    """A part of the path does not have the format of an id."""
