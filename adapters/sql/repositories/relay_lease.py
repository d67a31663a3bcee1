"""The leases of the active relays: one publishes what is in the outbox, one gives positions in the feed.

They are apart, so that a relay that hangs in a call of the broker does not keep others from publishing because it still
gives positions. For the same reason a relay that waits for a confirm does not renew its lease meanwhile: when the lease
is over, another relay publishes, whose way to the broker may work. What both have sent arrives twice, as it may.
"""

from typing import Any, Final

from sqlalchemy import Delete, Select, Update, bindparam, delete, exists, select, update

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.lease import Lease
from adapters.sql.tables.shop import leases
from application.ports.outbox import LEASE_SECONDS

LEASE: Final = Lease("relay", LEASE_SECONDS)
FEED_LEASE: Final = Lease("feed", LEASE_SECONDS)
# A claim that lasts for so long is renewed later: a relay that is busy writes, and waits for the disk, once a second.
_ENOUGH_SECONDS: Final = LEASE_SECONDS - 1


def if_held(held: Lease, oldest: Select[Any]) -> Select[Any]:
    """A row that says whether the lease is held, and those of `oldest` beside it: a look at nothing is one read."""
    is_held = exists(select(leases.c.name).where(held.is_held(_ENOUGH_SECONDS)))
    lease, rows = select(is_held.label("is_held")).subquery("lease"), oldest.subquery("oldest")
    return select(lease.c.is_held, *rows.c).select_from(lease.outerjoin(rows, lease.c.is_held))


async def take(block: TransactionBlock, lease: Lease, by: str) -> bool:
    dialect = block.dialect
    if dialect.durability.must_last is not None:
        await block.fetch(dialect.durability.must_last)
    return bool(await block.change(lease.taking(dialect), {"by": by}))


def renewing(lease: Lease) -> Update:
    return update(leases).where(leases.c.name == lease.name, leases.c.holder == bindparam("by")).values(until=lease.end)


def releasing(lease: Lease) -> Delete:
    return delete(leases).where(leases.c.name == lease.name, leases.c.holder == bindparam("by"))
