from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from application.access.principal import Principal
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.change_product import ChangeProduct, ProductCall
from application.imports.run_import import Done
from application.ports.persistence import Transaction
from domain.catalogue.product import KEEP, Product, ProductEdit
from domain.errors import DomainError, InvalidProduct
from domain.ids import ProductId
from domain.money import Money

_NEEDED: Final = ("name", "price", "currency")


@frozen(kw_only=True)
class ProductRow:
    """A product as it should be, known by its id or by its SKU. What is left out stays as it is.

    `stock` is the first count of a new product. That of a known one changes with what is sold and delivered, and stays.
    """

    id: ProductId | None
    edit: ProductEdit
    stock: int | None

    @property
    def sku(self) -> str | None:
        return self.edit.sku if isinstance(self.edit.sku, str) else None

    @property
    def names(self) -> Sequence[tuple[str, object]]:
        return [(name, value) for name, value in (("id", self.id), ("sku", self.sku)) if value is not None]


@frozen
class ApplyProducts:
    """Change the products that are known, and add the others."""

    _add: AddProducts
    _change: ChangeProduct

    async def __call__(
        self, tx: Transaction, by: Principal, rows: Sequence[ProductRow]
    ) -> Sequence[Done | DomainError]:
        owners = await tx.products.by_sku({row.sku for row in rows if row.id is None and row.sku is not None})
        ids = [row.id if row.id is not None else owners.get(row.sku or "") for row in rows]
        known = await tx.products.get_many({id_ for id_ in ids if id_ is not None}, lock=True)
        outcomes: dict[int, Done | DomainError] = {}
        new: dict[int, NewProduct] = {}
        changes: dict[int, ProductCall] = {}
        for at, (row, id_) in enumerate(zip(rows, ids, strict=True)):
            if id_ is not None and id_ in known:
                changes[at] = ProductCall(product_id=id_, edit=row.edit)
            elif missing := [name for name in _NEEDED if getattr(row.edit, name) is KEEP]:
                outcomes[at] = _incomplete(missing)
            else:
                try:
                    new[at] = _new(row)
                except DomainError as error:
                    outcomes[at] = error
        outcomes |= await self._changed(tx, by, changes, known)
        added = await self._add.add_all(tx, by, list(new.values()))
        for at, outcome in zip(new, added, strict=True):
            outcomes[at] = Done("added", outcome.id) if isinstance(outcome, Product) else outcome
        return [outcomes[at] for at in range(len(rows))]

    async def _changed(
        self,
        tx: Transaction,
        by: Principal,
        changes: Mapping[int, ProductCall],
        known: Mapping[ProductId, Product],
    ) -> dict[int, Done | DomainError]:
        versions = {id_: product.version for id_, product in known.items()}
        changed = await self._change.change_all(tx, by, list(changes.values()))
        outcomes: dict[int, Done | DomainError] = {}
        for at, outcome in zip(changes, changed, strict=True):
            if isinstance(outcome, Product):
                word = "unchanged" if outcome.version == versions[outcome.id] else "changed"
                outcomes[at], versions[outcome.id] = Done(word, outcome.id), outcome.version
            else:
                outcomes[at] = outcome
        return outcomes


def _new(row: ProductRow) -> NewProduct:
    """Raise a `DomainError`."""
    edit: Any = row.edit
    return NewProduct(
        id=row.id,
        name=edit.name,
        price=Money(edit.price, edit.currency),
        stock=row.stock or 0,
        sku=row.sku,
        active=edit.active is not False,
        metadata={key: value for key, value in edit.metadata.items() if value is not None},
    )


def _incomplete(missing: Sequence[str]) -> InvalidProduct:
    first, *others = (InvalidProduct("a new product needs it", field=name) for name in missing)
    return InvalidProduct(str(first), field=first.field, others=others)
