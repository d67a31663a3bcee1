from collections.abc import Callable

from attrs import frozen

from application.access.principal import Principal
from application.catalogue.auditing import entry, shown
from application.execution.conditional import PreconditionFailed
from application.ports.caching import PriceList
from application.ports.catalogue import EarlierPrice
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product, ProductEdit
from domain.errors import SkuTaken, UnknownProduct
from domain.ids import ProductId


def anything(_: Product) -> bool:
    """The condition of a change that is made whatever the product is like."""
    return True


@frozen(kw_only=True)
class ProductCall:
    """A change of one product, made only if `holds` is true of it. This is checked under the product's lock."""

    product_id: ProductId
    edit: ProductEdit
    holds: Callable[[Product], bool] = anything


@frozen
class ChangeProduct:
    """Change what a product is called, costs, or whether it is for sale. Orders keep the price that they have.

    A price that is replaced is kept: an order at that price may have been accepted while the database was away.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    # What this process prices orders from while the database is away.
    _prices: PriceList

    async def __call__(self, by: Principal, call: ProductCall) -> Product:
        """Raise `UnknownProduct`, `PreconditionFailed`, `InvalidProduct`, `InvalidMetadata` or `SkuTaken`.

        Raise `Aborted` when another call took the same SKU at the same time.
        """
        async with self._unit_of_work() as tx:
            product = await locked(tx, call.product_id, call.holds)
            price, sku, before = product.price, product.sku, shown(product)
            if not product.edit(call.edit):
                return product
            if product.sku is not None and product.sku != sku:
                await expect_free_sku(tx, product.sku)
            await tx.products.edit_many([product])
            await tx.audit.add_many([entry(by, "product.changed", before, product, at=self._now())])
            if product.price != price:
                await tx.earlier_prices.add_many([EarlierPrice(product.id, price, self._now())])
        self._prices.learn([product])
        return product


async def locked(tx: Transaction, id_: ProductId, holds: Callable[[Product], bool]) -> Product:
    """Return the product, locked. Raise `UnknownProduct`, or `PreconditionFailed` if the condition does not hold."""
    product = (await tx.products.get_many({id_}, lock=True)).get(id_)
    if product is None:
        raise UnknownProduct(f"there is no product {id_}")
    if not holds(product):
        raise PreconditionFailed(f"product {id_} is at version {product.version}: read it, and decide again")
    return product


async def expect_free_sku(tx: Transaction, sku: str) -> None:
    """Raise `SkuTaken`."""
    if owner := (await tx.products.by_sku({sku})).get(sku):
        raise SkuTaken(f"product {owner} has the SKU {sku}")
