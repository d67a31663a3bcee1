from datetime import timedelta
from typing import Final

from attrs import frozen
from sqlalchemy import Float, bindparam, delete, func, insert, literal, select, update

from adapters.sql.core.expressions import FromNow
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.tables.shop import open_periods
from domain.orders.time_to_pay import OpenPeriod

# As subqueries, which are evaluated once: PostgreSQL looks up no volatile expression in an index.
_NOW: Final = select(FromNow(literal(0))).scalar_subquery()
_A_GAP_AGO: Final = select(FromNow(bindparam("minus_gap", type_=Float()))).scalar_subquery()
_NEWEST: Final = select(open_periods).order_by(open_periods.c.since.desc()).limit(bindparam("limit"))
_LAST: Final = select(func.max(open_periods.c.since)).scalar_subquery()
_EXTEND: Final = (
    update(open_periods).values(until=_NOW).where(open_periods.c.since == _LAST, open_periods.c.until >= _A_GAP_AGO)
)
_FORGET_FUTURE: Final = delete(open_periods).where(open_periods.c.since > _NOW)
_BEGIN: Final = insert(open_periods).from_select(["since", "until"], select(_A_GAP_AGO, _NOW))


@frozen
class SqlOpenPeriods:
    _block: TransactionBlock

    async def note(self, *, longest_gap: timedelta) -> None:
        gap = {"minus_gap": -longest_gap.total_seconds()}
        await self._block.change(_FORGET_FUTURE)
        # Two workers that begin a period at once begin two: they overlap, which does no harm.
        if not await self._block.change(_EXTEND, gap):
            await self._block.change(_BEGIN, gap)

    async def newest(self, *, limit: int) -> list[OpenPeriod]:
        return [OpenPeriod(row.since, row.until) for row in await self._block.fetch(_NEWEST, {"limit": limit})]
