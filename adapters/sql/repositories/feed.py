from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Float, Row, Select, bindparam, cast, delete, exists, func, insert, literal, select, update

from adapters.codecs.events import decode
from adapters.sql.core.bulk import BulkStatement
from adapters.sql.core.expressions import FromNow, among
from adapters.sql.core.reading import checked
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.customers import customer_in, name_of, number_of
from adapters.sql.repositories.feed_queue import FOLLOWING, MARK, OLDEST, ROWS, QueuedEvent, events_in
from adapters.sql.repositories.relay_lease import FEED_LEASE, if_held, releasing, take
from adapters.sql.tables.events import order_events
from adapters.sql.tables.feed import feed, feed_head, feed_queue
from adapters.sql.tables.orders import orders
from adapters.sql.tables.shop import leases
from application.errors import Aborted
from application.ports.feed import FeedBounds, FeedItem, FeedRange, Position
from domain.ids import OrderId

_WAITING_IF_HELD: Final = if_held(FEED_LEASE, OLDEST)

# The row of the head is locked until the commit. So positions become visible in their order, and a relay that was
# frozen in its transaction keeps the others from giving the same ones.
_COUNT: Final = bindparam("count", type_=feed_head.c.given.type)
_ADVANCE: Final = (
    update(feed_head)
    .where(feed_head.c.id == 1, exists(select(leases.c.name).where(FEED_LEASE.is_held())))
    .values(given=feed_head.c.given + _COUNT)
)
_INSERT: Final = BulkStatement(
    feed,
    # A position is counted from the last one that was given before.
    {"position": itemgetter(0), "order_id": itemgetter(1), "sequence": itemgetter(2), "type": itemgetter(3)},
    lambda new, _: insert(feed).from_select(
        [*new.c.keys(), "given_at"],
        select(
            feed_head.c.given - _COUNT + new.c.position, new.c.order_id, new.c.sequence, new.c.type, FromNow(literal(0))
        ).select_from(new.join(feed_head, feed_head.c.id == 1)),
    ),
)
_REMOVE: Final = delete(feed_queue).where(among(feed_queue.c.id, "ids"))

_RELEASE_LEASE: Final = releasing(FEED_LEASE)

_BOUNDS: Final = select(feed_head.c.given, feed_head.c.pruned).where(feed_head.c.id == 1)

_OLDEST: Final = (
    select(
        feed.c.position,
        (feed.c.given_at < FromNow(-cast(bindparam("seconds"), Float))).label("is_old"),
    )
    .where(feed.c.position > select(feed_head.c.pruned).where(feed_head.c.id == 1).scalar_subquery())
    .order_by(feed.c.position)
    .limit(bindparam("limit"))
)
_PRUNED: Final = (
    update(feed_head)
    .where(feed_head.c.id == 1, feed_head.c.pruned < bindparam("last"))
    .values(pruned=bindparam("last"))
)
_PRUNE: Final = delete(feed).where(feed.c.position <= bindparam("last"))


@cache
def _read(*, types: bool, order: bool, number: bool, name: bool) -> Select[Any]:
    """One statement for each kind of filter, so that each has a plan of its own."""
    statement = (
        select(feed.c.position, feed.c.order_id, order_events.c.body, orders.c.user_id, orders.c.user_name)
        .select_from(feed)
        .join(
            order_events,
            (order_events.c.order_id == feed.c.order_id) & (order_events.c.sequence == feed.c.sequence),
        )
        .join(orders, orders.c.id == feed.c.order_id)
        .where(feed.c.position > bindparam("after"), feed.c.position <= bindparam("until"))
        # Those of one order rise with their sequence, which is in the index that finds them.
        .order_by(feed.c.sequence if order else feed.c.position)
        .limit(bindparam("limit"))
    )
    if types:
        statement = statement.where(among(feed.c.type, "types"))
    if order:
        statement = statement.where(feed.c.order_id == bindparam("order_id"))
    if number:
        named = orders.c.user_name == bindparam("user_name") if name else orders.c.user_name.is_(None)
        statement = statement.where(orders.c.user_id == bindparam("user_id"), named)
    return statement


