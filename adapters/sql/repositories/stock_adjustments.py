from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import BigInteger, Row, bindparam, cast, func, select

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.catalogue import stock_adjustments
from application.ports.catalogue import RecordedAdjustment
from domain.catalogue.product import StockAdjustment
from domain.ids import ProductId

# What is written into each column; `_adjustment` reads it.
_WRITTEN: Final[Written[StockAdjustment]] = {
    name: attrgetter(name) for name in ("product_id", "change", "reason", "made_by", "at")
}


def _adjustment(row: Row[Any]) -> RecordedAdjustment:
    made = StockAdjustment(
        product_id=row.product_id, change=row.change, reason=row.reason, made_by=row.made_by, at=row.at
    )
    return RecordedAdjustment(row.id, made)


_INSERT: Final = bulk_insert(stock_adjustments, _WRITTEN)
# PostgreSQL sums 64-bit integers into a numeric.
_TOTALS: Final = (
    select(stock_adjustments.c.product_id, cast(func.sum(stock_adjustments.c.change), BigInteger).label("total"))
    .where(among(stock_adjustments.c.product_id, "ids"))
    .group_by(stock_adjustments.c.product_id)
)
_ALL: Final = (
    select(*stock_adjustments.c)
    .where(stock_adjustments.c.product_id == bindparam("product_id"))
    .order_by(stock_adjustments.c.id.desc())
    .limit(bindparam("limit"))
)
_BEFORE: Final = _ALL.where(stock_adjustments.c.id < bindparam("before"))


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

    async def page(self, product_id: ProductId, *, before: int | None, limit: int) -> list[RecordedAdjustment]:
        given = {"product_id": product_id, "limit": limit}
        if before is None:
            rows = await self._block.fetch(_ALL, given)
        else:
            rows = await self._block.fetch(_BEFORE, {**given, "before": before})
        return [checked("stock adjustment", row.id, _adjustment, row) for row in rows]
