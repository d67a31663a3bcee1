from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.catalogue.adjust_stock import AdjustStock, StockCall
from application.execution.idempotency import KeyInFlight
from application.imports.run_import import Done
from application.ports.idempotency import IdempotencyKey, StoredResponse
from application.ports.persistence import Transaction
from domain.catalogue.product import Product
from domain.errors import DomainError, UnknownProduct
from domain.ids import ProductId

_SCOPE: Final = "stock import"


class ReferenceReused(DomainError):
    """An earlier import has moved another number of units of the product under the reference."""

    code = "reference_reused"


@frozen(kw_only=True)
class StockRow:
    """Units to add to a stock or to remove. Under a `reference`, such as a delivery note, a product is moved once."""

    product_id: ProductId | None
    sku: str | None
    delta: int
    reason: str
    expected: int | None
    reference: str | None

    @property
    def names(self) -> Sequence[tuple[str, object]]:
        return [] if self.reference is None else [("reference", (self.product_id, self.sku, self.reference))]


@frozen
class ApplyStock:
    """Adjust stocks, as over HTTP. What was moved under a reference before stays as it is."""

    _adjust: AdjustStock

    async def __call__(self, tx: Transaction, by: Principal, rows: Sequence[StockRow]) -> Sequence[Done | DomainError]:
        owners = await tx.products.by_sku({row.sku for row in rows if row.sku is not None})
        outcomes: dict[int, Done | DomainError] = {}
        calls: dict[int, StockCall] = {}
        keys: dict[int, IdempotencyKey] = {}
        for at, row in enumerate(rows):
            id_ = row.product_id if row.product_id is not None else owners.get(row.sku or "")
            if id_ is None:
                outcomes[at] = UnknownProduct(f"no product has the SKU {row.sku}", field="sku")
                continue
            key = None if row.reference is None else IdempotencyKey(_SCOPE, f"{id_} {row.reference}")
            if key is not None and key in keys.values():
                # One row names the product by its id, and another by its SKU.
                outcomes[at] = ReferenceReused(f"an earlier row moves product {id_} under it", field="reference")
                continue
            calls[at] = StockCall(product_id=id_, delta=row.delta, reason=row.reason, expected=row.expected)
            if key is not None:
                keys[at] = key
        kept = await tx.idempotency_keys.claim(set(keys.values()))
        if not kept.keys() >= set(keys.values()):
            raise KeyInFlight("another import moves stock under the same references now")
        for at, key in keys.items():
            if (earlier := kept[key]) is not None:
                outcomes[at] = _again(calls.pop(at), rows[at], earlier)
        adjusted = await self._adjust.adjust_all(tx, by, list(calls.values()))
        moved: list[StoredResponse] = []
        for (at, call), outcome in zip(calls.items(), adjusted, strict=True):
            outcomes[at] = Done("changed", call.product_id) if isinstance(outcome, Product) else outcome
            # A refusal is not kept: the row is right as soon as its cause is mended.
            if at in keys and isinstance(outcome, Product):
                moved.append(StoredResponse(keys[at], _fingerprint(call), outcome))
        await tx.idempotency_keys.add_many(moved)
        return [outcomes[at] for at in range(len(rows))]


def _again(call: StockCall, row: StockRow, earlier: StoredResponse) -> Done | ReferenceReused:
    if earlier.fingerprint == _fingerprint(call):
        return Done("unchanged", call.product_id)
    return ReferenceReused(
        f"an earlier import has moved product {call.product_id} under the reference {row.reference!r} by another"
        " number of units",
        field="reference",
    )


def _fingerprint(call: StockCall) -> str:
    return sha256(f"{call.product_id} {call.delta}".encode()).hexdigest()
