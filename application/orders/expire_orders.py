from collections.abc import Sequence
from datetime import timedelta

from attrs import field, frozen

from application.execution.batching import each_alone
from application.orders.changing import change_each
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.order import Order


@frozen
class ExpiryReport:
    """Which orders have expired, and which could not, with the reason."""

    expired: tuple[OrderId, ...]
    failed: tuple[tuple[OrderId, Exception], ...]


@frozen
class ExpireOrders:
    """Expire orders that were not paid in time, a page in one transaction. One that fails does not stop the others."""

    _unit_of_work: UnitOfWork
    _now: Clock
    _after: timedelta
    _page: int = field(default=500, kw_only=True)

    async def __call__(self) -> ExpiryReport:
        expired: list[OrderId] = []
        failed: list[tuple[OrderId, Exception]] = []
        last: OrderId | None = None
        while ids := await self._overdue(last):
            for order_id, outcome in zip(ids, await each_alone(self._expire, ids), strict=True):
                if not isinstance(outcome, Exception):
                    expired.append(order_id)
                elif not isinstance(outcome, DomainError):
                    # A refusal by the rules is no failure: the order was paid for or cancelled in the meantime.
                    failed.append((order_id, outcome))
            last = ids[-1]
        return ExpiryReport(tuple(expired), tuple(failed))

    async def _overdue(self, last: OrderId | None) -> list[OrderId]:
        async with self._unit_of_work.reading() as tx:
            return await tx.orders.unpaid_since(self._now() - self._after, after=last, limit=self._page)

    async def _expire(self, ids: Sequence[OrderId]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, ids, lambda order: order.expire(at=self._now()))
