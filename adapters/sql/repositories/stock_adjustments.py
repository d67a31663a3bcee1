from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Final

from attrs import frozen
from sqlalchemy import BigInteger, cast, func, select

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables import stock_adjustments
from domain.catalogue.product import StockAdjustment
from domain.ids import ProductId

# What is written into each column; only sums are read.
_WRITTEN: Final[Written[StockAdjustment]] = {
    name: attrgetter(name) for name in ("product_id", "change", "reason", "made_by", "at")
}
_INSERT: Final = bulk_insert(stock_adjustments, _WRITTEN)
# PostgreSQL sums 64-bit integers into a numeric.
_TOTALS: Final = (
    select(stock_adjustments.c.product_id, cast(func.sum(stock_adjustments.c.change), BigInteger).label("total"))
    .where(among(stock_adjustments.c.product_id, "ids"))
    .group_by(stock_adjustments.c.product_id)
)


@frozen
class SqlStockAdjustments:
    _block: TransactionBlock

    async def add_many(self, adjustments: Sequence[StockAdjustment]) -> None:
        await self._block.change_many(_INSERT, adjustments)

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        totals = dict.fromkeys(ids, 0)
        if totals:
            totals |= {row.product_id: row.total for row in await self._block.fetch(_TOTALS, {"ids": list(ids)})}
        return totals
