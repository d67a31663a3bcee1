from datetime import datetime
from typing import Final

from attrs import frozen
from sqlalchemy import select

from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.shop import shop

_LAST: Final = select(shop.c.reset_at)


@frozen
class SqlResets:
    _block: TransactionBlock

    async def last(self) -> datetime | None:
        for row in await self._block.fetch(_LAST):
            at: datetime | None = row.reset_at
            return at
        return None
