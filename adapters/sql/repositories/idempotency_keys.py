from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any, Final

from attrs import frozen
from sqlalchemy import BigInteger, FromClause, Row, Select, bindparam, insert, select, text, true

from adapters.codecs.stored_responses import decode, encode
from adapters.sql.core.bulk import BulkStatement
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.core.types import Many
from adapters.sql.tables import idempotency_keys
from application.execution.after_commit import Committed
from application.ports.idempotency import IdempotencyKey, StoredResponse
from domain.orders.order import Order

_COLUMNS: Final = tuple(idempotency_keys.c)
_KEY: Final = (idempotency_keys.c.scope, idempotency_keys.c.key)

# Which locks could be had, without waiting; they are given back when the transaction ends, however it ends.
_TRY_LOCK: Final = text(
    "SELECT id FROM (SELECT id, pg_try_advisory_xact_lock(id) AS taken FROM unnest(CAST(:ids AS bigint[])) AS id)"
    " AS tried WHERE taken"
).bindparams(bindparam("ids", type_=Many(BigInteger())))


def _by_key(new: FromClause) -> Select[Any]:
    return select(*_COLUMNS).where(idempotency_keys.c.scope == new.c.scope, idempotency_keys.c.key == new.c.key)


def _each_by_key(new: FromClause) -> Select[Any]:
    # The limit keeps PostgreSQL from joining the whole table, which it would go on doing on a connection that has
    # planned this while the table was new.
    one = _by_key(new).correlate(new).limit(1).lateral("one")
    return select(*one.c).select_from(new.join(one, true()))


_BY_KEY: Final = {"postgresql": BulkStatement(_KEY, _each_by_key), "sqlite": BulkStatement(_KEY, _by_key)}
_INSERT: Final = BulkStatement(
    _COLUMNS, lambda new: insert(idempotency_keys).from_select([c.name for c in _COLUMNS], select(new))
)


@frozen
class SqlIdempotencyKeys:
    """On PostgreSQL a key is claimed by an advisory lock, which is tried for and never waited for.

    To insert the key first, and so to wait for whoever is inserting the same, would make a whole batch wait for one
    of its members. The primary key has the last word all the same. SQLite has one writer, who has claimed everything.
    """

    _block: TransactionBlock
    _committed: Committed

    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        free = await self._lock(keys)
        # A statement of its own: it sees what was committed until the locks were had. What is kept needs no lock, so
        # that those who ask again don't keep each other in flight.
        by_key = _BY_KEY[self._block.dialect.name]
        rows = await self._block.fetch_many(by_key, [(key.scope, key.value) for key in keys], {}, lock=True)
        found = [checked("the answer under the key", row.key, _kept, row) for row in rows]
        self._committed.see(kept.answer for kept in found if isinstance(kept.answer, Order))
        return {**dict.fromkeys(free), **{kept.key: kept for kept in found}}

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        rows = [(k.key.scope, k.key.value, k.fingerprint, encode(k.answer).decode(), k.at) for k in kept]
        await self._block.change_many(_INSERT, rows)

    async def _lock(self, keys: Collection[IdempotencyKey]) -> list[IdempotencyKey]:
        if not keys or self._block.dialect.name == "sqlite":
            return list(keys)
        ids = {key: _lock_id(key) for key in keys}
        rows = await self._block.fetch(_TRY_LOCK, {"ids": list(ids.values())}, lock=True)
        taken = {row.id for row in rows}
        return [key for key in keys if ids[key] in taken]


def _lock_id(key: IdempotencyKey) -> int:
    """The 64 bits by which PostgreSQL knows a lock. Keys that share them could only keep each other in flight."""
    digest = blake2b(f"{key.scope}\0{key.value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _kept(row: Row[Any]) -> StoredResponse:
    return StoredResponse(IdempotencyKey(row.scope, row.key), row.fingerprint, decode(row.answer), row.created_at)
