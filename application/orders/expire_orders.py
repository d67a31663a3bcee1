from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from attrs import field, frozen

from application.execution.batching import each_alone
from application.orders.changing import change_each
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.expiry import payable_for
from domain.orders.order import Order

# The open periods that are looked at. If there are more within the time to pay, orders expire later.
PERIODS: Final = 1000


@frozen
class ExpiryReport:
    """Which orders have expired, and which could not, with the reason."""

    expired: tuple[OrderId, ...]
    failed: tuple[tuple[OrderId, Exception], ...]


@frozen
class ExpireOrders:
    """Expire orders that were not paid in time, a page in one transaction. One that fails does not stop the others.

    Each call notes that the shop is open. A call comes every `look_every`; if two are missing, there was an outage, and
    its time does not count as time to pay.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _time_to_pay: timedelta
    look_every: timedelta = field(kw_only=True)
    _page: int = field(default=500, kw_only=True)

    async def __call__(self) -> ExpiryReport:
        async with self._unit_of_work() as tx:
            await tx.open_periods.note(longest_gap=2 * self.look_every)
            await tx.orders.redate_unpaid()
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
            moment = payable_for(self._time_to_pay, await tx.open_periods.newest(limit=PERIODS))
            return await tx.orders.unpaid_since(moment, after=last, limit=self._page) if moment else []

    async def _expire(self, ids: Sequence[OrderId]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, ids, lambda order, _: order.expire(at=self._now()))
