from collections.abc import Mapping, Sequence

from attrs import frozen

from application.execution.conditional import OrderCall
from application.orders.changing import change_each, change_locked
from application.ports.environment import Clock
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import OrderCancelled
from domain.orders.order import Order
from domain.orders.status import OrderStatus


@frozen
class CancelOrder:
    """Cancel orders that are not paid for. An order that is cancelled already is returned unchanged."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, calls: Sequence[OrderCall]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, calls, self._cancel)

    async def locked(
        self, tx: Transaction, orders: Mapping[OrderId, Order], calls: Sequence[OrderCall]
    ) -> Sequence[Order | DomainError]:
        """Do it in this transaction, which has read and locked the orders."""
        return await change_locked(tx, orders, [(call, self._cancel) for call in calls])

    def _cancel(self, order: Order, request_id: str | None) -> OrderCancelled | None:
        return None if order.status is OrderStatus.CANCELLED else order.cancel(at=self._now(), request_id=request_id)
