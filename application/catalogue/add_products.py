from collections.abc import Sequence
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.catalogue.adjust_stock import adjustment
from application.errors import Aborted
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import MAX_COUNT, MAX_TEXT, Product
from domain.errors import DomainError, InvalidProduct, ProductExists
from domain.ids import MAX_ID, ProductId
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


@frozen
class AddProducts:
    """Add products to the catalogue, and record their first count. One that is refused is refused alone."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, new: Sequence[NewProduct]) -> Sequence[Product | DomainError]:
        """Raise `Aborted` when other calls took the same ids in every attempt."""
        for _ in range(_TRIES - 1):
            try:
                return await self._add(new, by.key_id)
            except Aborted:
                # Another call took the ids: try with the next ones.
                continue
        return await self._add(new, by.key_id)

    async def _add(self, new: Sequence[NewProduct], made_by: str) -> Sequence[Product | DomainError]:
        async with self._unit_of_work() as tx:
            outcomes = await self._begin(new, tx)
            added = [outcome for outcome in outcomes if isinstance(outcome, Product)]
            await tx.products.add_many(added)
            counts = [
                adjustment(product, product.stock, reason="first count", made_by=made_by, at=product.created_at)
                for product in added
            ]
            await tx.stock_adjustments.add_many(counts)
        return outcomes

    async def _begin(self, new: Sequence[NewProduct], tx: Transaction) -> list[Product | DomainError]:
        named = {product.id for product in new if product.id is not None}
        taken = set(await tx.products.get_many(named))
        last = max([await tx.products.last_id(), *named])
        outcomes: list[Product | DomainError] = []
        for product in new:
            last = last if product.id is not None else ProductId(last + 1)
            id_ = last if product.id is None else product.id
            if id_ in taken:
                outcomes.append(ProductExists(f"product {id_} exists already", field="id"))
                continue
            taken.add(id_)
            outcomes.append(self._product(id_, product))
        return outcomes

    def _product(self, id_: ProductId, new: NewProduct) -> Product | InvalidProduct:
        if not 1 <= id_ <= MAX_ID:
            return InvalidProduct(f"an id is between 1 and {MAX_ID}; {id_} is not", field="id")
        if not 0 <= new.stock <= MAX_COUNT:
            return InvalidProduct(f"the stock is between 0 and {MAX_COUNT}", field="stock")
        if not 1 <= len(new.name) <= MAX_TEXT:
            return InvalidProduct(f"a name has 1 to {MAX_TEXT} characters", field="name")
        return Product(id=id_, name=new.name, price=new.price, stock=new.stock, created_at=self._now())
