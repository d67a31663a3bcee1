from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from application.execution.conditional import OnlyIf, OrderCall
from application.orders.changing import change_each_so
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.orders.details import merged
from domain.orders.events import OrderDetailsChanged
from domain.orders.limits import expect_details_within_limits
from domain.orders.order import Order


@frozen
class DetailsChange(OnlyIf):
    """The details of one order that are to change, by their names (`CHANGEABLE`). None removes one."""

    changes: Mapping[str, Any] = field(factory=dict, kw_only=True)


@frozen
class ChangeDetails:
    """Change details of orders. An order that has these details already is returned unchanged."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, calls: Sequence[OrderCall]) -> Sequence[Order | DomainError]:
        changes = [(call, partial(self._change, _changes_in(call))) for call in calls]
        return await change_each_so(self._unit_of_work, changes)

    def _change(self, changes: Mapping[str, Any], order: Order, request_id: str | None) -> OrderDetailsChanged | None:
        details = merged(order.details, changes)
        expect_details_within_limits(details, order.details)
        if details == order.details:
            return None
        return order.change_details(details, at=self._now(), request_id=request_id)


def _changes_in(call: OrderCall) -> Mapping[str, Any]:
    return call.changes if isinstance(call, DetailsChange) else {}