_NUMBER: Final = (
    select(func.count().label("number"))
    .select_from(feed)
    .where(feed.c.position > bindparam("after"), feed.c.position <= bindparam("until"), among(feed.c.type, "types"))
)
_GIVEN_AT: Final = select(feed.c.sequence, feed.c.given_at).where(
    feed.c.order_id == bindparam("order_id", type_=feed.c.order_id.type)
)


def _item(row: Row[Any]) -> FeedItem:
    return FeedItem(row.position, decode(row.body), customer_in(row))


@frozen
class SqlFeed:
    _block: TransactionBlock

    async def give_positions(self, *, by: str, limit: int) -> int:
        rows = await self._block.fetch(_WAITING_IF_HELD, {"by": by}, lock=True)
        if not rows[0].is_held:
            if not await take(self._block, FEED_LEASE, by):
                return 0
            rows = await self._block.fetch(OLDEST)
            await MARK.rise(self._block, [row.id for row in rows])
        # A join promises no order.
        rows = sorted((row for row in rows if row.id is not None), key=attrgetter("id"))
        ids, events = await self._oldest(rows, limit)
        if events:
            await self._move(ids, events, by)
        return len(events)

    async def _oldest(self, rows: Sequence[Row[Any]], limit: int) -> tuple[list[int], list[QueuedEvent]]:
        """Return rows of the queue, of which these are the first, until they have `limit` events, and these events."""
        ids: list[int] = []
        events: list[QueuedEvent] = []
        while rows:
            for row in rows:
                ids.append(row.id)
                events += events_in(row.events)
                if len(events) >= limit:
                    return ids, events
            rows = await self._block.fetch(FOLLOWING, {"after": ids[-1]}) if len(rows) == ROWS else []
        return ids, events

    async def _move(self, ids: list[int], events: list[QueuedEvent], by: str) -> None:
        count = {"count": len(events)}
        moved = await self._block.change(_ADVANCE, {"by": by, **count})
        if not moved or await self._block.change(_REMOVE, {"ids": ids}) != len(ids):
            raise Aborted("another relay has taken over meanwhile, and gives the positions")
        await self._block.change_many(_INSERT, [(place, *event) for place, event in enumerate(events, 1)], count)

    async def release(self, *, by: str) -> None:
        await self._block.change(_RELEASE_LEASE, {"by": by})

    async def bounds(self) -> FeedBounds:
        [row] = await self._block.fetch(_BOUNDS)
        return FeedBounds(Position(row.pruned + 1), Position(row.given))

    async def read(self, of: FeedRange, *, limit: int) -> list[FeedItem]:
        only = of.only
        wanted = {
            "types": None if only.types is None else sorted(only.types),
            "order_id": only.order_id,
            "user_id": None if only.user_id is None else number_of(only.user_id),
            "user_name": None if only.user_id is None else name_of(only.user_id),
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        statement = _read(
            types="types" in given, order="order_id" in given, number="user_id" in given, name="user_name" in given
        )
        rows = await self._block.fetch(statement, {"after": of.after, "until": of.until, "limit": limit, **given})
        return [checked("an event of order", row.order_id, _item, row) for row in rows]

    async def given_at(self, order_id: OrderId) -> dict[int, datetime]:
        rows = await self._block.fetch(_GIVEN_AT, {"order_id": order_id})
        return {row.sequence: row.given_at for row in rows}

    async def count(self, of: FeedRange) -> int:
        types = sorted(of.only.types or ())
        [row] = await self._block.fetch(_NUMBER, {"after": of.after, "until": of.until, "types": types})
        return int(row.number)

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        parameters = {"seconds": older_than.total_seconds(), "limit": limit}
        old = []
        for row in await self._block.fetch(_OLDEST, parameters):
            if not row.is_old:
                break
            old.append(row.position)
        if not old or not await self._block.change(_PRUNED, {"last": old[-1]}):
            return 0
        await self._block.change(_PRUNE, {"last": old[-1]})
        return len(old)
