from collections.abc import Sequence

from attrs import frozen

from application.execution.conditional import OrderCall
from application.orders.changing import change_each
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.orders.events import RefundRequested
from domain.orders.order import Order


@frozen
class RequestRefund:
    """Request the refund of orders. An order whose refund was requested before is returned unchanged."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, calls: Sequence[OrderCall]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, calls, self._request)

    def _request(self, order: Order, request_id: str | None) -> RefundRequested | None:
        return None if order.refund_requested else order.request_refund(at=self._now(), request_id=request_id)
