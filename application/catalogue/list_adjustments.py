from collections.abc import Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.catalogue import RecordedAdjustment
from application.ports.persistence import UnitOfWork
from domain.errors import UnknownProduct
from domain.ids import ProductId


@frozen
class ListAdjustments:
    """List the changes of the stock of a product that no order made, the newest first."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, product_id: ProductId, *, before: int | None = None, limit: int
    ) -> Sequence[RecordedAdjustment]:
        """Raise `UnknownProduct`."""
        async with self._unit_of_work.reading() as tx:
            if not await tx.products.stock_of({product_id}):
                raise UnknownProduct(f"there is no product {product_id}")
            return await tx.stock_adjustments.page(product_id, before=before, limit=limit)
