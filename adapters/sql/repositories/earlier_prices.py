from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Row, select

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.catalogue import earlier_prices
from application.ports.catalogue import EarlierPrice
from domain.ids import ProductId
from domain.money import Money

# What is written into each column; `_price` reads it.
_WRITTEN: Final[Written[EarlierPrice]] = {
    "product_id": attrgetter("product_id"),
    "price": attrgetter("price.minor"),
    "currency": attrgetter("price.currency"),
    "until": attrgetter("until"),
}


def _price(row: Row[Any]) -> EarlierPrice:
    return EarlierPrice(row.product_id, Money(row.price, row.currency), row.until)


_OF_PRODUCTS: Final = select(*earlier_prices.c).where(among(earlier_prices.c.product_id, "ids"))


_INSERT: Final = bulk_insert(earlier_prices, _WRITTEN)


@frozen
class SqlEarlierPrices:
    _block: TransactionBlock

    async def add_many(self, prices: Sequence[EarlierPrice]) -> None:
        kept = {(each.product_id, each.price) for each in await self.of_products({each.product_id for each in prices})}
        await self._block.change_many(_INSERT, [each for each in prices if (each.product_id, each.price) not in kept])

    async def of_products(self, ids: Collection[ProductId]) -> list[EarlierPrice]:
        if not ids:
            return []
        rows = await self._block.fetch(_OF_PRODUCTS, {"ids": list(ids)})
        return [checked("earlier price of product", row.product_id, _price, row) for row in rows]
