from typing import Final

from attrs import evolve, frozen
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import one_transaction
from adapters.sql.repositories.audit import SqlAudit
from adapters.sql.tables.catalogue import products, stock_adjustments
from adapters.sql.tables.dead_letters import dead_letters
from adapters.sql.tables.events import announcements, inbox, order_events, outbox, waiting_work
from adapters.sql.tables.feed import feed, feed_head, feed_queue
from adapters.sql.tables.jobs import file_parts, files, jobs, messages
from adapters.sql.tables.orders import order_items, orders, payments
from adapters.sql.tables.shop import idempotency_keys, shop
from adapters.sql.tables.webhooks import webhook_deliveries, webhook_progress
from application.ports.audit import AuditEntry

# What refers to another table stands before it. The counters of `outbox` and `feed_queue` go on: see there.
EMPTIED: Final = (
    *(order_items, payments, orders, order_events, outbox, announcements, waiting_work, feed_queue, feed),
    *(idempotency_keys, dead_letters, inbox, jobs, messages, file_parts, files, webhook_deliveries),
)
# All but those: what the shop sells, who may use it, and what was done.
_COUNT: Final = select(func.count().label("orders")).select_from(orders)
_COUNTED_IN: Final = (
    select(func.coalesce(func.sum(stock_adjustments.c.change), 0))
    .where(stock_adjustments.c.product_id == products.c.id)
    .scalar_subquery()
)
_GIVE_BACK: Final = update(products).values(stock=_COUNTED_IN, version=products.c.version + 1)
_PRUNE: Final = update(feed_head).values(pruned=feed_head.c.given)
# Each receiver goes on with what is new.
_BEGIN: Final = update(webhook_progress).values(
    **dict.fromkeys(
        ("began_after", "position", "chosen_after"),
        select(feed_head.c.given).where(feed_head.c.id == 1).scalar_subquery(),
    ),
    **dict.fromkeys(("skip_to", "filtered", "lost", "removed", "removed_to", "failures", "rests"), 0),
    **dict.fromkeys(("due_at", "rests_until", "failing_since", "paced_until", "ready_at", "leased_until")),
    is_troubled=False,
)
_NOTE: Final = update(shop).values(reset_at=bindparam("at", type_=shop.c.reset_at.type))


@frozen
class SqlResetData:
    """Empties the tables whole, which takes a moment however large they are.

    PostgreSQL locks them all for that: transactions in progress end first, and the next ones see them empty. The tables
    get new files, by which the caches of every process know that their entries come from before (decision 037).
    """

    _engine: AsyncEngine

    async def __call__(self, noted: AuditEntry) -> int:
        async with one_transaction(self._engine, writing=True) as block:
            [counted] = await block.fetch(_COUNT)
            for statement in block.dialect.empty([table.name for table in EMPTIED]):
                await block.fetch(text(statement), lock=True)
            await block.change(_GIVE_BACK)
            await block.change(_PRUNE)
            await block.change(_BEGIN)
            await block.change(_NOTE, {"at": noted.at})
            await SqlAudit(block).add_many([evolve(noted, before={"orders": counted.orders})])
        count: int = counted.orders
        return count
