from collections.abc import Collection, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Insert, Row, insert, select

from adapters.codecs.events import decode, encode
from adapters.sql.core.bulk import BulkStatement, among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.outbox import SqlOutbox
from adapters.sql.tables import order_events, outbox
from domain.ids import OrderId
from domain.orders.events import Event

_COLUMNS: Final = tuple(order_events.c)
_SENT: Final = ("order_id", "sequence", "type", "body")


def _insert(new: FromClause) -> Insert:
    return insert(order_events).from_select([column.name for column in _COLUMNS], select(new))


def _insert_and_announce(new: FromClause) -> Insert:
    # Both tables in one round trip, and the bodies travel once; SQLite has no such statement.
    kept = _insert(new).returning(*(order_events.c[name] for name in _SENT)).cte("kept")
    return insert(outbox).from_select(_SENT, select(kept))


_INSERT: Final = BulkStatement(_COLUMNS, _insert)
_INSERT_AND_ANNOUNCE: Final = BulkStatement(_COLUMNS, _insert_and_announce)
_OF_ORDERS: Final = (
    select(order_events.c.order_id, order_events.c.body)
    .where(among(order_events.c.order_id, "ids"))
    .order_by(order_events.c.order_id, order_events.c.sequence)
)


@frozen
class SqlEvents:
    _block: TransactionBlock
    _outbox: SqlOutbox

    async def add_many(self, events: Sequence[Event]) -> None:
        bodies = [encode(event).decode() for event in events]
        rows = [
            (event.order_id, event.sequence, event.type, event.at, body)
            for event, body in zip(events, bodies, strict=True)
        ]
        if self._block.dialect.name == "postgresql":
            await self._block.change_many(_INSERT_AND_ANNOUNCE, rows)
            self._outbox.announced(events)
        else:
            await self._block.change_many(_INSERT, rows)
            await self._outbox.put(events, bodies)

    async def of_orders(self, ids: Collection[OrderId]) -> list[Event]:
        if not ids:
            return []
        rows = await self._block.fetch(_OF_ORDERS, {"ids": list(ids)})
        return [checked("an event of order", row.order_id, _event, row) for row in rows]


def _event(row: Row[Any]) -> Event:
    return decode(row.body)
