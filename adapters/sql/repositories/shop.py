from datetime import datetime
from typing import Final

from attrs import frozen
from sqlalchemy import select

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.shop import shop
from application.errors import Unavailable

_SHOP: Final = select(shop.c.reset_at, shop.c.secret)


@frozen
class SqlShop:
    _block: TransactionBlock

    async def emptied_at(self) -> datetime | None:
        for row in await self._block.fetch(_SHOP):
            at: datetime | None = row.reset_at
            return at
        return None

    async def secret(self) -> bytes:
        for row in await self._block.fetch(_SHOP):
            if row.secret is not None:
                return bytes.fromhex(row.secret)
        raise Unavailable("the database has no secret of this shop: `holdfast migrate` makes one")
