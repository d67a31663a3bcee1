"""The consistency checks of a shop's data, which must hold at any time, whatever broke meanwhile.

Each function returns its findings as sentences; an empty list means that the data is consistent.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from attrs import frozen

from application.ports.broken import BrokenOrder, BrokenProduct, broken, sound
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import OrderId, PaymentId, ProductId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import OrderStatus

_MONEY_IS_KEPT = {OrderStatus.PAID, OrderStatus.COMPLETED}


@frozen
class LedgerCharge:
    """A charge in the provider's ledger."""

    key: PaymentId
    minor: int
    refunded: bool


def stock_findings(
    products: Iterable[Product], orders: Iterable[Order], adjustments: Mapping[ProductId, int]
) -> list[str]:
    """Compare the units that are left or held with all adjustments: no unit is lost, none is sold twice."""
    held: defaultdict[ProductId, int] = defaultdict(int)
    for order in orders:
        if order.holds_stock:
            for line in order.lines:
                held[line.product_id] += line.quantity
    findings = []
    for product in products:
        counted = adjustments.get(product.id, 0)
        if product.stock + held[product.id] != counted:
            findings.append(
                f"product {product.id}: {product.stock} left and {held[product.id]} held make no {counted} counted in"
            )
        if product.stock < 0:
            findings.append(f"product {product.id}: {product.stock} units are left")
    return findings


def money_findings(orders: Iterable[Order], charges: Iterable[LedgerCharge]) -> list[str]:
    """Compare the provider's ledger with the orders: one charge for each paid order, none for any other."""
    by_payment: defaultdict[PaymentId, list[LedgerCharge]] = defaultdict(list)
    for charge in charges:
        by_payment[charge.key].append(charge)
    findings = []
    for order in orders:
        if _waits_for_the_worker(order):
            continue  # Its charge may or may not have been made yet; the worker finds out when it continues.
        taken = by_payment.pop(order.payment_id, []) if order.payment_id else []
        kept = [charge for charge in taken if not charge.refunded]
        if order.status in _MONEY_IS_KEPT and [charge.minor for charge in kept] != [order.total.minor]:
            findings.append(f"order {order.id} is {order.status.value} and its money was taken {len(kept)} times")
        if order.status not in _MONEY_IS_KEPT and kept:
            findings.append(f"order {order.id} is {order.status.value} and its money was taken")
    processing = {order.payment_id for order in orders if _waits_for_the_worker(order)}
    strangers = [charge for key, taken in by_payment.items() if key not in processing for charge in taken]
    findings += [f"charge {charge.key} is no order's" for charge in strangers if not charge.refunded]
    return findings


def _waits_for_the_worker(order: Order) -> bool:
    return order.status is OrderStatus.PROCESSING or (order.refund_requested and order.status in _MONEY_IS_KEPT)


def history_findings(orders: Iterable[Order], events: Iterable[Event]) -> list[str]:
    """Compare orders with their histories: as many events as changes, numbered without a gap."""
    sequences: defaultdict[OrderId, list[int]] = defaultdict(list)
    for event in events:
        sequences[event.order_id].append(event.sequence)
    return [
        f"order {order.id} has version {order.version} and the events {sequences[order.id]}"
        for order in orders
        if sequences[order.id] != list(range(1, order.version + 1))
    ]


async def findings(unit_of_work: UnitOfWork, charges: Iterable[LedgerCharge] | None = None) -> list[str]:
    """Check all data of one unit of work, and also the charges if they are given."""
    async with unit_of_work.reading() as tx:
        listed_products: list[Product | BrokenProduct] = []
        while page := await tx.products.page(after=listed_products[-1].id if listed_products else None, limit=500):
            listed_products += page
        products = sound(listed_products)
        listed: list[Order | BrokenOrder] = []
        while found := await tx.orders.page(
            user_id=None, status=None, before=listed[-1].id if listed else None, limit=500
        ):
            listed += found
        orders = sound(listed)
        adjustments = await tx.stock_adjustments.totals({product.id for product in products})
        events = await tx.events.of_orders({order.id for order in orders})
    result = [str(each) for each in [*broken(listed, BrokenOrder), *broken(listed_products, BrokenProduct)]]
    result += stock_findings(products, orders, adjustments) + history_findings(orders, events)
    return result if charges is None else result + money_findings(orders, list(charges))
