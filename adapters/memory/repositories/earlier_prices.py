from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.memory.store import Changes
from application.ports.catalogue import EarlierPrice
from domain.ids import ProductId


@frozen
class MemoryEarlierPrices:
    _changes: Changes

    async def add_many(self, prices: Sequence[EarlierPrice]) -> None:
        for each in prices:
            if (each.product_id, each.price) not in self._changes.earlier_prices:
                self._changes.earlier_prices[each.product_id, each.price] = each

    async def of_products(self, ids: Collection[ProductId]) -> list[EarlierPrice]:
        return [each for each in self._changes.earlier_prices.values() if each.product_id in ids]
