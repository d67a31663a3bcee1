"""Who changed what: a line for each act, which leads to its entries."""

from typing import Final
from urllib.parse import urlencode

from attrs import frozen

from application.access.audit import AuditAct
from application.access.principal import Principal
from application.access.scopes import Scope
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.requests import optional, parameters
from entrypoints.http.ids import order_id_of
from entrypoints.http.pages import Page, page_of
from entrypoints.http.refusals import NotAnId
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route


def _subject(text: str) -> str:
    """What somebody has typed or pasted. An id alone is that of an order."""
    subject = query.subject(text)
    try:
        return f"order {order_id_of(subject.lower())}"
    except NotAnId:
        return subject


_PARAMETERS: Final = {
    "subject": lambda text: optional(_subject)(text.strip()),
    "request_id": optional(query.request_id),
    "action": lambda text: optional(query.action)(text.strip()),
    "cursor": query.cursor,
}


def audit_screen(kit: Kit) -> list[Route]:
    return [Route("GET", "/console/audit", Scope.AUDIT_READ, _Screen(kit).show)]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        wanted = parameters(_PARAMETERS)
        only = {name: wanted.get(name) for name in ("subject", "request_id", "action")}
        # If one thing or one request is asked about, each entry is shown.
        list_ = self._entries if only["subject"] or only["request_id"] else self._acts
        page = await list_(by, wanted.get("cursor"), **only)
        names = await self._kit.names_of(by, [act.entry.by.key_id for act in page.items])
        given = urlencode({name: value for name, value in only.items() if value})
        return self._kit.pages.page(
            "audit.html", by, acts=page.items, names=names, only=only, query=given, next=page.next
        )

    async def _acts(self, by: Principal, cursor: str | None, *, action: str | None, **_: None) -> Page[AuditAct]:
        cursors = self._kit.cursors.of_audit(action=action)
        before = None if cursor is None else cursors.start(cursor)
        found = await self._kit.use_cases.list_acts(by, action=action, before=before, limit=query.DEFAULT_LIMIT)
        return Page(found.acts, None if found.looked_to is None else cursors.after(found.looked_to))

    async def _entries(self, by: Principal, cursor: str | None, **only: str | None) -> Page[AuditAct]:
        page = await page_of(
            self._kit.cursors.of_audit(**only),
            {} if cursor is None else {"cursor": cursor},
            lambda before, limit: self._kit.use_cases.list_audit(by, **only, before=before, limit=limit),
            lambda entry: entry.id,
        )
        return Page([AuditAct(entry, 1) for entry in page.items], page.next)
