from collections.abc import Sequence

from attrs import frozen

from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.errors import UnknownProduct
from domain.ids import ProductId


@frozen
class GetProduct:
    """Find products."""

    _unit_of_work: UnitOfWork

    async def __call__(self, ids: Sequence[ProductId]) -> Sequence[Product | UnknownProduct]:
        async with self._unit_of_work.reading() as tx:
            products = await tx.products.get_many(set(ids))
        return [products.get(id_) or UnknownProduct(f"there is no product {id_}") for id_ in ids]
