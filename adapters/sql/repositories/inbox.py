from collections.abc import Callable, Collection
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Executable, FromClause, Select, and_, bindparam, exists, select, true
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.core.bulk import BulkStatement
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables import inbox
from domain.orders.events import EventId

_KEY: Final = (inbox.c.order_id, inbox.c.sequence)
_CONSUMER: Final = bindparam("consumer", type_=inbox.c.consumer.type)


def _unseen(new: FromClause) -> Select[Any]:
    same = and_(inbox.c.consumer == _CONSUMER, inbox.c.order_id == new.c.order_id, inbox.c.sequence == new.c.sequence)
    return select(new.c.order_id, new.c.sequence).where(~exists().where(same))


def _record(insert: Any) -> Callable[[FromClause], Executable]:
    def build(new: FromClause) -> Executable:
        # Without a condition SQLite would take ON CONFLICT for the ON of a join.
        rows = select(_CONSUMER, new.c.order_id, new.c.sequence).where(true())
        recording = insert(inbox).from_select([column.name for column in inbox.c], rows)
        # When another transaction is recording the same, this waits until that has ended.
        statement: Executable = recording.on_conflict_do_nothing().returning(*_KEY)
        return statement

    return build


_UNSEEN: Final = BulkStatement(_KEY, _unseen)
_RECORD: Final = {
    "postgresql": BulkStatement(_KEY, _record(postgresql.insert)),
    "sqlite": BulkStatement(_KEY, _record(sqlite.insert)),
}


@frozen
class SqlInbox:
    _block: TransactionBlock

    async def unseen(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        return await self._ids(_UNSEEN, consumer, ids, lock=False)

    async def record(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        return await self._ids(_RECORD[self._block.dialect.name], consumer, ids, lock=True)

    async def _ids(self, batch: BulkStatement, consumer: str, ids: Collection[EventId], *, lock: bool) -> set[EventId]:
        # In the same order everywhere, so that two who record the same don't wait for each other.
        rows = await self._block.fetch_many(batch, sorted(ids), {"consumer": consumer}, lock=lock)
        return {EventId(row.order_id, row.sequence) for row in rows}
