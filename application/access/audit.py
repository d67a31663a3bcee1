"""Read the audit, and the caller that its entries name."""

from collections.abc import Sequence

from attrs import frozen

from application.access.principal import Principal
from application.execution.working_for import request_id
from application.ports.audit import AuditEntry, Caller
from application.ports.persistence import UnitOfWork


def caller_of(by: Principal) -> Caller:
    """Return who makes the call that is being handled. In a batch it is too late to ask."""
    return Caller(by.key_id, request_id() or "")


@frozen
class ListAudit:
    """List the audit, newest first, also of one subject. A page begins after the entry `before`."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _by: Principal, *, subject: str | None = None, before: int | None = None, limit: int
    ) -> Sequence[AuditEntry]:
        async with self._unit_of_work.reading() as tx:
            return await tx.audit.page(subject=subject, before=before, limit=limit)
