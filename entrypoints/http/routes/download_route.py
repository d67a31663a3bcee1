from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from application.ports.rows import NDJSON, Format
from entrypoints.http.downloads import HONOURS, MEDIA_TYPES
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Access, Route


def download_route(
    path: str,
    access: Access,
    handler: Callable[..., Awaitable[Reply]],
    *,
    summary: str,
    formats: Sequence[Format] = (NDJSON,),
) -> Route:
    """The route of a file that a job has written, whose handler returns a `file_reply`."""
    return Route(
        "GET",
        path,
        access,
        handler,
        honours=HONOURS,
        summary=summary,
        answers={HTTPStatus.OK: ..., HTTPStatus.PARTIAL_CONTENT: ..., HTTPStatus.NOT_MODIFIED: None},
        refusals=frozenset({HTTPStatus.CONFLICT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}),
        produces=tuple(MEDIA_TYPES[each] for each in formats),
    )
