from collections.abc import Sequence

from attrs import frozen

from application.ports import Clock, UnitOfWork
from domain.errors import ProductExists, UnknownProduct
from domain.ids import ProductId
from domain.money import Money
from domain.product import Product, StockAdjustment


@frozen(kw_only=True)
class NewProduct:
    """Something that the shop begins to sell. Without an id it gets the next one."""

    id: ProductId | None = None
    name: str
    price: Money
    stock: int


@frozen
class AddProducts:
    """Put products into the catalogue, their stock recorded as the first count."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, new: Sequence[NewProduct], *, made_by: str) -> Sequence[Product | ProductExists]:
        outcomes: list[Product | ProductExists] = []
        async with self._unit_of_work() as tx:
            taken = (await tx.products.get_many({product.id for product in new if product.id is not None})).keys()
            last = max([await tx.products.last_id(), *(product.id for product in new if product.id is not None)])
            for product in new:
                if product.id in taken:
                    outcomes.append(ProductExists(f"product {product.id} exists already", field="id"))
                    continue
                if product.id is None:
                    last = ProductId(last + 1)
                outcomes.append(
                    Product(
                        id=product.id or last,
                        name=product.name,
                        price=product.price,
                        stock=product.stock,
                        created_at=self._now(),
                    )
                )
            added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
            await tx.products.add_many(added)
            await tx.stock_adjustments.add_many(
                [
                    StockAdjustment(
                        product_id=product.id,
                        change=product.stock,
                        reason="first count",
                        made_by=made_by,
                        at=product.created_at,
                    )
                    for product in added
                ]
            )
        return outcomes


@frozen
class AdjustStock:
    """Count units in or out that no order moved, each change with its reason."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, product_id: ProductId, change: int, *, reason: str, made_by: str) -> Product:
        """Raise `UnknownProduct`, or `OutOfStock` when fewer units are there than are to be removed."""
        async with self._unit_of_work() as tx:
            product = (await tx.products.get_many({product_id}, lock=True)).get(product_id)
            if product is None:
                raise UnknownProduct(f"there is no product {product_id}")
            product.adjust(change)
            await tx.products.save_many([product])
            await tx.stock_adjustments.add_many(
                [StockAdjustment(product_id=product_id, change=change, reason=reason, made_by=made_by, at=self._now())]
            )
        return product
