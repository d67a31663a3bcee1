from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from attrs import field, frozen

from application.payments.pipeline import Answered
from application.ports.environment import Clock
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.persistence import UnitOfWork
from application.ports.telemetry import record_nothing
from domain.errors import OutOfStock, UnknownOrder
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import FailureReason


class Answer(NamedTuple):
    """The provider's reference, or why it took no money; and when it was asked."""

    said: str | PaymentDeclined
    asked_at: datetime


@frozen
class ProcessPayment:
    """Reserve the stock of orders, all lines or none, and then charge each order once.

    A `ProviderPipeline` calls `due`, `ask` and `record`, in this order.

    Whether a charge is due, under which payment, and how much, is read from the order under its lock. So an order may
    be named any number of times, by anybody.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _now: Clock
    # Called with the number of orders for which nothing was left to do.
    _nothing_due: Callable[[int], None] = field(default=record_nothing, kw_only=True)

    async def due(
        self, ids: Collection[OrderId], request_ids: Mapping[OrderId, str], /
    ) -> dict[OrderId, Order | UnknownOrder]:
        """Return the orders that hold their stock and are to be charged now.

        Orders for which there is too little stock become FAILED here, and are not returned.
        """
        reserved: dict[OrderId, Order | UnknownOrder] = {}
        failed: list[Order] = []
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            # Lock the orders first, then the products, each in the order of their ids. So deadlocks can't form.
            orders = await tx.orders.get_many(ids, lock=True)
            due = [order for order in orders.values() if order.charge_is_due]
            wanting = {line.product_id for order in due if not order.holds_stock for line in order.lines}
            products = await tx.products.get_many(wanting, lock=True)
            for order in due:
                at, request_id = self._now(), request_ids.get(order.id)
                try:
                    if not order.holds_stock:
                        events.append(order.reserve_stock(products, at=at, request_id=request_id))
                    reserved[order.id] = order
                except OutOfStock as short:
                    reason, missing = FailureReason.OUT_OF_STOCK, short.products
                    events.append(order.fail(reason, products, at=at, request_id=request_id, out_of_stock=missing))
                    failed.append(order)
            payments = await tx.payments.get_many({order.payment_id for order in failed if order.payment_id})
            for payment in payments.values():
                payment.fail()
            await tx.orders.save_many([orders[event.order_id] for event in events])
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
        self._nothing_due(len(orders) - len(due))
        return reserved | {id_: UnknownOrder(f"there is no order {id_}") for id_ in ids if id_ not in orders}

    async def ask(self, order: Order) -> Answer:
        asked_at = self._now()
        try:
            return Answer(await self._provider.charge(order.payment, order.total), asked_at)
        except PaymentDeclined as declined:
            return Answer(declined, asked_at)

    async def record(self, answered: Sequence[Answered[Answer]]) -> list[None]:
        # Keyed by payment, not by order: a late answer may be about an earlier, failed payment of an order whose new
        # payment is due.
        answers = {each.order.payment: each.answer for each in answered}
        request_ids = {each.order.payment: each.request_id for each in answered}
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many({each.order.id for each in answered}, lock=True)
            # Another worker may have got the same answer, and have recorded it. Then this one records nothing.
            open_ = [order for order in orders.values() if order.charge_is_due and order.payment in answers]
            payments = await tx.payments.get_many({order.payment for order in open_})
            declined = [order for order in open_ if isinstance(answers[order.payment].said, PaymentDeclined)]
            products = await tx.products.get_many(
                {line.product_id for order in declined for line in order.lines}, lock=True
            )
            for order in open_:
                (said, asked_at), at, request_id = answers[order.payment], self._now(), request_ids[order.payment]
                if isinstance(said, PaymentDeclined):
                    declined_for = FailureReason.PAYMENT_DECLINED
                    events.append(order.fail(declined_for, products, at=at, asked_at=asked_at, request_id=request_id))
                    payments[order.payment].fail()
                else:
                    events.append(order.pay(at=at, asked_at=asked_at, request_id=request_id))
                    payments[order.payment].charge(said)
            await tx.orders.save_many(open_)
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
        return [None] * len(answered)
