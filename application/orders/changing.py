from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import asdict

from application.execution.conditional import OnlyIf, OrderCall, expect, order_id_in, request_id_in
from application.ports.audit import AuditEntry, Caller
from application.ports.persistence import Transaction, UnitOfWork
from domain.errors import DomainError, OrderDeleted, UnknownOrder
from domain.ids import OrderId
from domain.orders.details import NO_DETAILS
from domain.orders.events import Event
from domain.orders.order import Order

Change = Callable[[Order, str | None], Event | None]


def known(order: Order | None, order_id: OrderId) -> Order:
    """Return the order, also a deleted one. Raise `UnknownOrder` if there is none."""
    if order is None:
        raise UnknownOrder(f"there is no order {order_id}")
    return order


def existing(order: Order | None, order_id: OrderId) -> Order:
    """Raise `UnknownOrder` if there is no order, and its subclass `OrderDeleted` if it was deleted."""
    found = known(order, order_id)
    if found.deleted:
        raise OrderDeleted(f"there is no order {order_id}")
    return found


async def change_each(
    unit_of_work: UnitOfWork,
    calls: Sequence[OrderCall],
    change: Change,
    *,
    find: Callable[[Order | None, OrderId], Order] = existing,
) -> list[Order | DomainError]:
    """Change orders in one transaction; one that the rules or its condition refuse is refused alone.

    `change` is given the id of the request that asked for it. It returns the event of the change, or None where the
    order is as it was asked for already. `find` refuses an order that is not there.
    """
    return await change_each_so(unit_of_work, [(call, change) for call in calls], find=find)


async def change_each_so(
    unit_of_work: UnitOfWork,
    changes: Sequence[tuple[OrderCall, Change]],
    *,
    find: Callable[[Order | None, OrderId], Order] = existing,
) -> list[Order | DomainError]:
    """Change orders as `change_each`, each in its own way."""
    async with unit_of_work() as tx:
        orders = await tx.orders.get_many({order_id_in(call) for call, _ in changes}, lock=True)
        return await change_locked(tx, orders, changes, find=find)


async def change_locked(
    tx: Transaction,
    orders: Mapping[OrderId, Order],
    changes: Sequence[tuple[OrderCall, Change]],
    *,
    find: Callable[[Order | None, OrderId], Order] = existing,
) -> list[Order | DomainError]:
    """Change orders as `change_each_so`, in this transaction, which has read and locked them."""
    outcomes: list[Order | DomainError] = []
    changed: list[tuple[Order, Event]] = []
    entries: list[AuditEntry] = []
    for call, change in changes:
        order_id = order_id_in(call)
        try:
            order = find(orders.get(order_id), order_id)
            expect(call, order)
            before = _shown(order)
            event = change(order, request_id_in(call))
        except DomainError as error:
            outcomes.append(error)
        else:
            outcomes.append(order)
            if event is not None:
                changed.append((order, event))
                if isinstance(call, OnlyIf) and call.by is not None:
                    entries.append(_entry(call.by, event, before, _shown(order)))
    await tx.orders.save_many([order for order, _ in changed])
    await tx.events.add_many([event for _, event in changed])
    await tx.audit.add_many(entries)
    return outcomes


def _shown(order: Order) -> Mapping[str, Any]:
    return {
        "status": order.status.value,
        "version": order.version,
        "refund_requested": order.refund_requested,
        "deleted": order.deleted,
        **asdict(order.details or NO_DETAILS),
    }


def _entry(by: Caller, event: Event, before: Mapping[str, Any], after: Mapping[str, Any]) -> AuditEntry:
    changed = [name for name in before if before[name] != after[name]]
    return AuditEntry(
        at=event.at,
        by=by,
        action=event.type,
        subject=f"order {event.order_id}",
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
