from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from msgspec import UNSET
from quart import request

from application.access.principal import Principal
from application.assembly.use_cases import UseCases
from application.operations.bulk import ITEMS, LOOKS, NEEDS, UnknownBulkOperation
from application.operations.bulk_operations import BulkFound
from entrypoints.http import examples, query
from entrypoints.http.bodies.bulk import BulkBody, BulksBody, MeasuredBody, StartBulkBody
from entrypoints.http.bodies.jobs import BrokenJobBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json
from entrypoints.http.downloads import file_reply
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.idempotency import keyed, started
from entrypoints.http.ids import job_id_of
from entrypoints.http.pages import page_reply
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.download_route import download_route
from entrypoints.http.routes.route import Route

_PAGE: Final = {"limit": query.limit, "cursor": query.cursor}
_START: Final = msgspec.json.Decoder(StartBulkBody)
_CONFLICT: Final = frozenset({HTTPStatus.CONFLICT})


def bulk_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers, needs, one = _Handlers(use_cases, cursors), frozenset(LOOKS.values()), "/bulk-operations/<job_id>"
    return [
        Route(
            "POST",
            "/bulk-operations",
            frozenset(NEEDS.values()),
            handlers.start,
            body=_START,
            example=examples.START_BULK,
            summary="Replay or discard many dead letters, cancel many orders or retry their payment, or count them",
            answers={HTTPStatus.OK: examples.MEASURED, HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED},
            honours=frozenset({IDEMPOTENCY_KEY}),
            refusals=_CONFLICT,
        ),
        Route(
            "GET",
            "/bulk-operations",
            needs,
            handlers.page,
            parameters=_PAGE,
            summary="List bulk operations",
            answers={HTTPStatus.OK: examples.BULKS},
        ),
        Route(
            "GET",
            one,
            needs,
            handlers.get,
            summary="Look at a bulk operation",
            answers={HTTPStatus.OK: examples.BULK},
        ),
        Route(
            "POST",
            f"{one}/stop",
            needs,
            handlers.stop,
            summary="Take no further item",
            answers={HTTPStatus.OK: examples.BULK},
            refusals=_CONFLICT,
        ),
        download_route(f"{one}/results", needs, handlers.results, summary="Download what became of each item so far"),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def start(self, by: Principal) -> Reply:
        body = await read_json(_START)
        wanted = body.to_request()
        call = await keyed(wanted, scope="bulk")
        if body.dry_run:
            return reply(MeasuredBody.of(await self._use_cases.measure_bulk(by, wanted)))
        return started(await self._use_cases.start_bulk(by, call, shown=body.shown), "/bulk-operations")

    async def page(self, by: Principal) -> Reply:
        found, following = await bulk_page(self._use_cases, self._cursors, by, _PAGE)
        broken = [BrokenJobBody.of(each) for each in found.broken]
        body = BulksBody([BulkBody.of(each) for each in found.operations], following, broken or UNSET)
        return page_reply(body)

    async def get(self, job_id: str, by: Principal) -> Reply:
        return reply(BulkBody.of(await self._use_cases.get_bulk(by, job_id_of(job_id))))

    async def stop(self, job_id: str, by: Principal) -> Reply:
        return reply(BulkBody.of(await self._use_cases.stop_bulk(by, job_id_of(job_id))))

    async def results(self, job_id: str, by: Principal) -> Reply:
        found = await self._use_cases.get_bulk(by, job_id_of(job_id))
        items = found.items
        if items is None:
            raise UnknownBulkOperation(f"bulk operation {job_id} has no results yet, or they were removed")
        return file_reply(
            found.job,
            items,
            lambda at: self._use_cases.read_items(by, found, at=at),
            name=f"bulk-{found.request.act}-{ITEMS}",
        )


async def bulk_page(
    use_cases: UseCases, cursors: Cursors, by: Principal, parameters: Mapping[str, query.Reader]
) -> tuple[BulkFound, str | None]:
    """Return a page of operations as the query asks for it, and the cursor of the next one, if there is one."""
    sent, places = query.parameters(request.query_string, parameters), cursors.of_bulk_operations()
    before = places.start(sent["cursor"]) if "cursor" in sent else None
    found = await use_cases.list_bulk(by, before=before, limit=sent.get("limit", query.DEFAULT_LIMIT))
    return found, None if found.looked_to is None else places.after(found.looked_to)
