import asyncio
from collections.abc import Collection
from typing import Final

import msgspec
from quart import request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from entrypoints.http.json_shapes import B, decode

_UTF_8: Final = frozenset({"utf-8", "utf8"})
_SEND_JSON: Final = "Send JSON in UTF-8, with the header Content-Type: application/json."


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
    expect_json(request.headers.get("Content-Type", ""))
    return decode(await read_body(), decoder)


async def read_json_if_any(decoder: msgspec.json.Decoder[B]) -> B | None:
    """Return the decoded body, or None if there is none. Without a Content-Type, it is JSON. Raise as `read_json`."""
    body = await read_body()
    if not body.strip():
        return None
    expect_json(request.headers.get("Content-Type", "application/json"))
    return decode(body, decoder)


def expect_json(content_type: str) -> None:
    """Raise `UnsupportedMediaType`."""
    if content_type == "application/json":
        return
    if not request.is_json or not _is_utf_8():
        raise UnsupportedMediaType(_SEND_JSON)


def expect_file(types: Collection[str]) -> None:
    """Raise `UnsupportedMediaType` if the body is no file of one of these media types."""
    if request.mimetype not in types or not _is_utf_8():
        known = " or ".join(types)
        raise UnsupportedMediaType(f"Send the file in UTF-8, and name its format in the header Content-Type: {known}.")


def _is_utf_8() -> bool:
    return request.mimetype_params.get("charset", "utf-8").lower() in _UTF_8
