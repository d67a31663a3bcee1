from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Executable, FromClause, Select, and_, bindparam, exists, select

from adapters.sql.core.bulk import BulkStatement, Written
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables import inbox
from domain.orders.events import EventId

_KEY: Final = (inbox.c.order_id, inbox.c.sequence)
# What is written into each column; the consumer is the same for all.
_WRITTEN: Final[Written[EventId]] = {"order_id": attrgetter("order_id"), "sequence": attrgetter("sequence")}
_CONSUMER: Final = bindparam("consumer", type_=inbox.c.consumer.type)


def _unseen(new: FromClause, _: SqlDialect) -> Select[Any]:
    same = and_(inbox.c.consumer == _CONSUMER, inbox.c.order_id == new.c.order_id, inbox.c.sequence == new.c.sequence)
    return select(new.c.order_id, new.c.sequence).where(~exists().where(same))


def _record(new: FromClause, dialect: SqlDialect) -> Sequence[Executable]:
    return dialect.inserts.missing(inbox, select(_CONSUMER, new.c.order_id, new.c.sequence), _KEY)


_UNSEEN: Final = BulkStatement(inbox, _WRITTEN, _unseen)
_RECORD: Final = BulkStatement(inbox, _WRITTEN, _record)


@frozen
class SqlInbox:
    _block: TransactionBlock

    async def unseen(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        return await self._ids(_UNSEEN, consumer, ids, lock=False)

    async def record(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        return await self._ids(_RECORD, consumer, ids, lock=True)

    async def _ids(
        self, batch: BulkStatement[EventId], consumer: str, ids: Collection[EventId], *, lock: bool
    ) -> set[EventId]:
        # In the same order everywhere, so that two who record the same don't wait for each other.
        rows = await self._block.fetch_many(batch, sorted(ids), {"consumer": consumer}, lock=lock)
        return {EventId(row.order_id, row.sequence) for row in rows}
