from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Final

from attrs import frozen
from sqlalchemy import Executable, String, bindparam, delete, false, select

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


@cache
def _add(dialect: SqlDialect) -> Executable:
    return dialect.inserts.upsert(
        ended_sessions,
        {"id": bindparam("session", type_=String(64)), "until": bindparam("is_until", type_=UtcDateTime())},
        key=[ended_sessions.c.id],
        changes=lambda new: {"until": new.until},
        where=lambda _: false(),
    )


@frozen
class SqlEndedSessions:
    _block: TransactionBlock

    async def add_many(self, sessions: Sequence[Session]) -> None:
        # In one sequence, so that two who end the same ones don't wait for each other in a circle.
        for each in sorted(sessions, key=lambda session: session.id):
            await self._block.change(_add(self._block.dialect), {"session": each.id, "is_until": each.until})

    async def among(self, ids: Collection[str]) -> set[str]:
        return {row.id for row in await self._block.fetch(_AMONG, {"ids": list(ids)})} if ids else set()

    async def remove(self, moment: datetime, *, limit: int) -> int:
        rows = await self._block.fetch(_OVER, {"moment": moment, "limit": limit}, lock=True)
        return await self._block.change(_DELETE, {"ids": [row.id for row in rows]}) if rows else 0
