"""Leases: rows that give one process a right for some seconds, by the clock of the database."""

from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, bindparam, case, func, literal, or_, true

from adapters.sql.core.expressions import FromNow
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.shop import leases

_NOW: Final = FromNow(literal(0))


class Lease:
    """One lease, by its name. It ends by itself. Its statements have the parameter `by`, the name of the process.

    If it is `shared`, every process may take and renew it. Otherwise, one process at a time holds it.
    """

    def __init__(self, name: str, seconds: float, *, shared: bool = False) -> None:
        self.name, self.shared = name, shared
        self.end = FromNow(literal(seconds))
        # A lease that ends later than one that is taken now is void: the server's clock was set back after it was
        # taken. A process that died would otherwise keep the lease for as long as the clock was set back.
        self._is_void: ColumnElement[bool] = leases.c.until > self.end

    def taking(self, dialect: SqlDialect) -> Executable:
        """Take or renew the lease. It changes one row, or none if another process holds the lease."""
        return _taking(self, dialect)

    def lasts(self, seconds: float = 0) -> ColumnElement[bool]:
        """Return the condition on `leases` that somebody holds the lease, for more than so many seconds."""
        still = _NOW if seconds == 0 else FromNow(literal(seconds))
        return (leases.c.name == self.name) & (leases.c.until > still) & (leases.c.until <= self.end)

    def is_held(self, seconds: float = 0) -> ColumnElement[bool]:
        """Return the condition on `leases` that the process `by` holds it, for more than so many seconds."""
        return self.lasts(seconds) & (leases.c.holder == bindparam("by"))

    def may_take(self, holder: ColumnElement[str]) -> ColumnElement[bool]:
        if self.shared:
            return true()
        return or_(leases.c.holder == holder, leases.c.until < _NOW, self._is_void)

    @property
    def values(self) -> dict[str, ColumnElement[object]]:
        return {"name": literal(self.name), "holder": bindparam("by"), "until": self.end, "since": _NOW}

    def since(self, new: Any) -> ColumnElement[Any]:
        """Return when it was taken: a holder that renews it has it since then."""
        is_renewed = (leases.c.holder == new.holder) & self.lasts()
        return case((is_renewed, func.coalesce(leases.c.since, new.since)), else_=new.since)


@cache
def _taking(lease: Lease, dialect: SqlDialect) -> Executable:
    return dialect.inserts.upsert(
        leases,
        lease.values,
        key=[leases.c.name],
        changes=lambda new: {"holder": new.holder, "until": new.until, "since": lease.since(new)},
        where=lambda new: lease.may_take(new.holder),
    )
