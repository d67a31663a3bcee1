"""Every error as `application/problem+json` (RFC 9457). One table maps errors to responses."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec
from attrs import frozen
from werkzeug.exceptions import (
    ExpectationFailed,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

from application.access.principal import Forbidden, Unauthenticated
from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.conditional import PreconditionFailed
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
from entrypoints.http.refusals import (
    FieldError,
    InvalidHeader,
    InvalidRequest,
    MalformedBody,
    NotAnId,
    UnknownEncoding,
)

CONTENT_TYPE: Final = "application/problem+json"

_RETRY_AFTER: Final = "1"
_ENCODER: Final = msgspec.json.Encoder()


@frozen
class Kind:
    """One kind of problem. Without a `detail`, the message of the error is sent."""

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
    request_id: str
    errors: tuple[FieldError, ...] = ()

    def encoded(self) -> bytes:
        return _ENCODER.encode(self)


_MAY_HAVE_HAPPENED: Final = "A change may have been made or not: look before you try again."

INTERNAL: Final = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "The service has an internal error",
    f"The error has been logged. {_MAY_HAVE_HAPPENED}",
)
STOPPING: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "stopping",
    "The service is stopping",
    f"The request was not finished before the service stopped. {_MAY_HAVE_HAPPENED}",
)
BAD_PROTOCOL: Final = Kind(
    HTTPStatus.BAD_REQUEST,
    "bad_protocol",
    "The request is not valid HTTP/1.1",
    "The request line, a header or the framing of the body is malformed or ambiguous.",
)
HEAD_TOO_LARGE: Final = Kind(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The head of the request is too large",
    "Send a shorter URL, and fewer or shorter headers.",
)
UNKNOWN_CODING: Final = Kind(
    HTTPStatus.NOT_IMPLEMENTED,
    "unknown_transfer_coding",
    "The transfer coding of the body is not known",
    "Send the body with a Content-Length, or with Transfer-Encoding: chunked and nothing else.",
)
OVERLOADED: Final = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "The service is overloaded", "Nothing was done: try again."
)
TOO_SLOW: Final = Kind(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_timeout",
    "The request did not arrive in time",
    "Send the whole request without pausing.",
)

_KINDS: Final[Mapping[type[Exception], Kind]] = MappingProxyType(
    {
        # Refused because of who asks.
        Unauthenticated: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "It is not known who calls"),
        Forbidden: Kind(HTTPStatus.FORBIDDEN, "forbidden", "The caller may not do this"),
        # Refused by the rules of the shop.
        UnknownOrder: Kind(HTTPStatus.NOT_FOUND, UnknownOrder.code, "There is no such order"),
        UnknownProduct: Kind(HTTPStatus.NOT_FOUND, UnknownProduct.code, "There is no such product"),
        IllegalTransition: Kind(
            HTTPStatus.CONFLICT, IllegalTransition.code, "The status of the order does not allow this"
        ),
        InvalidOrder: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidOrder.code, "The order breaks a rule"),
        CurrencyMismatch: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, CurrencyMismatch.code, "An order has one currency only"
        ),
        InvalidAmount: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidAmount.code, "The amount is out of bounds"),
        DomainError: Kind(HTTPStatus.CONFLICT, DomainError.code, "The rules of the shop refuse this"),
        # Refused because of a header.
        PreconditionFailed: Kind(
            HTTPStatus.PRECONDITION_FAILED, PreconditionFailed.code, "The precondition of the request does not hold"
        ),
        InvalidHeader: Kind(HTTPStatus.BAD_REQUEST, "invalid_header", "A header of the request can't be honoured"),
        UnknownEncoding: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "The body is encoded",
            "Send the body as it is, without Content-Encoding.",
        ),
        ExpectationFailed: Kind(
            HTTPStatus.EXPECTATION_FAILED,
            "expectation_failed",
            "The expectation of the request is not known",
            "Send no header Expect, or Expect: 100-continue.",
        ),
        KeyReused: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            KeyReused.code,
            "This Idempotency-Key was used for a different request",
            "Send the request that the key was first used for, or choose another key.",
        ),
        KeyInFlight: Kind(
            HTTPStatus.CONFLICT,
            "idempotency_key_in_flight",
            "Another request under this Idempotency-Key is in progress",
            "Nothing was done by this request: try again to get the response of the other.",
        ),
        # Requests that can't be read.
        MalformedBody: Kind(HTTPStatus.BAD_REQUEST, "malformed_body", "The body can't be read"),
        InvalidRequest: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "The request breaks a rule"),
        NotAnId: Kind(HTTPStatus.NOT_FOUND, "not_an_id", "The id has the wrong format"),
        UnsupportedMediaType: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body is not declared as JSON",
            "Send JSON in UTF-8, with the header Content-Type: application/json.",
        ),
        RequestEntityTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large"),
        RequestTimeout: TOO_SLOW,
        # Unknown addresses.
        NotFound: Kind(
            HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this path", "Check the path of the request."
        ),
        MethodNotAllowed: Kind(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This method is not allowed at this path",
            "The header Allow lists the allowed methods.",
        ),
        # Temporary problems.
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
            "Another request was changing the same data",
            "Nothing was done: try again.",
        ),
        PriceUnknown: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "The product can't be priced now",
            "Nothing was done: try again.",
        ),
        Unavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "A server that the service needs does not answer",
            "Nothing was done: try again.",
        ),
        OutcomeUnknown: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "A server that the service needs does not answer",
            _MAY_HAVE_HAPPENED,
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


def problem_of(kind: Kind, error: Exception | None = None, *, request_id: str) -> Problem:
    errors: tuple[FieldError, ...] = ()
    status = kind.status
    if isinstance(error, InvalidRequest):
        errors = error.errors
    elif isinstance(error, DomainError) and error.field is not None:
        # An error with a field concerns the body, not the path. So an unknown product is 404 at /products/{id}, but 422
        # in the body of an order.
        errors = tuple(FieldError(each.field or "body", str(each)) for each in (error, *error.others))
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    detail = kind.detail
    if detail is None:
        detail = error.description if isinstance(error, HTTPException) else str(error)
    return Problem(f"urn:holdfast:problem:{kind.code}", kind.title, status, detail or kind.title, request_id, errors)


def headers_of(kind: Kind, error: Exception | None = None) -> list[tuple[str, str]]:
    """Return the additional headers of this problem."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, KeyInFlight) or kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", _RETRY_AFTER))
    if isinstance(error, MethodNotAllowed) and error.valid_methods is not None:
        headers.append(("Allow", ", ".join(sorted(error.valid_methods))))
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    if isinstance(error, UnknownEncoding):
        # RFC 9110, section 12.5.3.
        headers.append(("Accept-Encoding", "identity"))
    if kind.status is HTTPStatus.REQUEST_TIMEOUT:
        # The rest of the body may still arrive, and must not be taken for the next request.
        headers.append(("Connection", "close"))
    return headers
