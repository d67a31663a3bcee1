from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen

from application.execution.batching import each_alone
from application.execution.repeated_look import RepeatedLook
from application.orders.changing import change_each
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.time_to_pay import payable_for

# The open periods that are looked at. If there are more within the time to pay, orders expire later.
PERIODS: Final = 1000


@frozen
class ExpiryReport:
    """Which orders have expired, and which could not, with the reason."""

    expired: tuple[OrderId, ...]
    failed: tuple[tuple[OrderId, Exception], ...]


# The first call, and one an hour, look at all orders; or one in so many times the time to pay, if that is shorter.
_WHOLE_LOOK: Final = timedelta(hours=1)
_WHOLE_LOOK_IN_TIMES_TO_PAY: Final = 4


@define(eq=False)
class ExpireOrders:
    """Expire orders that were not paid in time, a page in one transaction. One that fails does not stop the others.

    Each call notes that the shop is open. A call comes every `look_every`; if two are missing, there was an outage, and
    its time does not count as time to pay.

    Orders that come to stand where none was unpaid, because the clock of the database was set back by more than the
    time to pay, expire late: by up to an hour, or four times the time to pay if that is shorter.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _time_to_pay: timedelta
    look_every: timedelta = field(kw_only=True)
    _page: int = field(default=500, kw_only=True)
    _look: RepeatedLook = field(factory=RepeatedLook, init=False)

    async def __call__(self) -> ExpiryReport:
        async with self._unit_of_work() as tx:
            await tx.open_periods.note(longest_gap=2 * self.look_every)
            await tx.orders.redate_unpaid()
            moment = payable_for(self._time_to_pay, await tx.open_periods.newest(limit=PERIODS))
        if moment is None:
            return ExpiryReport((), ())
        since = self._look.begin(moment, whole_every=self._whole_look)
        expired: list[OrderId] = []
        failed: list[tuple[OrderId, Exception]] = []
        last: OrderId | None = None
        while ids := await self._overdue(moment, since, last):
            for order_id, outcome in zip(ids, await each_alone(self._expire, ids), strict=True):
                if not isinstance(outcome, Exception):
                    expired.append(order_id)
                elif not isinstance(outcome, DomainError):
                    # A refusal by the rules is no failure: the order was paid for or cancelled in the meantime.
                    failed.append((order_id, outcome))
            last = ids[-1]
        if not failed:
            self._look.end(moment, since, nothing_before=moment)
        return ExpiryReport(tuple(expired), tuple(failed))

    @property
    def _whole_look(self) -> timedelta:
        return min(_WHOLE_LOOK, _WHOLE_LOOK_IN_TIMES_TO_PAY * self._time_to_pay)

    async def _overdue(self, moment: datetime, since: datetime | None, last: OrderId | None) -> list[OrderId]:
        async with self._unit_of_work.reading() as tx:
            return await tx.orders.unpaid_since(moment, recorded_after=since, after=last, limit=self._page)

    async def _expire(self, ids: Sequence[OrderId]) -> Sequence[Order | DomainError]:
        return await change_each(self._unit_of_work, ids, lambda order, _: order.expire(at=self._now()))
