from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from quart import Response, request

from adapters.codecs.plain import plain
from application.execution.working_for import request_ids
from entrypoints.http.accept import EVENT_STREAM
from entrypoints.http.headers import KEY_HEADERS, SAFE_METHODS, PlainHeaders
from entrypoints.http.problem_kinds import Kind
from entrypoints.http.problem_table import kind_of
from entrypoints.http.problems import CONTENT_TYPE, Problem, headers_of, problem_of
from entrypoints.http.refusals import FieldError
from entrypoints.http.request_ids import REQUEST_ID

# Tell caches not to store a response, and browsers not to guess its type.
_NO_SNIFF: Final = ("X-Content-Type-Options", "nosniff")
_SECURITY_HEADERS: Final = (("Cache-Control", "no-store"), _NO_SNIFF)
_JSON_HEADERS: Final = (("Content-Type", "application/json"), *_SECURITY_HEADERS)
_PROBLEM_HEADERS: Final = (("Content-Type", CONTENT_TYPE), *_SECURITY_HEADERS)

# A page of our own that needs no script, no image and no frame.
_CSP: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", _CSP),
    ("Vary", "Accept"),
    *_SECURITY_HEADERS,
)

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)

# How another system says a problem: the body, and the status.
Wording = Callable[[Problem], tuple[msgspec.Struct, HTTPStatus]]


class Reply(Response):
    """A response without a default Content-Type."""

    default_mimetype = None  # type: ignore[assignment]  # None is allowed in Werkzeug; Quart narrows the type


def reply(
    body: msgspec.Struct | Sequence[msgspec.Struct], status: HTTPStatus = HTTPStatus.OK, *headers: tuple[str, str]
) -> Reply:
    return Reply(_ENCODER.encode(body), status, PlainHeaders([*_JSON_HEADERS, *headers]))


def document(content: bytes, media_type: str, etag: str) -> Reply:
    """Return a document that this release has made, and that any client may read and keep."""
    headers = [
        ("Content-Type", f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type),
        ("Cache-Control", "no-cache"),
        ("ETag", etag),
        ("Content-Security-Policy", _CSP),
        _NO_SNIFF,
    ]
    return Reply(content, HTTPStatus.OK, PlainHeaders(headers))


def page(html: str) -> Reply:
    return Reply(html.encode(), HTTPStatus.OK, PlainHeaders([*_PAGE_HEADERS]))


def plain_text(content: bytes, content_type: str) -> Reply:
    headers = [("Content-Type", content_type), ("Cache-Control", "no-store"), *_SECURITY_HEADERS]
    return Reply(content, HTTPStatus.OK, PlainHeaders(headers))


def event_stream(events: AsyncIterable[bytes] | None) -> Reply:
    """Return server-sent events, for which no proxy should wait until it has many. None is for HEAD."""
    headers = [("Content-Type", EVENT_STREAM), ("X-Accel-Buffering", "no"), *_SECURITY_HEADERS]
    return Reply(cast(Any, events), HTTPStatus.OK, PlainHeaders(headers))


class BrokenOff(Exception):
    """A response that has begun can't be finished. The connection is closed, so that the client knows."""


def download(
    content: AsyncIterable[bytes] | None, length: int, status: HTTPStatus, headers: Sequence[tuple[str, str]]
) -> Reply:
    """Return so many bytes, which are made while they are sent. None is for HEAD."""
    own = [*headers, ("Content-Length", str(length)), *_SECURITY_HEADERS]
    # With None, Quart would put the length of an empty body in place of this one.
    return Reply(cast(Any, _nothing() if content is None else content), status, PlainHeaders(own))


async def _nothing() -> AsyncGenerator[bytes, None]:
    nothing: tuple[bytes, ...] = ()
    for part in nothing:
        yield part


def no_content(*headers: tuple[str, str]) -> Reply:
    # RFC 9110, section 8.6: a 204 response has no Content-Length. Quart would set it if the body were b"".
    return Reply(None, HTTPStatus.NO_CONTENT, PlainHeaders([*_SECURITY_HEADERS, *headers]))


def not_modified(etag: str) -> Reply:
    return Reply(None, HTTPStatus.NOT_MODIFIED, PlainHeaders([*_SECURITY_HEADERS, ("ETag", etag)]))


def refuse(error: Exception, errors: Sequence[FieldError] = (), *, wording: Wording | None = None) -> Reply:
    kind = kind_of(error)
    can_repeat = request.method in SAFE_METHODS or any(name in request.headers for name in KEY_HEADERS)
    problem = problem_of(kind, error, request_id="".join(request_ids()), errors=errors, can_repeat=can_repeat)
    if wording is not None:
        return reply(*wording(problem), *headers_of(kind, error))
    return Reply(problem.encoded(), problem.status, PlainHeaders([*_PROBLEM_HEADERS, *headers_of(kind, error)]))


def raw_problem(kind: Kind, request_id: str, *headers: tuple[bytes, bytes]) -> bytes:
    """Return a problem as the bytes of an HTTP/1.1 response, for a request that does not reach Quart."""
    body = problem_of(kind, request_id=request_id).encoded()
    own = (*_PROBLEM_HEADERS, ("Content-Length", str(len(body))), *headers_of(kind), (REQUEST_ID, request_id))
    lines = [*headers, *((name.lower().encode(), value.encode()) for name, value in own)]
    status_line = f"HTTP/1.1 {kind.status.value} {kind.status.phrase}\r\n".encode()
    return status_line + b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n" + body
