import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.catalogue.add_products import AddProducts, NewProduct
from application.execution.idempotency import Keyed, KeyInFlight, ProductOutcome, Replayed
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.errors import UnknownProduct
from domain.money import Money

# Attempts to add products that other calls are adding at that moment, and seconds between them.
_TRIES: Final = 20
_PAUSE: Final = 0.1


@frozen
class FindByName:
    """Find products by their names. None stands for one that there is not."""

    _unit_of_work: UnitOfWork

    async def __call__(self, names: Sequence[str]) -> Sequence[Product | None]:
        async with self._unit_of_work.reading() as tx:
            found = await tx.products.by_name(set(names))
        return [found.get(name) for name in names]


@frozen
class ProductsByName:
    """The products of these names, for callers that know no ids. Raise `UnknownProduct`, which names each missing one.

    With a price, a missing one is added at this price, without any stock: once for each name, however many ask for it
    at the same time. Only who may add products may do so.
    """

    # `FindByName`, batched.
    _find: Callable[[str], Awaitable[Product | None]]
    _add: AddProducts

    async def __call__(self, by: Principal, names: Sequence[str], *, add_at: Money | None = None) -> Sequence[Product]:
        found = await asyncio.gather(*map(self._find, names))
        missing = dict.fromkeys(name for name, product in zip(names, found, strict=True) if product is None)
        if not missing:
            return [product for product in found if product is not None]
        if add_at is None:
            raise _unknown(names, missing)
        by.expect(Scope.PRODUCTS_WRITE)
        added = await self._added(by, list(missing), add_at)
        return [product or added[name] for name, product in zip(names, found, strict=True)]

    async def _added(self, by: Principal, names: Sequence[str], price: Money) -> dict[str, Product]:
        # The key makes it one product of each name.
        new = [
            Keyed(NewProduct(name=name, price=price, stock=0), IdempotencyKey("products by name", name), "the same")
            for name in names
        ]
        outcomes = await self._add(by, new)
        for _ in range(_TRIES):
            if not any(isinstance(outcome, KeyInFlight) for outcome in outcomes):
                break
            await asyncio.sleep(_PAUSE)
            outcomes = await self._add(by, new)
        return {name: _product(outcome) for name, outcome in zip(names, outcomes, strict=True)}


def _product(outcome: ProductOutcome) -> Product:
    """Raise the refusal."""
    answer = outcome.answer if isinstance(outcome, Replayed) else outcome
    if isinstance(answer, Product):
        return answer
    if isinstance(answer, Exception):
        raise answer
    raise TypeError(f"a product is no {type(answer).__name__}")


def _unknown(names: Sequence[str], missing: Sequence[str] | dict[str, None]) -> UnknownProduct:
    first, *others = (
        UnknownProduct(f"there is no product with the name {name!r}", field=f"items[{index}].name")
        for index, name in enumerate(names)
        if name in missing
    )
    return UnknownProduct(str(first), field=first.field, others=others)
