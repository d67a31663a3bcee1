from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Insert, Row, Select, bindparam, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.core.bulk import BulkStatement, Written, insert_missing, written_whole
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.jobs import messages
from domain.ids import JobId, OrderId
from domain.message import Message

# What is written into each column; `_message` reads it.
_WRITTEN: Final[Written[Message]] = {name: attrgetter(name) for name in ("id", "order_id", "content", "created_at")}


def _message(row: Row[Any]) -> Message:
    return Message(id=row.id, order_id=row.order_id, content=row.content, created_at=row.created_at)


def _insert(new: FromClause, _: SqlDialect) -> Insert:
    return insert_missing(messages, new, key=("id",))


_INSERT: Final = BulkStatement(messages, written_whole(messages, _WRITTEN), _insert)
_START: Final = messages.alias("start")
_PLACE: Final = (messages.c.created_at, messages.c.id)
_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "order_id": messages.c.order_id == bindparam("order_id"),
    # Looked up by the database, so that a page needs no more than an id to go on from: no row is ever removed.
    "before": tuple_(*_PLACE)
    < select(_START.c.created_at, _START.c.id).where(_START.c.id == bindparam("before")).scalar_subquery(),
}


@cache
def _page(*parameters: str) -> Select[Any]:
    conditions = [_CONDITIONS[name] for name in parameters]
    newest_first = [column.desc() for column in _PLACE]
    return select(*messages.c).where(*conditions).order_by(*newest_first).limit(bindparam("limit"))


@frozen
class SqlMessages:
    _block: TransactionBlock

    async def add_many(self, messages: Sequence[Message]) -> None:
        await self._block.change_many(_INSERT, messages)

    async def page(self, *, order_id: OrderId | None, before: JobId | None, limit: int) -> list[Message]:
        given = {name: value for name, value in (("order_id", order_id), ("before", before)) if value is not None}
        rows = await self._block.fetch(_page(*given), {**given, "limit": limit})
        return [checked("message", row.id, _message, row) for row in rows]
