"""Who changed what."""

from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.requests import optional, parameters
from entrypoints.http.pages import page_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {"subject": optional(query.subject), "cursor": query.cursor}


def audit_screen(kit: Kit) -> list[Route]:
    return [Route("GET", "/console/audit", Scope.AUDIT_READ, _Screen(kit).show)]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        wanted = parameters(_PARAMETERS)
        subject = wanted.get("subject")
        page = await page_of(
            self._kit.cursors.of_audit(subject),
            wanted,
            lambda before, limit: self._kit.use_cases.list_audit(by, subject=subject, before=before, limit=limit),
            lambda entry: entry.id,
        )
        return self._kit.pages.page("audit.html", by, entries=page.items, subject=subject or "", next=page.next)
