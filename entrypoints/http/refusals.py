"""Errors of a request that are found before a use case is called."""

from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct

from domain.errors import DomainError, pointer_of

T = TypeVar("T")


class FieldError(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One wrong part of a request: where it is, and the rule that it breaks, as a code and in words."""

    # In the body: a JSON pointer (RFC 6901), such as `/items/0/quantity`. It is empty for the body as a whole.
    pointer: str | None = None
    # In the query.
    parameter: str | None = None
    header: str | None = None
    code: str
    detail: str

    @property
    def where(self) -> str:
        names = (self.pointer or ("the body" if self.pointer is not None else None), self.parameter, self.header)
        return next(name for name in names if name is not None)


# The codes of fields, with what each says. A rule of the shop has the code of its problem.
FIELD_CODES: Final = MappingProxyType(
    {
        "required": "It is missing.",
        "unknown": "There is no such field, parameter or header here.",
        "repeated": "It may be sent once only.",
        "wrong_type": "The value has another type.",
        "out_of_range": "The number is too small or too large.",
        "wrong_length": "The text or the list is too short or too long.",
        "wrong_format": "The text is not written as it should be.",
        "not_one_of": "The value is not in the list of values that are allowed.",
        "not_honoured": "The API can't do here what the header asks for.",
        "malformed": "It can't be read at all.",
    }
)


def in_body(path: str, detail: str, code: str = "wrong_format") -> FieldError:
    """Return an error of the body at this path, such as `items[0].quantity`. An empty one is the body itself."""
    return FieldError(pointer=pointer_of(path), code=code, detail=detail)


def in_body_of(error: DomainError) -> tuple[FieldError, ...]:
    """Return what a refusal by the rules of the shop says of the fields of the body."""
    return tuple(in_body(each.field or "", str(each), each.code) for each in (error, *error.others))


def in_query(name: str, detail: str, code: str = "wrong_format") -> FieldError:
    return FieldError(parameter=name, code=code, detail=detail)


def in_header(name: str, detail: str, code: str = "wrong_format") -> FieldError:
    return FieldError(header=name, code=code, detail=detail)


class MalformedBody(Exception):
    """The body is not JSON, or is JSON that two parsers could read differently."""


class InvalidRequest(Exception):
    """The request can be parsed, but breaks a rule."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.where}: {error.detail}" for error in errors))
        self.errors = errors


class InvalidCursor(InvalidRequest):
    """A cursor that was not made here, or was made for another list or filter."""


class InvalidHeader(InvalidRequest):
    """A header that can't be read, or that asks for what can't be done."""


class NothingToGuard(InvalidHeader):
    """A precondition where nothing has a version."""


class UnknownExpectation(InvalidHeader):
    """The header Expect asks for what is not known here."""

    def __init__(self) -> None:
        super().__init__(in_header("Expect", "it is 100-continue, or not sent", "not_honoured"))


class UnknownEncoding(InvalidHeader):
    """The body is compressed or encoded."""

    def __init__(self) -> None:
        super().__init__(in_header("Content-Encoding", "send the body as it is", "not_honoured"))


def each_header(
    names: Iterable[str], read: Callable[[str], T], kind: type[InvalidHeader] = InvalidHeader
) -> dict[str, T]:
    """Return what `read` finds in each of these headers. Raise one error of the kind with the errors of all of them."""
    found: dict[str, T] = {}
    refusals: list[InvalidHeader] = []
    for name in names:
        try:
            found[name] = read(name)
        except InvalidHeader as error:
            refusals.append(error)
    raise_all(refusals, kind)
    return found


def raise_all(refusals: Sequence[InvalidRequest], kind: type[InvalidRequest]) -> None:
    """Raise one error with what all of them tell. One alone may be of a kind of its own, as that of a cursor."""
    if refusals:
        raise refusals[0] if len(refusals) == 1 else kind(*(error for each in refusals for error in each.errors))


class NotAnId(Exception):
    """A part of the path does not have the format of an id."""
