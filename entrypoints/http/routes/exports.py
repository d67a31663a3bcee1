from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from entrypoints.http import examples
from entrypoints.http.bodies.exports import ExportBody
from entrypoints.http.decoding import read_json
from entrypoints.http.downloads import MEDIA_TYPES, file_reply
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed, started
from entrypoints.http.ids import job_id_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.download_route import download_route
from entrypoints.http.routes.route import Route

_KEY: Final = frozenset({IDEMPOTENCY_KEY})
_EXPORT: Final = msgspec.json.Decoder(ExportBody)


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
        download_route(
            "/exports/<job_id>",
            Scope.ORDERS_READ,
            handlers.get,
            summary="Download an export",
            formats=tuple(MEDIA_TYPES),
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases

    async def start(self, by: Principal) -> Reply:
        call = await keyed((await read_json(_EXPORT)).to_request(), scope="export")
        return started(await self._use_cases.start_export(by, call), "/jobs")

    async def get(self, job_id: str, by: Principal) -> Reply:
        export = await self._use_cases.get_export(by, job_id_of(job_id))
        wanted = export.request
        return file_reply(
            export.job,
            export.file,
            lambda at: self._use_cases.read_export(by, export.file, at=at),
            name=f"{wanted.what}-{export.as_of}",
            format_=wanted.format,
            headers=[("Holdfast-Position", str(export.as_of))],
        )
