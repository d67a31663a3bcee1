from collections.abc import Sequence

from attrs import frozen

from application.execution.conditional import OrderCall
from application.orders.changing import change_each, known
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.orders.events import OrderDeleted
from domain.orders.order import Order


@frozen
class DeleteOrder:
    """Delete orders that were never paid for. An order that is deleted already is returned unchanged."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, calls: Sequence[OrderCall]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, calls, self._delete, find=known)

    def _delete(self, order: Order, request_id: str | None) -> OrderDeleted | None:
        return None if order.deleted else order.delete(at=self._now(), request_id=request_id)
