"""A body that is a file: taken part by part as it arrives, since it may be larger than any memory."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from quart import request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from entrypoints.http.digests import Digests
from entrypoints.http.server.asgi import IN_PARTS, Scope
from entrypoints.http.server.connection import Body


async def read_parts(most: int) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives, however long it takes in all.

    Raise `RequestTimeout` if nothing comes for some time, `RequestEntityTooLarge`, or `InvalidHeader` for a digest.
    """
    # The server bounds the time and the size of what it receives, and so must know (`protocol.py`).
    cast(Scope, request.scope)[IN_PARTS] = True
    digests, parts = Digests(request.headers), cast(Body, request.body).parts(most)
    while True:
        try:
            async with asyncio.timeout(request.body_timeout):
                part = await anext(parts, None)
        except TimeoutError:
            raise RequestTimeout from None
        except RequestEntityTooLarge:
            raise RequestEntityTooLarge(f"A file has at most {most} bytes here: send it in several.") from None
        if part is None:
            break
        digests.update(part)
        yield part
    digests.expect()
