from http import HTTPStatus
from typing import Final

from attrs import frozen
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from entrypoints.http import examples, query
from entrypoints.http.bodies.audit import AuditBody, AuditEntryBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {
    "subject": query.subject,
    "request_id": query.request_id,
    "action": query.action,
    "limit": query.limit,
    "cursor": query.cursor,
}


def audit_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    return [
        Route(
            "GET",
            "/audit",
            Scope.AUDIT_READ,
            _Handlers(use_cases, cursors).page,
            parameters=_PARAMETERS,
            summary="List who changed what, newest first",
            answers={HTTPStatus.OK: examples.AUDIT},
        )
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        only = {name: wanted.get(name) for name in ("subject", "request_id", "action")}
        page = await page_of(
            self._cursors.of_audit(**only),
            wanted,
            lambda before, limit: self._use_cases.list_audit(by, **only, before=before, limit=limit),
            lambda entry: entry.id,
        )
        body = AuditBody([AuditEntryBody.of(entry) for entry in page.items], page.next)
        return page_reply(body)
