from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Row, bindparam, delete, exists, select

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.relay_lease import LEASE
from adapters.sql.tables.events import waiting_work
from application.ports.outbox import OutboxEntry
from domain.orders.events import EventId

# What is written into each column; `_entry` reads it.
_WRITTEN: Final[Written[OutboxEntry]] = {
    "position": attrgetter("position"),
    "order_id": attrgetter("id.order_id"),
    "sequence": attrgetter("id.sequence"),
    "type": attrgetter("type"),
    "body": lambda entry: entry.body.decode(),
}


def _entry(row: Row[Any]) -> OutboxEntry:
    return OutboxEntry(row.position, EventId(row.order_id, row.sequence), row.type, row.body.encode())


_INSERT: Final = bulk_insert(waiting_work, _WRITTEN)
_DELETE: Final = delete(waiting_work).where(among(waiting_work.c.position, "positions"))
_IN_ORDER: Final = select(*waiting_work.c).order_by(waiting_work.c.position).limit(bindparam("limit"))
_OLDEST: Final = _IN_ORDER.where(waiting_work.c.type == bindparam("type"), exists().where(LEASE.is_held()))
_PAGE: Final = _IN_ORDER.where(waiting_work.c.position > bindparam("after"))


@frozen
class SqlWaitingWork:
    _block: TransactionBlock

    async def put_off(self, entries: Sequence[OutboxEntry]) -> None:
        await self.remove(entries)
        await self._block.change_many(_INSERT, entries)

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        await self._block.change(_DELETE, {"positions": [entry.position for entry in entries]})

    async def oldest(self, type_: str, *, by: str, limit: int) -> list[OutboxEntry]:
        parameters = {"type": type_, "by": by, "limit": limit}
        return [_entry(row) for row in await self._block.fetch(_OLDEST, parameters)]

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [_entry(row) for row in await self._block.fetch(_PAGE, {"after": after or 0, "limit": limit})]
