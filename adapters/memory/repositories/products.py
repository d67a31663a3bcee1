from collections import Counter
from collections.abc import Collection, Sequence

from attrs import frozen

from adapters.memory.copies import copied
from adapters.memory.repositories.stock_adjustments import MemoryStockAdjustments
from adapters.memory.store import Changes
from application.errors import Aborted
from application.ports.broken import BrokenProduct, sound
from application.ports.catalogue import StockCount, StockLevel
from domain.catalogue.product import Product
from domain.ids import MOST_AUTOMATIC, ProductId


@frozen
class MemoryProducts:
    _changes: Changes

    async def add_many(self, products: Sequence[Product]) -> None:
        for product in products:
            if product.id in self._changes.products:
                raise Aborted(f"product {product.id} exists already")
            await self._expect_free_sku(product)
            self._changes.products[product.id] = copied(product)
            self._changes.committed.catalogue = True

    async def get_many(
        self,
        ids: Collection[ProductId],
        *,
        lock: bool = False,  # noqa: ARG002 - the only writer has locked everything
    ) -> dict[ProductId, Product]:
        return {id_: copied(self._changes.products[id_]) for id_ in sorted(ids) if id_ in self._changes.products}

    async def save_many(self, products: Sequence[Product]) -> None:
        for product in products:
            self._changes.products[product.id] = copied(product)
            self._changes.committed.stock[product.id] = StockLevel(product.version, product.stock)

    async def edit_many(self, products: Sequence[Product]) -> None:
        for product in products:
            await self._expect_free_sku(product)
        await self.save_many(products)
        self._changes.committed.catalogue |= bool(products)

    async def by_sku(self, skus: Collection[str]) -> dict[str, ProductId]:
        owners = [(product.sku, id_) for id_, product in self._changes.products.items() if product.sku is not None]
        return {sku: id_ for sku, id_ in owners if sku in skus}

    async def by_name(self, names: Collection[str]) -> dict[str, Product]:
        found: dict[str, Product] = {}
        for product in sorted(self._changes.products.values(), key=lambda each: (not each.active, each.id)):
            if product.name in names:
                found.setdefault(product.name, copied(product))
        return found

    async def page(
        self, *, after: ProductId | None, limit: int, active: bool | None = None
    ) -> list[Product | BrokenProduct]:
        ids = sorted(
            id_
            for id_, product in self._changes.products.items()
            if (after is None or id_ > after) and active in {None, product.active}
        )
        return [copied(self._changes.products[id_]) for id_ in ids[:limit]]

    async def count(self, *, active: bool | None = None, most: int) -> int:
        return len(await self.page(after=None, limit=most, active=active))

    async def stock_of(self, ids: Collection[ProductId]) -> dict[ProductId, StockLevel]:
        products = await self.get_many(ids)
        return {id_: StockLevel(product.version, product.stock) for id_, product in products.items()}

    async def last_id(self) -> ProductId:
        return max((id_ for id_ in self._changes.products if id_ <= MOST_AUTOMATIC), default=ProductId(0))

    async def stock_counts(self, *, after: ProductId | None, limit: int) -> list[StockCount]:
        products = sound(await self.page(after=after, limit=limit, active=None))
        counted_in = await MemoryStockAdjustments(self._changes).totals({product.id for product in products})
        held = Counter[ProductId]()
        for order in self._changes.orders.values():
            if order.holds_stock:
                held.update({line.product_id: line.quantity for line in order.lines})
        return [StockCount(p.id, p.stock, held[p.id], counted_in[p.id]) for p in products]

    async def _expect_free_sku(self, product: Product) -> None:
        if product.sku is not None and (await self.by_sku({product.sku})).get(product.sku, product.id) != product.id:
            raise Aborted(f"the SKU {product.sku} is taken")
