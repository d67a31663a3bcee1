from http import HTTPStatus
from typing import Final

import msgspec
from quart import Response
from werkzeug.datastructures import Headers

from entrypoints.http.problems import CONTENT_TYPE, headers_of, kind_of, problem_of

# Nobody keeps an answer, and no browser takes it for anything but what it says it is.
SECURITY_HEADERS: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

_JSON_HEADERS: Final = (("Content-Type", "application/json"), *SECURITY_HEADERS)
_PROBLEM_HEADERS: Final = (("Content-Type", CONTENT_TYPE), *SECURITY_HEADERS)
_ENCODER: Final = msgspec.json.Encoder()


class Reply(Response):
    """A response that has no type unless it is given one."""

    default_mimetype = None  # type: ignore[assignment]  # as in Werkzeug, whose own type for it Quart narrows


def reply(body: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK, *, location: str | None = None) -> Reply:
    headers = _JSON_HEADERS if location is None else (*_JSON_HEADERS, ("Location", location))
    return Reply(_ENCODER.encode(body), status, Headers(headers))


def no_content() -> Reply:
    return Reply(None, HTTPStatus.NO_CONTENT, Headers(SECURITY_HEADERS))


def refuse(error: Exception) -> Reply:
    kind = kind_of(error)
    problem = problem_of(kind, error)
    return Reply(problem.encoded(), problem.status, Headers((*_PROBLEM_HEADERS, *headers_of(kind, error))))
