"""Read the audit, and the caller that its entries name."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve, field, frozen

from application.access.principal import Principal
from application.execution.working_for import request_id
from application.ports.audit import AuditEntry, Caller
from application.ports.persistence import UnitOfWork

# Entries that a page of acts looks at, and that are read at once.
_MOST_LOOKED_AT: Final = 2000
_STRETCH: Final = 250


def caller_of(by: Principal) -> Caller:
    """Return who makes the call that is being handled. In a batch it is too late to ask."""
    return Caller(by.key_id, request_id() or "")


@frozen
class ListAudit:
    """List the audit, newest first, also of one subject, request or action. A page begins after the entry `before`."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self,
        _by: Principal,
        *,
        subject: str | None = None,
        request_id: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> Sequence[AuditEntry]:
        async with self._unit_of_work.reading() as tx:
            return await tx.audit.page(
                subject=subject, request_id=request_id, action=action, before=before, limit=limit
            )


@frozen
class AuditAct:
    """Entries of one action that one request has made: the newest, and how many they are."""

    entry: AuditEntry
    count: int


@frozen
class ActsFound:
    """Some acts, newest first. `looked_to` is the last entry that was looked at, if there are older ones."""

    acts: Sequence[AuditAct]
    looked_to: int | None


@frozen
class ListActs:
    """List the audit by acts, newest first, or those of one action: hundreds of entries of one act hide no other.

    A page begins after the entry `before`, and looks at a bounded number of entries: an act of more than these goes on
    on the next page. Entries without a request are acts of their own.
    """

    _unit_of_work: UnitOfWork
    _most: int = field(default=_MOST_LOOKED_AT, kw_only=True)

    async def __call__(
        self, _by: Principal, *, action: str | None = None, before: int | None = None, limit: int
    ) -> ActsFound:
        found: dict[object, AuditAct] = {}
        looked_at = 0
        async with self._unit_of_work.reading() as tx:
            while looked_at < self._most:
                stretch = min(_STRETCH, self._most - looked_at)
                entries = await tx.audit.page(
                    subject=None, request_id=None, action=action, before=before, limit=stretch
                )
                for entry in entries:
                    act = (entry.by, entry.action) if entry.by.request_id else entry.id
                    if act not in found and len(found) == limit:
                        return ActsFound(list(found.values()), before)
                    known = found.get(act)
                    found[act] = AuditAct(entry, 1) if known is None else evolve(known, count=known.count + 1)
                    before = entry.id
                looked_at += len(entries)
                if len(entries) < stretch:
                    return ActsFound(list(found.values()), None)
        return ActsFound(list(found.values()), before)
