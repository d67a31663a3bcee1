"""What a replay would do, as data: what was seen before and after, and what the provider was asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from application.ports.payments import Charge
from domain.catalogue.product import Product
from domain.ids import PaymentId, ProductId
from domain.jobs.job import Job
from domain.money import Money
from domain.orders.order import Order
from domain.payments.payment import Payment

# The reference of a charge that nobody has made yet.
_NO_REFERENCE: Final = "given by the provider"


@frozen
class Change:
    """One value that would be another one. `before` is None for what is not there yet."""

    of: str
    id: str
    name: str
    before: Any
    after: Any


@frozen
class ProviderCall:
    """What the provider would be asked. One that is `known` has been answered before, and moves no money again."""

    operation: str
    payment_id: PaymentId
    amount: Money
    known: bool


@frozen(kw_only=True)
class Trial:
    """What a replay would do. Nothing was done.

    With an `error` it would be refused, or fail again. Money that the provider is asked for is taken to be given: only
    the provider knows whether it declines. `queue` is None if no worker has anything to do with the message.
    """

    queue: str | None
    error: Exception | None = None
    changes: Sequence[Change] = ()
    events: Sequence[str] = ()
    provider: Sequence[ProviderCall] = ()


@define
class RecordedProvider:
    """A payment provider that answers from its record, and takes and returns no money."""

    _charges: Mapping[PaymentId, Charge]
    calls: list[ProviderCall] = field(factory=list, init=False)

    async def charge(self, key: PaymentId, amount: Money) -> str:
        self.calls.append(ProviderCall("charge", key, amount, known=key in self._charges))
        return _NO_REFERENCE

    async def refund(self, key: PaymentId, amount: Money) -> None:
        charge = self._charges.get(key)
        self.calls.append(ProviderCall("refund", key, amount, known=charge is not None and charge.refunded))


@frozen(kw_only=True)
class Seen:
    """What a message is about, at one moment."""

    order: Order | None
    products: Mapping[ProductId, Product]
    payment: Payment | None
    # The job that the message asks for.
    job: Job | None

    def values(self) -> dict[tuple[str, str, str], Any]:
        """Return each value by what it is of, its id, and its name."""
        found: dict[tuple[str, str, str], Any] = {}
        if self.order is not None:
            found |= {("order", str(self.order.id), name): value for name, value in _of_order(self.order).items()}
        for product in self.products.values():
            found["product", str(product.id), "stock"] = product.stock
        if self.payment is not None:
            found["payment", str(self.payment.id), "status"] = self.payment.status.value
        if self.job is not None:
            found["job", str(self.job.id), "status"] = self.job.status.value
        return found


def differences(before: Seen, after: Seen) -> list[Change]:
    earlier, later = before.values(), after.values()
    return [Change(*key, earlier.get(key), value) for key, value in later.items() if earlier.get(key) != value]


def _of_order(order: Order) -> dict[str, Any]:
    return {
        "status": order.status.value,
        "version": order.version,
        "holds_stock": order.holds_stock,
        "refund_requested": order.refund_requested,
        "failure_reason": None if order.failure_reason is None else order.failure_reason.value,
    }
