from collections.abc import Collection, Sequence
from datetime import timedelta
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Delete, Float, FromClause, Row, Select, bindparam, cast, delete, insert, literal, select, tuple_

from adapters.codecs.stored_responses import decode, encode
from adapters.sql.core.bulk import BulkStatement, Written
from adapters.sql.core.expressions import FromNow
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.tables.shop import idempotency_keys
from application.execution.after_commit import Committed
from application.ports.idempotency import IdempotencyKey, StoredResponse
from domain.orders.order import Order

# What is written into each column; `_kept` reads it.
_WRITTEN: Final[Written[StoredResponse]] = {
    "scope": attrgetter("key.scope"),
    "key": attrgetter("key.value"),
    "fingerprint": attrgetter("fingerprint"),
    "answer": lambda kept: encode(kept.answer).decode(),
}


def _kept(row: Row[Any]) -> StoredResponse:
    return StoredResponse(IdempotencyKey(row.scope, row.key), row.fingerprint, decode(row.answer))


_KEY: Final[Written[IdempotencyKey]] = {"scope": attrgetter("scope"), "key": attrgetter("value")}


def _by_key(new: FromClause, dialect: SqlDialect) -> Select[Any]:
    same = (idempotency_keys.c.scope == new.c.scope, idempotency_keys.c.key == new.c.key)
    return dialect.rows.look_up(new, select(*idempotency_keys.c).where(*same))


_BY_KEY: Final = BulkStatement(idempotency_keys, _KEY, _by_key)
_INSERT: Final = BulkStatement(
    idempotency_keys,
    _WRITTEN,
    lambda new, _: insert(idempotency_keys).from_select(
        [*new.c.keys(), "created_at"], select(new, FromNow(literal(0)))
    ),
)

_PLACE: Final = (idempotency_keys.c.scope, idempotency_keys.c.key)
_IS_OLD: Final = idempotency_keys.c.created_at < FromNow(-cast(bindparam("seconds"), Float))
_FIRST: Final = (
    select(*_PLACE, idempotency_keys.c.created_at, _IS_OLD.label("is_old")).order_by(*_PLACE).limit(bindparam("limit"))
)
_NEXT: Final = _FIRST.where(tuple_(*_PLACE) > tuple_(*(bindparam(column.name, type_=column.type) for column in _PLACE)))
# With the time: a response that was stored anew meanwhile is another one.
_STORED: Final[Written[Row[Any]]] = {name: attrgetter(name) for name in ("scope", "key", "created_at")}


def _these(new: FromClause, _: SqlDialect) -> Delete:
    columns = [idempotency_keys.c[name] for name in _STORED]
    return delete(idempotency_keys).where(tuple_(*columns).in_(select(*(new.c[name] for name in _STORED))))


_DELETE: Final = BulkStatement(idempotency_keys, _STORED, _these)


@frozen
class SqlIdempotencyKeys:
    """A key is claimed by an advisory lock, which is tried for and never waited for.

    To insert the key first, and so to wait for whoever is inserting the same, would make a whole batch wait for one
    of its members. The primary key has the last word all the same. Where there is one writer, it has claimed all.
    """

    _block: TransactionBlock
    _committed: Committed

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        free = await self._lock(keys)
        # A statement of its own: it sees what was committed until the locks were had. What is kept needs no lock, so
        # that those who ask again don't keep each other in flight.
        rows = await self._block.fetch_many(_BY_KEY, keys, lock=True)
        found = [checked("the answer under the key", row.key, _kept, row) for row in rows]
        self._committed.see(kept.answer for kept in found if isinstance(kept.answer, Order))
        return {**dict.fromkeys(free), **{kept.key: kept for kept in found}}

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        await self._block.change_many(_INSERT, kept)

    async def prune(self, *, older_than: timedelta, after: IdempotencyKey | None, limit: int) -> IdempotencyKey | None:
        page = {"seconds": older_than.total_seconds(), "limit": limit}
        if after is None:
            rows = await self._block.fetch(_FIRST, page)
        else:
            rows = await self._block.fetch(_NEXT, {"scope": after.scope, "key": after.value, **page})
        await self._block.change_many(_DELETE, [row for row in rows if row.is_old])
        return IdempotencyKey(rows[-1].scope, rows[-1].key) if len(rows) == limit else None

    async def _lock(self, keys: Collection[IdempotencyKey]) -> list[IdempotencyKey]:
        try_each = self._block.dialect.locks.try_each
        if not keys or try_each is None:
            return list(keys)
        ids = {key: _lock_id(key) for key in keys}
        rows = await self._block.fetch(try_each, {"ids": list(ids.values())}, lock=True)
        taken = {row.id for row in rows}
        return [key for key in keys if ids[key] in taken]


def _lock_id(key: IdempotencyKey) -> int:
    """The 64 bits by which a database knows a lock. Keys that share them could only keep each other in flight."""
    digest = blake2b(f"{key.scope}\0{key.value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
