"""What is done once after the database was restored from a backup, while the provider kept its books."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import field, frozen

from application.errors import Unavailable
from application.ports.broken import BrokenOrders, sound
from application.ports.payments import Charge, ProviderLedger
from application.ports.persistence import UnitOfWork
from application.reconciliation.provider import LedgerReads
from domain.ids import OrderId, PaymentId, payment_after
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, MAY_BE_PAID, OrderStatus
from domain.payments.payment import Payment, PaymentStatus

Work = Callable[[Sequence[OrderId]], Awaitable[Sequence[object]]]

# How many lost attempts to pay are looked for in one order. A charge after more attempts is left for a person: paying
# again makes the same attempts, so even then nobody is charged twice.
MOST_ATTEMPTS: Final = 16
# The fewest orders of a shop are in these. Those that can still be paid for come first: nearly all are found there.
_MAY_LACK_A_CHARGE: Final = sorted(set(OrderStatus) - HAS_MONEY, key=lambda status: (status not in MAY_BE_PAID, status))


@frozen(kw_only=True)
class ComparedCharge:
    """A charge that the restored database did not know, or did not know as refunded, and what was done about it."""

    charge: Charge
    # None: no order of the database is charged under this key within so many attempts. It was lost with what came after
    # the backup, as a rule.
    order_id: OrderId | None
    # What the order is now, if it has been put right.
    status: OrderStatus | None


@frozen
class CompareCharges:
    """Look for the orders of the charges that the database does not know, and do again what was done to them.

    The id of a payment follows from its order and from the attempts before. So the orders are found by their next
    payments, and the attempts are made again with the use cases of normal operation: the provider gives each the answer
    that it gave before. Doing it twice changes nothing. An order that is broken is left as it is. Raise `Trouble`.
    """

    _unit_of_work: UnitOfWork
    _provider: ProviderLedger
    _request_payment: Work
    _process_payment: Work
    _request_refund: Work
    _refund: Work
    _page: int = field(default=500, kw_only=True)
    # Seconds that a call to the provider's ledger may take.
    _timeout: float = field(default=30.0, kw_only=True)

    async def __call__(self, since: datetime) -> list[ComparedCharge]:
        """For the charges since then."""
        unknown: dict[PaymentId, Charge] = {}
        compared: list[ComparedCharge] = []
        ledger = LedgerReads(self._provider, call_timeout=self._timeout)
        async for charges in ledger.pages(limit=self._page):
            async with self._unit_of_work.reading() as tx:
                payments = await tx.payments.get_many({charge.key for charge in charges})
            for charge in charges:
                payment = payments.get(charge.key)
                if payment is None and charge.at >= since:
                    unknown[charge.key] = charge
                elif charge.refunded and payment is not None and payment.status is PaymentStatus.CHARGED:
                    compared.append(await self._refunded(charge, payment))
        if ledger.problem is not None:
            raise Unavailable(ledger.problem)
        orders = await self._orders_of(unknown)
        for key, charge in unknown.items():
            compared.append(await self._paid(charge, orders.get(key)))
        return compared

    async def _orders_of(self, charges: Mapping[PaymentId, Charge]) -> dict[PaymentId, OrderId]:
        found: dict[PaymentId, OrderId] = {}
        for status in _MAY_LACK_A_CHARGE:
            last: OrderId | None = None
            while len(found) < len(charges):
                async with self._unit_of_work.reading() as tx:
                    orders = await tx.orders.page(user_id=None, status=status, before=last, limit=self._page)
                if not orders:
                    break
                for order in sound(orders):
                    found |= {key: order.id for key in _next_payments(order) if key in charges}
                last = orders[-1].id
        return found

    async def _paid(self, charge: Charge, order_id: OrderId | None) -> ComparedCharge:
        order = None if order_id is None else await self._attempted(order_id, charge)
        if order is None or order.payment_id != charge.key or order.status not in HAS_MONEY:
            return ComparedCharge(charge=charge, order_id=order_id, status=None)
        if charge.refunded:
            order = await self._given_back(order.id)
        return ComparedCharge(charge=charge, order_id=order_id, status=order.status)

    async def _attempted(self, order_id: OrderId, charge: Charge) -> Order:
        """Make the attempts up to this one again, as far as the order's life allows it."""
        order = await self._read(order_id)
        for _ in range(2 * MOST_ATTEMPTS):
            if order.charge_is_due:
                await self._process_payment([order_id])
            elif order.status in MAY_BE_PAID and not order.deleted and order.payment_id != charge.key:
                await self._request_payment([order_id])
            else:
                break
            before, order = order, await self._read(order_id)
            if order.version == before.version:
                break
        return order

    async def _refunded(self, charge: Charge, payment: Payment) -> ComparedCharge:
        try:
            status: OrderStatus | None = (await self._given_back(payment.order_id)).status
        except BrokenOrders:
            status = None
        is_done = status is OrderStatus.REFUNDED
        return ComparedCharge(charge=charge, order_id=payment.order_id, status=status if is_done else None)

    async def _given_back(self, order_id: OrderId) -> Order:
        await self._request_refund([order_id])
        await self._refund([order_id])
        return await self._read(order_id)

    async def _read(self, order_id: OrderId) -> Order:
        async with self._unit_of_work.reading() as tx:
            return (await tx.orders.get_many({order_id}))[order_id]


def _next_payments(order: Order) -> list[PaymentId]:
    """The payments that may have been requested since the backup."""
    last, found = order.payment_id, list[PaymentId]()
    for _ in range(MOST_ATTEMPTS):
        last = payment_after(last, order.id)
        found.append(last)
    return found
