import asyncio
import json
from typing import Any, Protocol, TypeVar

import msgspec
from quart import request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from entrypoints.http.field_errors import field_errors, short
from entrypoints.http.refusals import InvalidRequest, MalformedBody


class Body(Protocol):
    """The body of a request: a Struct."""

    def members(self) -> int: ...


B = TypeVar("B", bound=Body)


async def read_body() -> bytes:
    """Return the whole body. Raise `RequestTimeout` if it does not arrive in time, or `RequestEntityTooLarge`."""
    try:
        async with asyncio.timeout(request.body_timeout):
            # Quart's own get_data starts a task of its own for each request.
            body: bytes = await request.body
    except TimeoutError:
        raise RequestTimeout from None
    except RequestEntityTooLarge:
        raise RequestEntityTooLarge(f"A body has at most {request.max_content_length} bytes.") from None
    return body


async def read_json(decoder: msgspec.json.Decoder[B]) -> B:
    """Return the decoded body. Raise `UnsupportedMediaType`, and the errors of `read_body` and `decode`."""
    _expect_json(request.headers.get("Content-Type", ""))
    return decode(await read_body(), decoder)


async def read_json_if_any(decoder: msgspec.json.Decoder[B]) -> B | None:
    """Return the decoded body, or None if there is none. Without a Content-Type, it is JSON. Raise as `read_json`."""
    body = await read_body()
    if not body.strip():
        return None
    _expect_json(request.headers.get("Content-Type", "application/json"))
    return decode(body, decoder)


def _expect_json(content_type: str) -> None:
    if content_type == "application/json":
        return
    if not request.is_json or request.mimetype_params.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType


def decode(body: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Decode JSON. Raise `MalformedBody` if it is not valid JSON, and `InvalidRequest` if it has another shape."""
    try:
        decoded = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(*field_errors(body, decoder.type, error)) from None
    except RecursionError:
        raise MalformedBody("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise MalformedBody("The JSON is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The JSON can't be parsed: {error}.") from None
    # Each member has a colon. If there are more colons than members, a member may have been written twice.
    if body.count(b":") != decoded.members():
        _refuse_duplicates(body)
    return decoded


def _refuse_duplicates(body: bytes) -> None:
    def members(pairs: list[tuple[str, Any]]) -> None:
        # A body has room for thousands of names: to count each of them among all took more than a second.
        known = set()
        for name, _ in pairs:
            if name in known:
                raise MalformedBody(f"The member {short(name)} appears twice in one object.")
            known.add(name)

    json.loads(body, object_pairs_hook=members)
