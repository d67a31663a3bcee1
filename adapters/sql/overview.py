"""Numbers of what waits in the database. Whole indexes are read for them: for a person, and not for each second."""

from typing import Final

from attrs import frozen
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.repositories.outbox import MARK
from adapters.sql.tables.dead_letters import UNDECIDED, dead_letters
from adapters.sql.tables.events import outbox, waiting_work
from adapters.sql.tables.orders import NOT_DELETED, WAITING, orders
from application.ports.overview import WaitingOrder
from domain.orders.status import OrderStatus


@frozen
class Overview:
    """How many orders there are in each status, and how much waits where. `oldest` waits for the worker."""

    orders: dict[OrderStatus, int]
    outbox: int
    dead_letters: int
    oldest: WaitingOrder | None


_ORDERS: Final = select(orders.c.status, func.count().label("number")).where(NOT_DELETED).group_by(orders.c.status)
_OUTBOX: Final = select(
    select(func.count()).select_from(outbox).where(MARK.not_below).scalar_subquery()
    + select(func.count()).select_from(waiting_work).scalar_subquery()
)
_LETTERS: Final = select(func.count()).select_from(dead_letters).where(UNDECIDED)
OLDEST: Final = (
    select(orders.c.id, orders.c.status, orders.c.updated_at).where(WAITING).order_by(orders.c.updated_at).limit(1)
)


async def overview(engine: AsyncEngine) -> Overview:
    """Raise `Unavailable`."""
    async with connected(engine, reading=True) as connection:
        counts = {row.status: row.number for row in (await connection.execute(_ORDERS)).all()}
        outbox_length: int = (await connection.execute(_OUTBOX)).scalar_one()
        letters: int = (await connection.execute(_LETTERS)).scalar_one()
        oldest = (await connection.execute(OLDEST)).first()
    return Overview(
        orders={status: counts.get(status.value, 0) for status in OrderStatus},
        outbox=outbox_length,
        dead_letters=letters,
        oldest=WaitingOrder(oldest.id, OrderStatus(oldest.status), oldest.updated_at) if oldest else None,
    )
