from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from attrs import evolve, frozen

from application.access.principal import Principal
from application.catalogue.auditing import entry, shown
from application.catalogue.change_product import anything, found
from application.execution.idempotency import Keyed, ProductOutcome, once
from application.ports.audit import AuditEntry
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import MAX_TEXT, Product, StockAdjustment
from domain.errors import DomainError, InvalidProduct, StockDiffers
from domain.ids import ProductId


@frozen(kw_only=True)
class StockCall:
    """Units to add to a stock, or with a negative `delta` to remove.

    It is made only if the stock is the expected one, where there is one, and if `holds` is true of the product.
    """

    product_id: ProductId
    delta: int
    reason: str
    expected: int | None = None
    holds: Callable[[Product], bool] = anything


@frozen
class AdjustStock:
    """Change stocks for a reason other than an order. A call that is refused is refused alone."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, by: Principal, calls: Sequence[StockCall | Keyed[StockCall]]) -> Sequence[ProductOutcome]:
        """The products as they are then, or the refusals.

        A refusal is an `UnknownProduct`, `PreconditionFailed`, `StockDiffers`, `InvalidProduct`, or `OutOfStock` when
        there are too few units to remove.
        """
        async with self._unit_of_work() as tx:
            return await once(tx, calls, partial(self.adjust_all, tx, by))

    async def adjust_all(
        self, tx: Transaction, by: Principal, calls: Sequence[StockCall]
    ) -> list[Product | DomainError]:
        """Adjust them in a transaction of the caller, in sequence."""
        # In one order, so that two such transactions can't lock each other out.
        products = await tx.products.get_many({call.product_id for call in calls}, lock=True)
        outcomes: list[Product | DomainError] = []
        made: list[StockAdjustment] = []
        noted: list[AuditEntry] = []
        for call in calls:
            try:
                product = found(products, call.product_id, call.holds)
                before = shown(product)
                made.append(self._adjust(product, call, by))
            except DomainError as error:
                outcomes.append(error)
                continue
            noted.append(entry(by, "stock.adjusted", before, product, at=made[-1].at, reason=call.reason))
            # Another call may adjust it once more.
            outcomes.append(evolve(product))
        adjusted = {adjustment.product_id for adjustment in made}
        await tx.products.save_many([products[id_] for id_ in sorted(adjusted)])
        await tx.stock_adjustments.add_many(made)
        await tx.audit.add_many(noted)
        return outcomes

    def _adjust(self, product: Product, call: StockCall, by: Principal) -> StockAdjustment:
        if call.expected is not None and product.stock != call.expected:
            raise StockDiffers(f"product {product.id} has {product.stock} units, and {call.expected} were expected")
        made = adjustment(product, call.delta, reason=call.reason, made_by=by.key_id, at=self._now())
        product.adjust(call.delta)
        return made


def expect_reason(text: str) -> None:
    """Raise `InvalidProduct`."""
    # A NUL is what PostgreSQL can't store in a text.
    if not 1 <= len(text) <= MAX_TEXT or "\0" in text:
        rule = f"the reason and its author have 1 to {MAX_TEXT} characters each, none of them NUL"
        raise InvalidProduct(rule, field="reason")


def adjustment(product: Product, change: int, *, reason: str, made_by: str, at: datetime) -> StockAdjustment:
    """Raise `InvalidProduct`."""
    expect_reason(reason)
    expect_reason(made_by)
    return StockAdjustment(product_id=product.id, change=change, reason=reason, made_by=made_by, at=at)
