from http import HTTPStatus
from typing import Final

from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.assembly.use_cases import UseCases
from application.imports.request import NEEDS, ImportRequest
from application.ports.idempotency import IdempotencyKey
from application.ports.rows import Format
from entrypoints.http import examples, query
from entrypoints.http.bodies.imports import ImportBody
from entrypoints.http.decoding import expect_file
from entrypoints.http.downloads import MEDIA_TYPES, file_reply
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import key_in, started
from entrypoints.http.ids import job_id_of
from entrypoints.http.refusals import InvalidRequest, in_query
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.download_route import download_route
from entrypoints.http.routes.route import Route
from entrypoints.http.uploads import read_parts

_ACCESS: Final = frozenset(NEEDS.values())
_PARAMETERS: Final = {"what": query.what, "dry_run": query.dry_run, "on_error": query.on_error}
_NEEDED: Final = frozenset({"what"})
_FORMATS: Final = {media_type: name for name, media_type in MEDIA_TYPES.items()}


def imports_routes(use_cases: UseCases, max_import: int) -> list[Route]:
    handlers = _Handlers(use_cases, max_import)
    return [
        Route(
            "POST",
            "/imports",
            _ACCESS,
            handlers.start,
            honours=frozenset({IDEMPOTENCY_KEY}),
            parameters=_PARAMETERS,
            needs=_NEEDED,
            takes=tuple(_FORMATS),
            summary="Import products, changes of stock, or orders",
            answers={HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
        ),
        Route(
            "GET",
            "/imports/<job_id>",
            _ACCESS,
            handlers.get,
            summary="Look at an import",
            answers={HTTPStatus.OK: examples.IMPORT},
        ),
        download_route(
            "/imports/<job_id>/results", _ACCESS, handlers.results, summary="Download what became of each row"
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _max_import: int

    async def start(self, by: Principal) -> Reply:
        wanted = _wanted()
        key = key_in(request.headers)
        begun = await self._use_cases.start_import(
            by,
            wanted,
            read_parts(self._max_import),
            key=None if key is None else IdempotencyKey("import", key),
        )
        return started(begun, "/imports")

    async def get(self, by: Principal, job_id: str) -> Reply:
        return reply(ImportBody.of(await self._use_cases.get_import(by, job_id_of(job_id))))

    async def results(self, by: Principal, job_id: str) -> Reply:
        found = await self._use_cases.get_import(by, job_id_of(job_id))
        results = found.expect_results()
        return file_reply(
            found.job,
            results,
            lambda at: self._use_cases.read_results(by, results, at=at),
            name=f"{found.request.what}-{results.name}",
        )


def _wanted() -> ImportRequest:
    """Raise `InvalidRequest` or `UnsupportedMediaType`."""
    asked = query.parameters(request.query_string, _PARAMETERS)
    if "what" not in asked:
        raise InvalidRequest(in_query("what", "it is required, and missing", "required"))
    return ImportRequest(format=_format(), **asked)


def _format() -> Format:
    expect_file(_FORMATS)
    return _FORMATS[request.mimetype]
