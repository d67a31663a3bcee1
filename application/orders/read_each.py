"""Orders that are read for many callers or for a person: one that is broken hides no other."""

from collections.abc import Collection

from application.ports.broken_orders import BrokenOrder, BrokenOrders
from application.ports.persistence import Transaction
from domain.ids import OrderId
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
