from datetime import datetime

from attrs import frozen

from application.access.principal import Principal
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import MAX_TEXT, Product, StockAdjustment
from domain.errors import InvalidProduct, UnknownProduct
from domain.ids import ProductId


@frozen
class AdjustStock:
    """Add units to the stock, or remove some, for a reason other than an order."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, product_id: ProductId, change: int, *, reason: str) -> Product:
        """Raise `UnknownProduct`, `InvalidProduct`, or `OutOfStock` when there are too few units to remove."""
        async with self._unit_of_work() as tx:
            product = (await tx.products.get_many({product_id}, lock=True)).get(product_id)
            if product is None:
                raise UnknownProduct(f"there is no product {product_id}")
            product.adjust(change)
            await tx.products.save_many([product])
            made = adjustment(product, change, reason=reason, made_by=by.key_id, at=self._now())
            await tx.stock_adjustments.add_many([made])
        return product


def adjustment(product: Product, change: int, *, reason: str, made_by: str, at: datetime) -> StockAdjustment:
    """Raise `InvalidProduct`."""
    if not all(1 <= len(text) <= MAX_TEXT for text in (reason, made_by)):
        raise InvalidProduct(f"the reason and its author have 1 to {MAX_TEXT} characters each", field="reason")
    return StockAdjustment(product_id=product.id, change=change, reason=reason, made_by=made_by, at=at)
