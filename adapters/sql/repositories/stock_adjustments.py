from collections.abc import Collection, Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import BigInteger, cast, func, insert, select

from adapters.sql.core.bulk import BulkStatement, among
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables import stock_adjustments
from domain.catalogue.product import StockAdjustment
from domain.ids import ProductId

_COLUMNS: Final = tuple(column for column in stock_adjustments.c if column.name != "id")
_INSERT: Final = BulkStatement(
    _COLUMNS, lambda new: insert(stock_adjustments).from_select([c.name for c in _COLUMNS], select(new))
)
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
        rows = [(a.product_id, a.change, a.reason, a.made_by, a.at) for a in adjustments]
        await self._block.change_many(_INSERT, rows)

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        totals = dict.fromkeys(ids, 0)
        if totals:
            totals |= {row.product_id: row.total for row in await self._block.fetch(_TOTALS, {"ids": list(ids)})}
        return totals
