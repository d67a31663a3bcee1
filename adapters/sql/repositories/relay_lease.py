"""The lease of the active relay, which the outbox and the feed share."""

from typing import Any, Final

from sqlalchemy import Select, exists, select

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.lease import Lease
from adapters.sql.tables import leases
from application.ports.persistence import LEASE_SECONDS

LEASE: Final = Lease("relay", LEASE_SECONDS)
# A claim that lasts for so long is renewed later: a relay that is busy writes, and waits for the disk, once a second.
_ENOUGH_SECONDS: Final = LEASE_SECONDS - 1
_HELD: Final = exists(select(leases.c.name).where(LEASE.is_held(_ENOUGH_SECONDS)))


def if_held(oldest: Select[Any]) -> Select[Any]:
    """A row that says whether the lease is held, and those of `oldest` beside it: a look at nothing is one read."""
    lease, rows = select(_HELD.label("is_held")).subquery("lease"), oldest.subquery("oldest")
    return select(lease.c.is_held, *rows.c).select_from(lease.outerjoin(rows, lease.c.is_held))


async def take_lease(block: TransactionBlock, by: str) -> bool:
    dialect = block.dialect
    if dialect.durability.must_last is not None:
        await block.fetch(dialect.durability.must_last)
    return bool(await block.change(LEASE.taking(dialect), {"by": by}))
