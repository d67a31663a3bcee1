from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Executable,
    FromClause,
    Row,
    bindparam,
    delete,
    literal,
    select,
    union_all,
)

from adapters.codecs.events import encode
from adapters.sql.core.bulk import BulkStatement, Written, insert_missing, written_whole
from adapters.sql.core.expressions import among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.repositories.low_water_mark import LowWaterMark
from adapters.sql.repositories.relay_lease import LEASE, if_held, releasing, renewing, take
from adapters.sql.tables.events import announcements, outbox, outbox_mark, waiting_work
from application.execution.after_commit import Committed
from application.ports.outbox import OutboxEntry, Waits
from domain.ids import OrderId
from domain.orders.events import Event, EventId

# What is written into each column; `_entry` reads it.
ENTRY_WRITTEN: Final[Written[Event]] = {
    "order_id": attrgetter("order_id"),
    "sequence": attrgetter("sequence"),
    "type": attrgetter("type"),
    "body": lambda event: encode(event).decode(),
}


def _entry(row: Row[Any]) -> OutboxEntry:
    id_ = EventId(row.order_id, row.sequence)
    return OutboxEntry(row.position, id_, row.type, row.body.encode(), row.first_put_off)


def _put_back(new: FromClause, _: SqlDialect) -> Executable:
    # What was accepted is in no history, so all that is of one order has one sequence number.
    return insert_missing(outbox, new, key=("order_id", "sequence", "body"), also_in=[waiting_work])


_PUT_BACK: Final = BulkStatement(outbox, written_whole(outbox, ENTRY_WRITTEN), _put_back)
_DELETE: Final = delete(outbox).where(among(outbox.c.position, "positions"))
# Not EXISTS: where PostgreSQL expects few announcements, it may read the whole table for it.
_FIRST_PUT_OFF: Final = (
    select(announcements.c.position)
    .where(announcements.c.order_id == outbox.c.order_id)
    .order_by(announcements.c.position)
    .limit(1)
    .scalar_subquery()
)
# A relay always begins at the oldest entry, not behind the last one that it saw: an entry with a lower position may
# still be committed.
_IN_ORDER: Final = (
    select(*outbox.c, _FIRST_PUT_OFF.label("first_put_off")).order_by(outbox.c.position).limit(bindparam("limit"))
)
MARK: Final = LowWaterMark(outbox.c.position, outbox_mark)
_OLDEST: Final = _IN_ORDER.where(MARK.not_below)
_PAGE: Final = _IN_ORDER.where(outbox.c.position > bindparam("after"))
# An event that is work is announced as well. If it waits in several places, the last of this table is told.
_PLACES: Final = {Waits.PUT_OFF: announcements, Waits.OUTBOX: outbox, Waits.AT_ITS_QUEUE: waiting_work}
_WAITING: Final = union_all(
    *(
        select(table.c.sequence, literal(where.value).label("place")).where(table.c.order_id == bindparam("order_id"))
        for where, table in _PLACES.items()
    )
)


@cache
def _remove(dialect: SqlDialect) -> Executable:
    # The removal need not be on the disk at the commit. If a crash of the server undoes it, the entries are only sent
    # once more.
    return dialect.durability.need_not_last(_DELETE)


_OLDEST_IF_HELD: Final = if_held(LEASE, _OLDEST)
_RENEW_LEASE: Final = renewing(LEASE)
_RELEASE_LEASE: Final = releasing(LEASE)


@frozen
class SqlOutbox:
    """One relay at a time is active, so that the events of an order leave in their order, from one batch to the next.

    It holds a lease, not locks on the entries (FOR UPDATE SKIP LOCKED): with those, one relay could publish the second
    event of an order while another still has the first; and they would last as long as the broker takes, with a
    transaction open.
    """

    _block: TransactionBlock
    _committed: Committed

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        rows = await self._block.fetch(_OLDEST_IF_HELD, {"by": by, "limit": limit}, lock=True)
        if not rows[0].is_held:
            return await self._claim_anew(by, limit)
        # A join promises no order.
        return sorted((_entry(row) for row in rows if row.position is not None), key=attrgetter("position"))

    async def _claim_anew(self, by: str, limit: int) -> list[OutboxEntry]:
        """Take or renew the lease, and claim: at the first claim of a relay, and about once a second after that."""
        if not await take(self._block, LEASE, by):
            return []
        entries = [_entry(row) for row in await self._block.fetch(_OLDEST, {"limit": limit})]
        await MARK.rise(self._block, [entry.position for entry in entries])
        return entries

    async def renew(self, *, by: str) -> bool:
        # Until the commit, the row is locked, so that no other relay takes the lease meanwhile.
        return bool(await self._block.change(_RENEW_LEASE, {"by": by}))

    async def release(self, *, by: str) -> None:
        await self._block.change(_RELEASE_LEASE, {"by": by})

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            positions = [entry.position for entry in entries]
            await self._block.change(_remove(self._block.dialect), {"positions": positions})

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        await self._block.change_many(_PUT_BACK, events)
        self._committed.outbox |= bool(events)

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [_entry(row) for row in await self._block.fetch(_PAGE, {"after": after or 0, "limit": limit})]

    async def waiting(self, order_id: OrderId) -> dict[EventId, Waits]:
        rows = await self._block.fetch(_WAITING, {"order_id": order_id})
        places = list(_PLACES)
        found = sorted(((Waits(row.place), row.sequence) for row in rows), key=lambda each: places.index(each[0]))
        return {EventId(order_id, sequence): where for where, sequence in found}
