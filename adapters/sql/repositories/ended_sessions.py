from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

from attrs import frozen
from sqlalchemy import Executable, FromClause, bindparam, delete, select

from adapters.sql.core.bulk import BulkStatement, Written, written_whole
from adapters.sql.core.expressions import among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import UtcDateTime
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.access import ended_sessions
from application.ports.sessions import Session

_AMONG: Final = select(ended_sessions.c.id).where(among(ended_sessions.c.id, "ids"))
_OVER: Final = (
    select(ended_sessions.c.id)
    .where(ended_sessions.c.until < bindparam("moment", type_=UtcDateTime()))
    .order_by(ended_sessions.c.until)
    .limit(bindparam("limit"))
    # Two workers that remove at once take different rows, and don't wait for each other in a circle.
    .with_for_update(skip_locked=True)
)
_DELETE: Final = delete(ended_sessions).where(among(ended_sessions.c.id, "ids"))


# What is written into each column.
_WRITTEN: Final[Written[Session]] = {"id": attrgetter("id"), "until": attrgetter("until")}


def _add(new: FromClause, dialect: SqlDialect) -> Executable:
    # In one sequence, so that two who end the same ones don't wait for each other in a circle.
    return dialect.inserts.missing(ended_sessions, new, key=[ended_sessions.c.id])


_ADD: Final = BulkStatement(ended_sessions, written_whole(ended_sessions, _WRITTEN), _add)


@frozen
class SqlEndedSessions:
    _block: TransactionBlock

    async def add_many(self, sessions: Sequence[Session]) -> None:
        await self._block.change_many(_ADD, sessions)

    async def among(self, ids: Collection[str]) -> set[str]:
        return {row.id for row in await self._block.fetch(_AMONG, {"ids": list(ids)})} if ids else set()

    async def remove(self, moment: datetime, *, limit: int) -> int:
        rows = await self._block.fetch(_OVER, {"moment": moment, "limit": limit}, lock=True)
        return await self._block.change(_DELETE, {"ids": [row.id for row in rows]}) if rows else 0
