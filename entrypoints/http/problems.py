"""Every error as `application/problem+json` (RFC 9457): the body and the headers of the response."""

from collections.abc import Sequence
from http import HTTPStatus
from math import ceil
from typing import Final

import msgspec
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from adapters.codecs.plain import plain
from application.access.limits import TooManyRequests
from application.execution.idempotency import KeyInFlight
from domain.errors import DomainError
from entrypoints.http.problem_kinds import Kind
from entrypoints.http.problem_table import path_of
from entrypoints.http.ranges import UnsatisfiableRange
from entrypoints.http.refusals import FieldError, UnknownEncoding, in_body_of

CONTENT_TYPE: Final = "application/problem+json"

_RETRY_AFTER: Final = "1"
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error."""

    type: str
    code: str
    title: str
    status: int
    detail: str
    request_id: str
    # Whether the same request may succeed, and does no harm, when it is sent again.
    retryable: bool
    errors: tuple[FieldError, ...] = ()

    def encoded(self) -> bytes:
        return _ENCODER.encode(self)


def problem_of(
    kind: Kind,
    error: Exception | None = None,
    *,
    request_id: str,
    errors: Sequence[FieldError] = (),
    can_repeat: bool = False,
) -> Problem:
    """Return the body of this problem. `can_repeat`: the request has one effect, however often it is sent."""
    status = kind.status
    if isinstance(error, DomainError) and error.field is not None:
        # An error with a field concerns the body, not the path. So an unknown product is 404 at /products/{id}, but 422
        # in the body of an order. What conflicts with another order stays a conflict.
        errors = errors or in_body_of(error)
        if status is not HTTPStatus.CONFLICT:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
    detail = kind.remedy
    if kind.is_told and error is not None:
        detail = (error.description if isinstance(error, HTTPException) else str(error)) or kind.title
    retryable = kind.again == "yes" or (kind.again == "guarded" and can_repeat)
    return Problem(path_of(kind), kind.code, kind.title, status, detail, request_id, retryable, tuple(errors))


def headers_of(kind: Kind, error: Exception | None = None) -> list[tuple[str, str]]:
    """Return the additional headers of this problem."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, KeyInFlight) or kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", _RETRY_AFTER))
    if isinstance(error, MethodNotAllowed) and error.valid_methods is not None:
        headers.append(("Allow", ", ".join(sorted({*error.valid_methods, "OPTIONS"}))))
    if isinstance(error, TooManyRequests):
        headers.append(("Retry-After", str(max(1, ceil(error.usage.retry_after)))))
    if isinstance(error, UnsatisfiableRange):
        headers.append(("Content-Range", f"bytes */{error.size}"))
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    if isinstance(error, UnknownEncoding):
        # RFC 9110, section 12.5.3.
        headers.append(("Accept-Encoding", "identity"))
    if kind.status is HTTPStatus.REQUEST_TIMEOUT:
        # The rest of the body may still arrive, and must not be taken for the next request.
        headers.append(("Connection", "close"))
    return headers
