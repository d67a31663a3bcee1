"""Orders that are read for many callers or for a person: one that is broken hides no other."""

from collections.abc import Collection

from application.errors import BrokenRow
from application.ports.broken import BrokenOrder, BrokenOrders
from application.ports.persistence import Transaction
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order


async def each_order(tx: Transaction, ids: Collection[OrderId]) -> dict[OrderId, Order | BrokenOrder]:
    """Return the orders that exist, and what is wrong with those that can't be read."""
    try:
        return {**await tx.orders.get_many(ids)}
    except BrokenOrders as error:
        return {**error.sound, **error.broken}


async def readable_orders(tx: Transaction, ids: Collection[OrderId]) -> dict[OrderId, Order]:
    """Return those that can be read. Nothing is known of the others; `holdfast reconcile` names them."""
    found = await each_order(tx, ids)
    return {id_: order for id_, order in found.items() if isinstance(order, Order)}


async def readable_events(tx: Transaction, ids: Collection[OrderId]) -> list[Event]:
    """Return the histories of those orders whose events can be read, all at once or one by one."""
    try:
        return await tx.events.of_orders(ids)
    except BrokenRow:
        if len(ids) <= 1:
            return []
    return [event for id_ in sorted(ids) for event in await readable_events(tx, [id_])]
