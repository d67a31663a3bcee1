import json
from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Row, Select, bindparam, select

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.access import audit
from application.ports.audit import AuditEntry, Caller


def _json(values: Mapping[str, Any]) -> str:
    # Some mappings are no dict.
    return json.dumps(values, default=dict)


# What is written into each column; `_entry` reads it.
_WRITTEN: Final[Written[AuditEntry]] = {
    "at": attrgetter("at"),
    "key_id": attrgetter("by.key_id"),
    "request_id": attrgetter("by.request_id"),
    "action": attrgetter("action"),
    "subject": attrgetter("subject"),
    "before": lambda entry: _json(entry.before),
    "after": lambda entry: _json(entry.after),
    "reason": attrgetter("reason"),
}
# The columns by which a page is chosen. Each has an index.
_FILTERS: Final = frozenset({"subject", "request_id", "action"})
_INSERT: Final = bulk_insert(audit, _WRITTEN)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        by=Caller(row.key_id, row.request_id),
        action=row.action,
        subject=row.subject,
        before=json.loads(row.before),
        after=json.loads(row.after),
        reason=row.reason,
    )


@cache
def _page(names: frozenset[str]) -> Select[Any]:
    page = select(*audit.c).order_by(audit.c.id.desc()).limit(bindparam("limit"))
    for name in names & _FILTERS:
        page = page.where(audit.c[name] == bindparam(name))
    return page.where(audit.c.id < bindparam("before")) if "before" in names else page


@frozen
class SqlAudit:
    _block: TransactionBlock

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        await self._block.change_many(_INSERT, entries)

    async def page(
        self, *, subject: str | None, request_id: str | None, action: str | None, before: int | None, limit: int
    ) -> list[AuditEntry]:
        conditions = {"subject": subject, "request_id": request_id, "action": action, "before": before}
        asked = {name: value for name, value in conditions.items() if value is not None}
        rows = await self._block.fetch(_page(frozenset(asked)), {**asked, "limit": limit})
        return [checked("audit entry", row.id, _entry, row) for row in rows]
