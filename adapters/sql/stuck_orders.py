"""How many orders have waited for the worker for too long."""

from datetime import timedelta
from typing import Final

from attrs import field, frozen
from sqlalchemy import Float, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.expressions import FromNow
from adapters.sql.core.transaction import one_transaction
from adapters.sql.tables.orders import WAITING, orders
from application.execution.repeated_look import RepeatedLook

_MOST: Final = 1_000
_LONG_AGO: Final = select(FromNow(bindparam("seconds", type_=Float())))
_STUCK: Final = (
    select(orders.c.refund_requested, orders.c.updated_at)
    .where(WAITING, orders.c.updated_at < bindparam("moment", type_=orders.c.updated_at.type))
    .order_by(orders.c.updated_at, orders.c.id)
    .limit(_MOST)
)
_SINCE: Final = _STUCK.where(orders.c.updated_at >= bindparam("since", type_=orders.c.updated_at.type))
# Between two looks at all orders that wait. The others begin behind what is done.
_WHOLE_LOOK: Final = timedelta(hours=1)


@frozen
class StuckOrders:
    """Raise `Unavailable`."""

    _engine: AsyncEngine
    _look: RepeatedLook = field(factory=RepeatedLook, init=False)

    async def count(self, *, after: timedelta) -> dict[str, int]:
        """How many orders have waited for the worker for longer than `after`, by what they wait for."""
        async with one_transaction(self._engine, writing=False) as block:
            [(moment,)] = await block.fetch(_LONG_AGO, {"seconds": -after.total_seconds()})
            since = self._look.begin(moment, whole_every=_WHOLE_LOOK)
            statement, given = (_STUCK, {}) if since is None else (_SINCE, {"since": since})
            rows = await block.fetch(statement, {"moment": moment, **given})
        self._look.end(moment, since, nothing_before=rows[0].updated_at if rows else moment)
        refunds = sum(row.refund_requested for row in rows)
        return {"PROCESSING": len(rows) - refunds, "REFUND": refunds}
