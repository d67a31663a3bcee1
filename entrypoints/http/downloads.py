"""Files of jobs as responses: whole, in part, or not at all if the client has them. Their bytes never change."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from quart import request

from application.errors import Trouble
from application.ports.files import StoredFile
from application.ports.rows import NDJSON, Format
from domain.jobs.job import Job
from entrypoints.http.accept import preferred
from entrypoints.http.preconditions import is_known
from entrypoints.http.ranges import RANGES, Stretch, stretch_in
from entrypoints.http.replies import BrokenOff, Reply, download, not_modified

# What the route of a file honours.
HONOURS: Final = RANGES | {"If-None-Match"}
MEDIA_TYPES: Final[Mapping[Format, str]] = {"ndjson": "application/x-ndjson", "csv": "text/csv"}

# A database that is gone for a moment breaks off no download: so many attempts, so many seconds apart.
_ATTEMPTS: Final = 5
_PAUSE: Final = 1.0

# Returns the bytes of the file from a place on.
Read = Callable[[int], Awaitable[bytes]]


def file_reply(  # noqa: PLR0913 - the parts of one response, by name
    job: Job,
    file: StoredFile,
    read: Read,
    *,
    name: str,
    format_: Format = NDJSON,
    headers: Sequence[tuple[str, str]] = (),
) -> Reply:
    """Return the response, as the headers of the request want it. `name`, without an ending, is that of the file.

    Raise `NotAcceptable` or `UnsatisfiableRange`.
    """
    # An idempotency key leads to the same id again, when the file was removed meanwhile.
    etag = f'"{job.created_at.timestamp():.6f}-{file.size}"'
    media_type = preferred(request.headers.get("Accept"), [MEDIA_TYPES[format_]])
    if is_known(etag, request.headers):
        return not_modified(etag)
    own = [
        ("Content-Type", media_type),
        ("ETag", etag),
        ("Accept-Ranges", "bytes"),
        *headers,
        ("Content-Disposition", f'attachment; filename="{name}.{format_}"'),
    ]
    # RFC 9110, section 14.2: a range is of a GET alone.
    part = stretch_in(request.headers, size=file.size, etag=etag) if request.method == "GET" else None
    if part is not None:
        own.append(("Content-Range", part.content_range(file.size)))
    stretch = part or Stretch(0, file.size)
    content = None if request.method == "HEAD" else _content(job, read, stretch)
    status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
    return download(content, stretch.end - stretch.start, status, own)


async def _content(job: Job, read: Read, stretch: Stretch) -> AsyncGenerator[bytes, None]:
    """The bytes, part by part. Raise `BrokenOff` if they can't be read any more."""
    at = stretch.start
    while at < stretch.end:
        part = (await _patiently(read, at))[: stretch.end - at]
        if not part:
            raise BrokenOff(f"{job.kind} {job.id} was removed while it was downloaded")
        at += len(part)
        yield part


async def _patiently(read: Read, at: int) -> bytes:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await read(at)
        except Trouble:
            await asyncio.sleep(_PAUSE)
    try:
        return await read(at)
    except Trouble as error:
        raise BrokenOff(str(error)) from error
