"""What a request is refused for before a use case hears of it."""

from msgspec import Struct


class FieldError(Struct, frozen=True):
    """Which part of a request is wrong, as in `items[0].quantity`, and the rule that it breaks."""

    field: str
    rule: str


class MalformedBody(Exception):
    """The body is not JSON, or is JSON that two readers could understand in two ways."""


class InvalidRequest(Exception):
    """The request can be read, and breaks a rule."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.rule}" for error in errors))
        self.errors = errors


class NotAnId(Exception):
    """What stands in the path can be nobody's id."""
