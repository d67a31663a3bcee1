import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.errors import Trouble
from application.exports.get_export import Export
from entrypoints.http import examples
from entrypoints.http.accept import preferred
from entrypoints.http.bodies.exports import ExportBody
from entrypoints.http.bodies.jobs import JobAcceptedBody
from entrypoints.http.decoding import read_json
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed
from entrypoints.http.ids import job_id_of
from entrypoints.http.preconditions import is_known
from entrypoints.http.prefix import here
from entrypoints.http.ranges import RANGES, Stretch, stretch_in
from entrypoints.http.replies import BrokenOff, Reply, download, not_modified, reply
from entrypoints.http.routes.route import Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
_EXPORT: Final = msgspec.json.Decoder(ExportBody)
_MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
# A database that is gone for a moment breaks off no download: so many attempts, so many seconds apart.
_ATTEMPTS: Final = 5
_PAUSE: Final = 1.0


def exports_routes(use_cases: UseCases) -> list[Route]:
    handlers = _Handlers(use_cases)
    return [
        Route(
            "POST",
            "/exports",
            Scope.ORDERS_READ,
            handlers.start,
            honours=_KEY,
            body=_EXPORT,
            example=examples.EXPORT,
            summary="Export orders, products or events",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
        ),
        Route(
            "GET",
            "/exports/<job_id>",
            Scope.ORDERS_READ,
            handlers.get,
            honours=RANGES | {"If-None-Match"},
            summary="Download an export",
            answers={HTTPStatus.OK: ..., HTTPStatus.PARTIAL_CONTENT: ..., HTTPStatus.NOT_MODIFIED: None},
            refusals=frozenset({HTTPStatus.CONFLICT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}),
            produces=tuple(_MEDIA_TYPES.values()),
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def start(self, by: Principal) -> Reply:
        call = await keyed((await read_json(_EXPORT)).to_request(), scope="export")
        job = await self._use_cases.start_export(by, call)
        return reply(JobAcceptedBody(job.id), HTTPStatus.ACCEPTED, ("Location", here(f"/jobs/{job.id}")))

    async def get(self, job_id: str, by: Principal) -> Reply:
        export = await self._use_cases.get_export(by, job_id_of(job_id))
        wanted, size, etag = export.request, export.file.size, _etag(export)
        media_type = preferred(request.headers.get("Accept"), [_MEDIA_TYPES[wanted.format]])
        if is_known(etag, request.headers):
            return not_modified(etag)
        headers = [
            ("Content-Type", media_type),
            ("ETag", etag),
            ("Accept-Ranges", "bytes"),
            ("Holdfast-Position", str(export.as_of)),
            ("Content-Disposition", f'attachment; filename="{wanted.what}-{export.as_of}.{wanted.format}"'),
        ]
        # RFC 9110, section 14.2: a range is of a GET alone.
        part = stretch_in(request.headers, size=size, etag=etag) if request.method == "GET" else None
        if part is not None:
            headers.append(("Content-Range", part.content_range(size)))
        stretch = part or Stretch(0, size)
        content = None if request.method == "HEAD" else _content(self._use_cases.read_export, by, export, stretch)
        status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
        return download(content, stretch.end - stretch.start, status, headers)


def _etag(export: Export) -> str:
    # An idempotency key leads to the same id again, when the export was removed meanwhile.
    return f'"{export.job.created_at.timestamp():.6f}-{export.file.size}"'


async def _content(
    read: Callable[..., Awaitable[bytes]], by: Principal, export: Export, stretch: Stretch
) -> AsyncGenerator[bytes, None]:
    """The bytes, part by part. Raise `BrokenOff` if they can't be read any more."""
    at = stretch.start
    while at < stretch.end:
        part = (await _patiently(lambda: read(by, export, at=at)))[: stretch.end - at]  # noqa: B023 - called at once
        if not part:
            raise BrokenOff(f"export {export.job.id} was removed while it was downloaded")
        at += len(part)
        yield part


async def _patiently(read: Callable[[], Awaitable[bytes]]) -> bytes:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await read()
        except Trouble:
            await asyncio.sleep(_PAUSE)
    try:
        return await read()
    except Trouble as error:
        raise BrokenOff(str(error)) from error
