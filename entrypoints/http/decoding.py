import asyncio
from typing import Final

import msgspec
from quart import request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from entrypoints.http.json_shapes import B, decode

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
        raise UnsupportedMediaType(_SEND_JSON)
