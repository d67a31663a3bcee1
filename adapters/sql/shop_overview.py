from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from attrs import frozen
from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.counting import count_of
from adapters.sql.core.types import UtcDateTime
from adapters.sql.heartbeats import SqlHeartbeats, provider_silence
from adapters.sql.overview import OLDEST
from adapters.sql.repositories.relay_lease import LEASE
from adapters.sql.samples import SqlSamples
from adapters.sql.stuck_orders import StuckOrders
from adapters.sql.tables.events import order_events
from adapters.sql.tables.feed import feed, feed_head
from adapters.sql.tables.orders import NOT_DELETED, WAITING, orders
from adapters.sql.tables.shop import leases
from adapters.sql.tables.webhooks import DELIVERY_OPEN, webhook_deliveries, webhook_endpoints, webhook_progress
from application.ports.overview import ActiveRelay, FailingReceivers, Process, Upkeep, Waiting, WaitingOrder
from application.ports.payments import ProviderSilence
from domain.orders.events import OrderPaid
from domain.orders.status import OrderStatus
from domain.webhooks.delivery import DeliveryStatus

_BETWEEN: Final = select(orders.c.created_at).where(
    NOT_DELETED,
    orders.c.created_at >= bindparam("since", type_=UtcDateTime()),
    orders.c.created_at < bindparam("until", type_=UtcDateTime()),
)
_WAITING: Final = select(orders.c.id).where(WAITING)
_MOST_ORDERS: Final = 1000
_FAILING: Final = (
    select(webhook_progress.c.endpoint_id, webhook_progress.c.failing_since)
    .join(webhook_endpoints, webhook_endpoints.c.id == webhook_progress.c.endpoint_id)
    .where(
        webhook_progress.c.rests > 0,
        webhook_progress.c.failing_since.is_not(None),
        webhook_endpoints.c.disabled.is_(None),
        webhook_endpoints.c.deleted_at.is_(None),
    )
    .order_by(webhook_progress.c.failing_since)
)
# Those that are tried next come first in the index, before the many that wait behind them.
_ANSWER: Final = (
    select(webhook_deliveries.c.outcome)
    .where(
        webhook_deliveries.c.endpoint_id == bindparam("endpoint_id", type_=webhook_deliveries.c.endpoint_id.type),
        DELIVERY_OPEN,
        webhook_deliveries.c.status == DeliveryStatus.RETRYING.value,
    )
    .order_by(webhook_deliveries.c.next_at)
    .limit(1)
)
_HOLDER: Final = select(leases.c.holder, leases.c.since, leases.c.until).where(LEASE.lasts())


@frozen
class SqlOverview:
    _engine: AsyncEngine

    async def accepted(self, moments: Sequence[datetime], *, most: int) -> list[int]:
        count = count_of(_BETWEEN, most)
        async with connected(self._engine, reading=True) as connection:
            return [
                (await connection.execute(count, {"since": since, "until": until})).scalar_one()
                for since, until in pairwise(moments)
            ]

    async def times_to_paid(self, *, events: int) -> list[timedelta]:
        # The number is written into the statement, as in `count_of`.
        newest = select(feed_head.c.given - literal_column(str(events))).scalar_subquery()
        paid = (
            select(order_events.c.at, orders.c.created_at)
            .select_from(feed)
            .join(
                order_events,
                (order_events.c.order_id == feed.c.order_id) & (order_events.c.sequence == feed.c.sequence),
            )
            .join(orders, orders.c.id == feed.c.order_id)
            .where(feed.c.position > newest, feed.c.type == OrderPaid.type)
        )
        async with connected(self._engine, reading=True) as connection:
            return [row.at - row.created_at for row in (await connection.execute(paid)).all()]

    async def waiting(self, *, stuck_after: timedelta) -> Waiting:
        sample = await SqlSamples(self._engine).take(relay="")
        stuck = await StuckOrders(self._engine).count(after=stuck_after)
        async with connected(self._engine, reading=True) as connection:
            oldest = (await connection.execute(OLDEST)).first()
            number: int = (await connection.execute(count_of(_WAITING, _MOST_ORDERS))).scalar_one()
            failing = await _failing(connection)
        return Waiting(
            outbox=sample.outbox_pending,
            oldest_event=timedelta(seconds=sample.outbox_oldest_age),
            oldest_order=oldest and WaitingOrder(oldest.id, OrderStatus(oldest.status), oldest.updated_at),
            orders=number,
            dead_letters=sample.dead_letters,
            stuck=stuck,
            webhook_lag=timedelta(seconds=sample.webhook_lag),
            failing_receivers=failing,
            disabled_receivers=sample.webhooks_disabled,
        )

    async def upkeep(self) -> Upkeep:
        sample = await SqlSamples(self._engine).take(relay="")
        heard = await SqlHeartbeats(self._engine).all()
        async with connected(self._engine, reading=True) as connection:
            lease = (await connection.execute(_HOLDER)).first()
        return Upkeep(
            processes=[
                Process(each.kind, each.instance, None if each.age is None else timedelta(seconds=each.age))
                for each in heard
            ],
            relay=lease and ActiveRelay(name=lease.holder, since=lease.since, until=lease.until),
            discrepancies=sample.discrepancies,
            checked_at=sample.compared_at,
        )

    async def provider_silence(self) -> ProviderSilence | None:
        return provider_silence(await SqlHeartbeats(self._engine).all())


async def _failing(connection: AsyncConnection) -> FailingReceivers | None:
    rows = (await connection.execute(_FAILING)).all()
    if not rows:
        return None
    answer = (await connection.execute(_ANSWER, {"endpoint_id": rows[0].endpoint_id})).scalar()
    return FailingReceivers(number=len(rows), since=rows[0].failing_since, answer=answer or "")
