"""What must be true of a shop's data at any time, whoever wrote it and whatever broke meanwhile.

Each function returns its findings in words; none means that all is well.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from attrs import frozen

from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import OrderId, PaymentId, ProductId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import OrderStatus

_MONEY_IS_KEPT = {OrderStatus.PAID, OrderStatus.COMPLETED}


@frozen
class BookedCharge:
    """One line in the books of the payment provider: money that it took."""

    key: PaymentId
    minor: int
    refunded: bool


def stock_findings(
    products: Iterable[Product], orders: Iterable[Order], adjustments: Mapping[ProductId, int]
) -> list[str]:
    """Compare what is left and what orders hold with what was ever counted in: no unit is lost, none sold twice."""
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


def money_findings(orders: Iterable[Order], charges: Iterable[BookedCharge]) -> list[str]:
    """Compare the provider's books with ours: one charge for each order whose money is kept, none for any other."""
    books: defaultdict[PaymentId, list[BookedCharge]] = defaultdict(list)
    for charge in charges:
        books[charge.key].append(charge)
    findings = []
    for order in orders:
        if _waits_for_the_worker(order):
            continue  # Its money may or may not have moved yet: the worker knows when it goes on.
        taken = books.pop(order.payment_id, []) if order.payment_id else []
        kept = [charge for charge in taken if not charge.refunded]
        if order.status in _MONEY_IS_KEPT and [charge.minor for charge in kept] != [order.total.minor]:
            findings.append(f"order {order.id} is {order.status.value} and its money was taken {len(kept)} times")
        if order.status not in _MONEY_IS_KEPT and kept:
            findings.append(f"order {order.id} is {order.status.value} and its money was taken")
    processing = {order.payment_id for order in orders if _waits_for_the_worker(order)}
    strangers = [charge for key, taken in books.items() if key not in processing for charge in taken]
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


async def findings(unit_of_work: UnitOfWork, charges: Iterable[BookedCharge] | None = None) -> list[str]:
    """Check everything that one unit of work reaches; the money as well, where the provider's books are given."""
    async with unit_of_work.reading() as tx:
        products: list[Product] = []
        while page := await tx.products.page(after=products[-1].id if products else None, limit=500):
            products += page
        orders: list[Order] = []
        while found := await tx.orders.page(
            user_id=None, status=None, before=orders[-1].id if orders else None, limit=500
        ):
            orders += found
        adjustments = await tx.stock_adjustments.totals({product.id for product in products})
        events = await tx.events.of_orders({order.id for order in orders})
    result = stock_findings(products, orders, adjustments) + history_findings(orders, events)
    return result if charges is None else result + money_findings(orders, list(charges))
