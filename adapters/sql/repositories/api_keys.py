from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Row, bindparam, or_, select, update

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.access import api_keys
from application.ports.api_keys import ApiKey
from domain.ids import customer_id

# What is written into each column; `_key` reads it.
_WRITTEN: Final[Written[ApiKey]] = {
    **{
        name: attrgetter(name)
        for name in (
            *("id", "digest", "kind", "role", "name"),
            *("created_at", "created_by", "expires_at", "revoked_at", "last_used_at"),
        )
    },
    "user_id": lambda key: None if key.user_id is None else str(key.user_id),
    "scopes": lambda key: " ".join(sorted(key.scopes)),
    "networks": lambda key: " ".join(map(str, key.networks)),
}


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        digest=row.digest,
        kind=row.kind,
        role=row.role,
        name=row.name,
        scopes=frozenset(row.scopes.split()),
        user_id=None if row.user_id is None else customer_id(row.user_id),
        networks=tuple(map(ip_network, row.networks.split())),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


_INSERT: Final = bulk_insert(api_keys, _WRITTEN)
_ALL: Final = select(*api_keys.c)
_BY_ID: Final = _ALL.where(among(api_keys.c.id, "ids"))
_BY_ID_LOCKED: Final = _BY_ID.order_by(api_keys.c.id).with_for_update()
_PAGE: Final = _ALL.where(api_keys.c.id > bindparam("after")).order_by(api_keys.c.id).limit(bindparam("limit"))
_SAVE: Final = (
    update(api_keys)
    .values(expires_at=bindparam("until"), revoked_at=bindparam("revoked"))
    .where(api_keys.c.id == bindparam("key"))
)
_NOTE: Final = (
    update(api_keys)
    .values(last_used_at=bindparam("at"))
    .where(
        among(api_keys.c.id, "ids"),
        or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= bindparam("before")),
    )
)


@frozen
class SqlApiKeys:
    _block: TransactionBlock

    async def add_many(self, keys: Sequence[ApiKey]) -> None:
        await self._block.change_many(_INSERT, keys)

    async def get_many(self, ids: Collection[str], *, lock: bool = False) -> dict[str, ApiKey]:
        if not ids:
            return {}
        rows = await self._block.fetch(_BY_ID_LOCKED if lock else _BY_ID, {"ids": list(ids)}, lock=lock)
        return {row.id: checked("API key", row.id, _key, row) for row in rows}

    async def save_many(self, keys: Sequence[ApiKey]) -> None:
        for key in keys:
            await self._block.change(_SAVE, {"key": key.id, "until": key.expires_at, "revoked": key.revoked_at})

    async def note_use(self, ids: Collection[str], *, at: datetime, every: timedelta) -> None:
        if ids:
            # In the same order everywhere, so that two processes don't wait for each other in a circle.
            await self._block.change(_NOTE, {"ids": sorted(ids), "at": at, "before": at - every})

    async def page(self, *, after: str | None, limit: int) -> list[ApiKey]:
        rows = await self._block.fetch(_PAGE, {"after": after or "", "limit": limit})
        return [checked("API key", row.id, _key, row) for row in rows]
