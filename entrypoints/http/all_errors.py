"""All that is wrong with a request, in one answer: its query, its headers and its body.

The handlers stop at the first error, which costs a right request nothing. This is for refused ones.
"""

from collections.abc import Iterator, Sequence

from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from domain.errors import DomainError
from entrypoints.http.decoding import expect_file, expect_json, read_body, read_json, read_json_if_any
from entrypoints.http.digests import DIGESTS, Digests
from entrypoints.http.field_errors import broken_rules
from entrypoints.http.guards import refuse_what_is_not_honoured
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import key_in
from entrypoints.http.preconditions import expect_readable
from entrypoints.http.query import parameters
from entrypoints.http.refusals import (
    FieldError,
    InvalidRequest,
    MalformedBody,
    in_body,
    in_body_of,
    in_header,
    in_query,
)
from entrypoints.http.routes.route import Route


async def all_errors(first: Exception, request: Request, route: Route) -> Sequence[FieldError]:
    """Return what is wrong with a request that can't be read, or breaks a rule of the form or of the shop."""
    told = _told(first)
    if not told and not isinstance(first, MalformedBody | UnsupportedMediaType):
        return told
    found = [*_in_query(request, route), *_in_headers(request, route), *await _in_digests(request, route)]
    # What is encoded can't be read.
    is_encoded = any(error.header == "Content-Encoding" for error in found)
    found += _in_type(request, route) or ([] if is_encoded else await _in_body(request, route))
    places = {_place(error) for error in told}
    return [*told, *(error for error in found if _place(error) not in places)]


def _told(first: Exception) -> Sequence[FieldError]:
    if isinstance(first, DomainError) and first.field is not None:
        return in_body_of(first)
    return first.errors if isinstance(first, InvalidRequest) else ()


def _place(error: FieldError) -> tuple[str | None, str | None, str | None]:
    return error.pointer, error.parameter, error.header


def _in_query(request: Request, route: Route) -> Iterator[FieldError]:
    try:
        parameters(request.query_string, route.parameters)
    except InvalidRequest as error:
        yield from error.errors
    for name in sorted(route.needs - request.args.keys()):
        yield in_query(name, "it is required, and missing", "required")


def _in_headers(request: Request, route: Route) -> Iterator[FieldError]:
    try:
        refuse_what_is_not_honoured(request.method, request.headers, honoured=route.honours)
    except InvalidRequest as error:
        yield from error.errors
    try:
        expect_readable(request.headers, route.honours)
    except InvalidRequest as error:
        yield from error.errors
    try:
        if IDEMPOTENCY_KEY in route.honours:
            key_in(request.headers)
    except InvalidRequest as error:
        yield from error.errors


async def _in_digests(request: Request, route: Route) -> Sequence[FieldError]:
    if DIGESTS.isdisjoint(dict(request.headers)):
        return ()
    try:
        digests = Digests(request.headers)
        # A file is compared with them as it arrives.
        if not route.takes and not _awaits_a_word(request):
            digests.update(await read_body())
            digests.expect()
    except InvalidRequest as error:
        return error.errors
    except (RequestEntityTooLarge, RequestTimeout):
        pass
    return ()


def _in_type(request: Request, route: Route) -> list[FieldError]:
    try:
        if route.takes:
            expect_file(route.takes)
        elif route.body is not None and route.needs_body:
            expect_json(request.headers.get("Content-Type", ""))
    except UnsupportedMediaType as error:
        return [_of_type(error)]
    return []


def _of_type(error: UnsupportedMediaType) -> FieldError:
    return in_header("Content-Type", str(error.description), "not_honoured")


async def _in_body(request: Request, route: Route) -> list[FieldError]:
    if route.body is None or _awaits_a_word(request):
        return []
    try:
        body = await (read_json(route.body) if route.needs_body else read_json_if_any(route.body))
        return [] if body is None else list(broken_rules(await read_body(), route.body.type))
    except InvalidRequest as error:
        return list(error.errors)
    except MalformedBody as error:
        return [in_body("", str(error), "malformed")]
    except UnsupportedMediaType as error:
        return [_of_type(error)]
    except (RequestEntityTooLarge, RequestTimeout):
        return []


def _awaits_a_word(request: Request) -> bool:
    """A client that waits for 100 Continue has not sent its body, and need not."""
    return "Expect" in request.headers
