from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Float, Row, Select, bindparam, delete, exists, literal, select, union_all

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import FromNow, among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.relay_lease import LEASE
from adapters.sql.tables.events import announcements
from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry
from domain.orders.events import EventId


@frozen
class _Row:
    announcement: Announcement
    not_before: datetime


# What is written into each column; `_announcement` reads it.
_WRITTEN: Final[Written[_Row]] = {
    "position": attrgetter("announcement.entry.position"),
    "order_id": attrgetter("announcement.entry.id.order_id"),
    "sequence": attrgetter("announcement.entry.id.sequence"),
    "type": attrgetter("announcement.entry.type"),
    "body": lambda row: row.announcement.entry.body.decode(),
    "attempts": attrgetter("announcement.attempts"),
    "not_before": attrgetter("not_before"),
    "since": attrgetter("announcement.since"),
}


def _announcement(row: Row[Any]) -> Announcement:
    entry = OutboxEntry(row.position, EventId(row.order_id, row.sequence), row.type, row.body.encode())
    return Announcement(entry=entry, attempts=row.attempts, since=row.since)


_CLOCK: Final = select(FromNow(literal(0)).label("now"))
_INSERT: Final = bulk_insert(announcements, _WRITTEN)
_DELETE: Final = delete(announcements).where(among(announcements.c.position, "positions"))
# Looked up after the claim of the same transaction, which takes the lease or finds it taken.
_HELD: Final = exists().where(LEASE.is_held())


def _due() -> Select[Any]:
    """The orders, from one stretch of the index by time for each condition."""
    by_time = select(announcements.c.order_id).order_by(announcements.c.not_before).limit(bindparam("limit"))
    # As subqueries, which are evaluated once: PostgreSQL looks up no volatile expression in an index.
    soon = select(FromNow(bindparam("within", type_=Float()))).scalar_subquery()
    furthest = select(FromNow(literal(LONGEST_DELAY.total_seconds()))).scalar_subquery()
    past = by_time.where(announcements.c.not_before <= soon).subquery("past")
    void = by_time.where(announcements.c.not_before > furthest).subquery("void")
    orders = union_all(select(past.c.order_id), select(void.c.order_id)).subquery("orders")
    return select(orders.c.order_id).where(_HELD)


_DUE: Final = _due()
_OF_ORDERS: Final = (
    select(*announcements.c)
    .where(among(announcements.c.order_id, "order_ids"))
    .order_by(announcements.c.order_id, announcements.c.position)
)


@frozen
class SqlAnnouncements:
    _block: TransactionBlock

    async def put_off(self, announcements: Sequence[Announcement]) -> None:
        await self.remove([each.entry for each in announcements])
        [clock] = await self._block.fetch(_CLOCK)
        await self._block.change_many(_INSERT, [_Row(each, clock.now + each.delay) for each in announcements])

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        await self._block.change(_DELETE, {"positions": [entry.position for entry in entries]})

    async def due(self, *, within: timedelta, by: str, limit: int) -> list[Announcement]:
        parameters = {"within": within.total_seconds(), "by": by, "limit": limit}
        orders = {row.order_id for row in await self._block.fetch(_DUE, parameters)}
        if not orders:
            return []
        return [_announcement(row) for row in await self._block.fetch(_OF_ORDERS, {"order_ids": list(orders)})]
