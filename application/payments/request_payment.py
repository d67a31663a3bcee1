from collections.abc import Mapping, Sequence
from functools import partial

from attrs import frozen

from application.execution.conditional import OrderCall, expect, order_id_in, request_id_in
from application.execution.idempotency import Keyed, Outcome, once
from application.orders.changing import existing
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import PaymentRequested
from domain.orders.order import Order
from domain.payments.payment import Payment


@frozen
class RequestPayment:
    """Request the payment of orders. An order that is paid, or being paid, is returned unchanged.

    A request under a key is done once, even if its payment has failed since.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, calls: Sequence[OrderCall | Keyed[OrderCall]]) -> Sequence[Outcome]:
        async with self._unit_of_work() as tx:
            return await once(tx, calls, partial(self._within, tx))

    async def _within(self, tx: Transaction, calls: Sequence[OrderCall]) -> list[Order | DomainError]:
        orders = await tx.orders.get_many({order_id_in(call) for call in calls}, lock=True)
        return await self.locked(tx, orders, calls)

    async def locked(
        self, tx: Transaction, orders: Mapping[OrderId, Order], calls: Sequence[OrderCall]
    ) -> list[Order | DomainError]:
        """Do it in this transaction, which has read and locked the orders."""
        outcomes: list[Order | DomainError] = []
        requested: list[tuple[Order, PaymentRequested]] = []
        for call in calls:
            order_id = order_id_in(call)
            try:
                order = existing(orders.get(order_id), order_id)
                expect(call, order)
                if not order.is_paid_or_being_paid:
                    event = order.request_payment(order.next_payment, at=self._now(), request_id=request_id_in(call))
                    requested.append((order, event))
            except DomainError as error:
                outcomes.append(error)
            else:
                outcomes.append(order)
        await tx.orders.save_many([order for order, _ in requested])
        await tx.payments.add_many(
            [Payment(id=event.payment_id, order_id=order.id, amount=event.amount) for order, event in requested]
        )
        await tx.events.add_many([event for _, event in requested])
        return outcomes
