"""Every error as `application/problem+json` (RFC 9457): one table says which error is answered how."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec
from attrs import frozen
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.idempotency import KeyInFlight, KeyReused
from application.intake.queue_orders import PriceUnknown
from application.intake.unrecorded import NotYetRecorded
from domain.errors import (
    CurrencyMismatch,
    DomainError,
    IllegalTransition,
    InvalidAmount,
    InvalidOrder,
    UnknownOrder,
    UnknownProduct,
)
from entrypoints.http.refusals import FieldError, InvalidRequest, MalformedBody, NotAnId

CONTENT_TYPE: Final = "application/problem+json"

_RETRY_AFTER: Final = "1"
_ENCODER: Final = msgspec.json.Encoder()


@frozen
class Kind:
    """One kind of problem. Without a `detail` the error's own words are given."""

    status: HTTPStatus
    code: str
    title: str
    detail: str | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()

    def encoded(self) -> bytes:
        return _ENCODER.encode(self)


_MAY_HAVE_HAPPENED: Final = "Try again; if a change was asked for, it may have been made or not: look first."

INTERNAL: Final = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "Something went wrong here",
    f"The error has been recorded. {_MAY_HAVE_HAPPENED}",
)
STOPPING: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "stopping",
    "The service is being stopped",
    f"The request took longer than the service may take to stop. {_MAY_HAVE_HAPPENED}",
)
BAD_PROTOCOL: Final = Kind(
    HTTPStatus.BAD_REQUEST,
    "bad_protocol",
    "This is not HTTP/1.1 as it is understood here",
    "The request line, a header or the framing of the body is malformed or ambiguous.",
)
HEAD_TOO_LARGE: Final = Kind(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The head of the request is too large",
    "Send a shorter URL, and fewer or shorter headers.",
)
OVERLOADED: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Too much is being asked for at once", "Nothing was done: try again."
)
TOO_SLOW: Final = Kind(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_timeout",
    "The request did not arrive in time",
    "Send the whole request without pausing.",
)

_KINDS: Final[Mapping[type[Exception], Kind]] = MappingProxyType(
    {
        # What the rules of the shop refuse.
        UnknownOrder: Kind(HTTPStatus.NOT_FOUND, UnknownOrder.code, "There is no such order"),
        UnknownProduct: Kind(HTTPStatus.NOT_FOUND, UnknownProduct.code, "There is no such product"),
        IllegalTransition: Kind(
            HTTPStatus.CONFLICT, IllegalTransition.code, "The status of the order does not allow this"
        ),
        InvalidOrder: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidOrder.code, "There can be no such order"),
        CurrencyMismatch: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, CurrencyMismatch.code, "An order has one currency only"
        ),
        InvalidAmount: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidAmount.code, "The amount is out of bounds"),
        DomainError: Kind(HTTPStatus.CONFLICT, DomainError.code, "The rules of the shop refuse this"),
        # What was asked under a key before, or is being asked.
        KeyReused: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            KeyReused.code,
            "Something else was asked for under this Idempotency-Key",
            "Ask again with the request that the key was first sent with, or choose another key.",
        ),
        KeyInFlight: Kind(
            HTTPStatus.CONFLICT,
            "idempotency_key_in_flight",
            "A request under this Idempotency-Key is being worked on",
            "Nothing was done by this one: try again, and you get the answer of the other.",
        ),
        # What can't be read.
        MalformedBody: Kind(HTTPStatus.BAD_REQUEST, "malformed_body", "The body can't be read"),
        InvalidRequest: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "The request breaks a rule"),
        NotAnId: Kind(HTTPStatus.NOT_FOUND, "not_an_id", "This is not how an id is written"),
        UnsupportedMediaType: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body is not declared as JSON",
            "Send JSON, with the header Content-Type: application/json.",
        ),
        RequestEntityTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large"),
        RequestTimeout: TOO_SLOW,
        # What there is not.
        NotFound: Kind(
            HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this address", "No route has this path."
        ),
        MethodNotAllowed: Kind(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This can't be done at this address",
            "The header Allow names the methods that can be used here.",
        ),
        # What may pass by itself.
        Overloaded: OVERLOADED,
        NotYetRecorded: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not_yet_recorded",
            "The order has been accepted, and is not recorded yet",
            "Nothing was done: try again.",
        ),
        Aborted: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "aborted",
            "Others were changing the same thing",
            "Nothing was done: try again.",
        ),
        PriceUnknown: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "What is sold, and for how much, can't be told now",
            "Nothing was done: try again.",
        ),
        Unavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "A server that is needed gives no answer",
            "Nothing was done: try again.",
        ),
        OutcomeUnknown: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "A server that is needed gives no answer", _MAY_HAVE_HAPPENED
        ),
        TimeoutError: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "deadline", "There was no answer in time", _MAY_HAVE_HAPPENED
        ),
    }
)


def kind_of(error: Exception) -> Kind:
    for cls in type(error).__mro__:
        if cls in _KINDS:
            return _KINDS[cls]
    if isinstance(error, HTTPException) and error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Kind(HTTPStatus(error.code), "refused", error.name, error.description)
    return INTERNAL


def problem_of(kind: Kind, error: Exception | None = None) -> Problem:
    errors: tuple[FieldError, ...] = ()
    status = kind.status
    if isinstance(error, InvalidRequest):
        errors = error.errors
    elif isinstance(error, DomainError) and error.field is not None:
        # What names a part of the request is about the request, not about the address: a product that does not
        # exist is 404 at /products/{id}, and 422 in an order.
        errors = (FieldError(error.field, str(error)),)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    detail = kind.detail
    if detail is None:
        detail = error.description if isinstance(error, HTTPException) else str(error)
    return Problem(f"urn:holdfast:problem:{kind.code}", kind.title, status, detail or kind.title, errors)


def headers_of(kind: Kind, error: Exception | None = None) -> list[tuple[str, str]]:
    """The headers that go with this problem alone."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, KeyInFlight) or kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", _RETRY_AFTER))
    if isinstance(error, MethodNotAllowed) and error.valid_methods is not None:
        headers.append(("Allow", ", ".join(sorted(error.valid_methods))))
    if kind.status is HTTPStatus.REQUEST_TIMEOUT:
        # The rest of the body may still come, and is not to be taken for the next request.
        headers.append(("Connection", "close"))
    return headers
