import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


async def rows_in(read: Callable[[int], Awaitable[bytes]]) -> AsyncIterator[dict[str, Any]]:
    """The rows of an NDJSON file that is read part by part. `read` returns a part from a place on, or no bytes."""
    rest, at = b"", 0
    while part := await read(at):
        at += len(part)
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield json.loads(line)
