from collections.abc import Collection, Sequence

from attrs import define, field

from adapters.memory.copies import copied
from domain.catalogue.product import Product
from domain.ids import ProductId


@define(eq=False)
class MemoryPriceList:
    _products: dict[ProductId, Product] = field(factory=dict, init=False)

    def get_many(self, ids: Collection[ProductId]) -> dict[ProductId, Product]:
        return {id_: copied(self._products[id_]) for id_ in ids if id_ in self._products}

    def learn(self, products: Sequence[Product]) -> None:
        for product in products:
            known = self._products.get(product.id)
            if known is not None and known.version < product.version:
                self._products[product.id] = copied(product)

    def replace_all(self, products: Sequence[Product]) -> None:
        self._products = {product.id: copied(product) for product in products}
