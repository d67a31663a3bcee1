from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from attrs import field, frozen

from application.access.principal import Principal
from application.catalogue.adjust_stock import adjustment
from application.catalogue.auditing import entry
from application.errors import Aborted
from application.execution.idempotency import Keyed, ProductOutcome, once
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import MAX_COUNT, Product, expect_name, expect_sku
from domain.errors import DomainError, InvalidProduct, ProductExists, SkuTaken
from domain.ids import MAX_EXACT, MOST_AUTOMATIC, ProductId
from domain.metadata import with_changes
from domain.money import Money

# Attempts to add products, when another call takes the same ids in the meantime.
_TRIES: Final = 10


@frozen(kw_only=True)
class NewProduct:
    """Something that the shop begins to sell. Without an id it gets the next one."""

    id: ProductId | None = None
    name: str
    price: Money
    stock: int
    sku: str | None = None
    active: bool = True
    metadata: Mapping[str, str] = field(factory=dict)


@frozen
class AddProducts:
    """Add products to the catalogue, and record their first count. One that is refused is refused alone."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, new: Sequence[NewProduct | Keyed[NewProduct]]) -> Sequence[ProductOutcome]:
        """Raise `Aborted` when other calls took the same ids, SKUs or keys in every attempt."""
        for _ in range(_TRIES - 1):
            try:
                return await self._add(new, by)
            except Aborted:
                # Another call took the ids: try with the next ones.
                continue
        return await self._add(new, by)

    async def _add(self, new: Sequence[NewProduct | Keyed[NewProduct]], by: Principal) -> Sequence[ProductOutcome]:
        async with self._unit_of_work() as tx:
            return await once(tx, new, partial(self.add_all, tx, by))

    async def add_all(self, tx: Transaction, by: Principal, new: Sequence[NewProduct]) -> list[Product | DomainError]:
        """Add them in a transaction of the caller. Raise `Aborted` when another one takes the same ids or SKUs."""
        outcomes = await self._begin(new, tx)
        added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
        await tx.products.add_many(added)
        counts = [
            adjustment(product, product.stock, reason="first count", made_by=by.key_id, at=product.created_at)
            for product in added
        ]
        await tx.stock_adjustments.add_many(counts)
        await tx.audit.add_many([entry(by, "product.added", {}, product, at=product.created_at) for product in added])
        return outcomes

    async def _begin(self, new: Sequence[NewProduct], tx: Transaction) -> list[Product | DomainError]:
        named = {product.id for product in new if product.id is not None}
        taken = set(await tx.products.get_many(named))
        skus = await tx.products.by_sku({product.sku for product in new if product.sku is not None})
        last = max([await tx.products.last_id(), *(id_ for id_ in named if id_ <= MOST_AUTOMATIC)])
        outcomes: list[Product | DomainError] = []
        for each in new:
            last = last if each.id is not None else ProductId(last + 1)
            id_ = last if each.id is None else each.id
            try:
                if id_ in taken:
                    raise ProductExists(f"product {id_} exists already")
                product = self._product(id_, each)
                if product.sku in skus:
                    raise SkuTaken(f"product {skus[product.sku]} has the SKU {product.sku}")
            except DomainError as error:
                outcomes.append(error)
                continue
            taken.add(id_)
            if product.sku is not None:
                skus[product.sku] = id_
            outcomes.append(product)
        return outcomes

    def _product(self, id_: ProductId, new: NewProduct) -> Product:
        """Raise a `DomainError`."""
        if not 1 <= id_ <= MAX_EXACT:
            raise InvalidProduct(
                f"an id is between 1 and {MAX_EXACT}, since JavaScript rounds larger numbers; {id_} is not", field="id"
            )
        if not 0 <= new.stock <= MAX_COUNT:
            raise InvalidProduct(f"the stock is between 0 and {MAX_COUNT}", field="stock")
        return Product(
            id=id_,
            name=expect_name(new.name),
            price=new.price,
            stock=new.stock,
            created_at=self._now(),
            sku=expect_sku(new.sku),
            active=new.active,
            metadata=with_changes({}, new.metadata),
        )
