from collections.abc import Sequence

from attrs import evolve, frozen

from adapters.memory.store import Changes
from application.ports.audit import AuditEntry


@frozen
class MemoryAudit:
    _changes: Changes

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        self._changes.audit.extend(entries)

    async def page(
        self, *, subject: str | None, request_id: str | None, action: str | None, before: int | None, limit: int
    ) -> list[AuditEntry]:
        known = enumerate([*self._changes.store.audit, *self._changes.audit], start=1)
        found = [
            evolve(entry, id=id_)
            for id_, entry in known
            if (before is None or id_ < before)
            and subject in {None, entry.subject}
            and request_id in {None, entry.by.request_id}
            and action in {None, entry.action}
        ]
        return found[::-1][:limit]
