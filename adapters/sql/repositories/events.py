from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Executable, FromClause, Row, select

from adapters.codecs.events import decode
from adapters.sql.core.bulk import BulkStatement, Written, written_whole
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.repositories.feed_queue import QUEUE, queued
from adapters.sql.repositories.outbox import ENTRY_WRITTEN
from adapters.sql.tables.events import order_events, outbox
from application.execution.after_commit import Committed
from domain.ids import OrderId
from domain.orders.events import Event

# What is written into each column, of which the outbox gets its own; only the body is read.
WRITTEN: Final[Written[Event]] = {**ENTRY_WRITTEN, "at": attrgetter("at")}


def _insert_and_announce(new: FromClause, dialect: SqlDialect) -> Sequence[Executable]:
    return dialect.inserts.into_all(new, order_events, {outbox: tuple(ENTRY_WRITTEN)}, also=[QUEUE])


INSERT_AND_ANNOUNCE: Final = BulkStatement(order_events, written_whole(order_events, WRITTEN), _insert_and_announce)
_OF_ORDERS: Final = (
    select(order_events.c.order_id, order_events.c.body)
    .where(among(order_events.c.order_id, "ids"))
    .order_by(order_events.c.order_id, order_events.c.sequence)
)


@frozen
class SqlEvents:
    _block: TransactionBlock
    _committed: Committed

    async def add_many(self, events: Sequence[Event]) -> None:
        await self._block.change_many(INSERT_AND_ANNOUNCE, events, queued(events))
        self._committed.events += events
        self._committed.outbox |= bool(events)

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        if not ids:
            return []
        rows = await self._block.fetch(_OF_ORDERS, {"ids": list(ids)})
        return [checked("an event of order", row.order_id, _event, row) for row in rows]


def _event(row: Row[Any]) -> Event:
    return decode(row.body)
