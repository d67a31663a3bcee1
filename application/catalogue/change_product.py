from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from application.access.principal import Principal
from application.catalogue.auditing import entry, shown
from application.execution.conditional import PreconditionFailed
from application.ports.audit import AuditEntry
from application.ports.caching import PriceList
from application.ports.catalogue import EarlierPrice
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product, ProductEdit
from domain.errors import DomainError, SkuTaken, UnknownProduct
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
            [outcome] = await self.change_all(tx, by, [call])
        if isinstance(outcome, DomainError):
            raise outcome
        self.learn([outcome])
        return outcome

    async def change_all(
        self, tx: Transaction, by: Principal, calls: Sequence[ProductCall]
    ) -> list[Product | DomainError]:
        """Change them in a transaction of the caller, in sequence. After the commit, `learn` takes what it returns."""
        products = await tx.products.get_many({call.product_id for call in calls}, lock=True)
        owners = await tx.products.by_sku({call.edit.sku for call in calls if isinstance(call.edit.sku, str)})
        outcomes: list[Product | DomainError] = []
        changed: dict[ProductId, Product] = {}
        noted: list[AuditEntry] = []
        replaced: list[EarlierPrice] = []
        for call in calls:
            try:
                old = found(products, call.product_id, call.holds)
                product = evolve(old)
                is_changed = product.edit(call.edit)
                if product.sku is not None and product.sku != old.sku:
                    _expect_free(product.sku, product, owners)
            except DomainError as error:
                outcomes.append(error)
                continue
            outcomes.append(product)
            if is_changed:
                # Another call may change it once more.
                products[product.id] = changed[product.id] = product
                noted.append(entry(by, "product.changed", shown(old), product, at=self._now()))
            if product.price != old.price:
                replaced.append(EarlierPrice(product.id, old.price, self._now()))
        await tx.products.edit_many(list(changed.values()))
        await tx.audit.add_many(noted)
        await tx.earlier_prices.add_many(replaced)
        return outcomes

    def learn(self, changed: Sequence[Product]) -> None:
        """Price orders of this process as these products are now."""
        self._prices.learn(changed)


def found(products: Mapping[ProductId, Product], id_: ProductId, holds: Callable[[Product], bool]) -> Product:
    """Return the product. Raise `UnknownProduct`, or `PreconditionFailed` if the condition does not hold."""
    product = products.get(id_)
    if product is None:
        raise UnknownProduct(f"there is no product {id_}")
    if not holds(product):
        raise PreconditionFailed(f"product {id_} is at version {product.version}: read it, and decide again")
    return product


def _expect_free(sku: str, product: Product, owners: dict[str, ProductId]) -> None:
    """Raise `SkuTaken`, or else note that the product has it from now on."""
    owner = owners.setdefault(sku, product.id)
    if owner != product.id:
        raise SkuTaken(f"product {owner} has the SKU {sku}")
