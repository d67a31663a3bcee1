from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import msgspec
from quart import Response

from entrypoints.http.headers import PlainHeaders
from entrypoints.http.problems import CONTENT_TYPE, headers_of, kind_of, problem_of

# No cache may store a response, and no browser may guess another content type.
SECURITY_HEADERS: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

_JSON_HEADERS: Final = (("Content-Type", "application/json"), *SECURITY_HEADERS)
_PROBLEM_HEADERS: Final = (("Content-Type", CONTENT_TYPE), *SECURITY_HEADERS)
_ENCODER: Final = msgspec.json.Encoder()


class UntypedResponse(Response):
    """A response that has no type unless it is given one."""

    default_mimetype = None  # type: ignore[assignment]  # as in Werkzeug, whose own type for it Quart narrows


class Reply(UntypedResponse):
    """A response whose body is complete, so that it is sent in one piece."""

    def __init__(self, body: bytes, status: int, headers: Iterable[tuple[str, str]]) -> None:
        # RFC 9110, section 8.6: an answer without content has no length.
        length = () if status == HTTPStatus.NO_CONTENT else (("Content-Length", str(len(body))),)
        super().__init__(None, status, PlainHeaders([*headers, *length]))
        self.response = self.data_body_class(body)
        self.body = body


def reply(body: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK, *, location: str | None = None) -> Reply:
    headers = _JSON_HEADERS if location is None else (*_JSON_HEADERS, ("Location", location))
    return Reply(_ENCODER.encode(body), status, headers)


def no_content() -> Reply:
    return Reply(b"", HTTPStatus.NO_CONTENT, SECURITY_HEADERS)


def refuse(error: Exception) -> Reply:
    kind = kind_of(error)
    problem = problem_of(kind, error)
    return Reply(problem.encoded(), problem.status, (*_PROBLEM_HEADERS, *headers_of(kind, error)))
