from collections.abc import Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.broken import BrokenProduct, sound
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.errors import UnknownProduct
from domain.ids import ProductId


@frozen
class Stocked:
    """A product, and how many units were ever counted in, less those that were taken out."""

    product: Product
    counted_in: int

    @property
    def id(self) -> ProductId:
        return self.product.id

    @property
    def with_orders(self) -> int:
        """The units that orders hold, or were sold: whatever was counted in, and is not on hand."""
        return self.counted_in - self.product.stock


@frozen
class ListStock:
    """List the products with their stock as the database has it now. A page begins after the product `after`."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, *, after: ProductId | None = None, limit: int
    ) -> Sequence[Stocked | BrokenProduct]:
        async with self._unit_of_work.reading() as tx:
            products = await tx.products.page(after=after, limit=limit)
            totals = await tx.stock_adjustments.totals({product.id for product in sound(products)})
        return [each if isinstance(each, BrokenProduct) else Stocked(each, totals.get(each.id, 0)) for each in products]


@frozen
class SeeStock:
    """Read one product with its stock as the database has it now. Raise `UnknownProduct`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: ProductId) -> Stocked:
        async with self._unit_of_work.reading() as tx:
            product = (await tx.products.get_many({id_})).get(id_)
            if product is None:
                raise UnknownProduct(f"there is no product {id_}")
            return Stocked(product, (await tx.stock_adjustments.totals({id_})).get(id_, 0))
