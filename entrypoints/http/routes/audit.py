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
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {"subject": query.subject, "limit": query.limit, "cursor": query.cursor}


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
        subject, cursor = wanted.get("subject"), wanted.get("cursor")
        limit = wanted.get("limit", query.DEFAULT_LIMIT)
        before = None if cursor is None else self._cursors.entry_at(cursor, subject)
        # One more than is shown tells whether there is a next page.
        entries = await self._use_cases.list_audit(by, subject=subject, before=before, limit=limit + 1)
        shown = entries[:limit]
        following = self._cursors.after_entry(shown[-1].id, subject) if len(entries) > limit else None
        return reply(AuditBody([AuditEntryBody.of(entry) for entry in shown], following))
