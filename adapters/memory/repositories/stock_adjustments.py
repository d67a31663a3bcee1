from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.memory.store import Changes
from application.ports.catalogue import RecordedAdjustment
from domain.catalogue.product import StockAdjustment
from domain.ids import ProductId


@frozen
class MemoryStockAdjustments:
    _changes: Changes

    async def add_many(self, adjustments: Sequence[StockAdjustment]) -> None:
        self._changes.adjustments.extend(adjustments)

    async def totals(self, ids: Collection[ProductId]) -> dict[ProductId, int]:
        totals = dict.fromkeys(ids, 0)
        for adjustment in [*self._changes.store.adjustments, *self._changes.adjustments]:
            if adjustment.product_id in totals:
                totals[adjustment.product_id] += adjustment.change
        return totals

    async def page(self, product_id: ProductId, *, before: int | None, limit: int) -> list[RecordedAdjustment]:
        of_it = [
            RecordedAdjustment(number, each)
            for number, each in enumerate([*self._changes.store.adjustments, *self._changes.adjustments], 1)
            if each.product_id == product_id and (before is None or number < before)
        ]
        return of_it[::-1][:limit]
