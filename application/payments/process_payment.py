from collections.abc import Collection, Sequence

from attrs import frozen

from application.ports.environment import Clock
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.errors import OutOfStock, UnknownOrder
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import FailureReason

# The provider's reference, or why it took no money.
Answer = str | PaymentDeclined


@frozen
class ProcessPayment:
    """Reserve the stock of orders, all lines or none, and then charge each order once: work for a `ProviderPipeline`.

    Whether a charge is due, under which payment, and how much, is read from the order under its lock. So an order may
    be named any number of times, by anybody.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _now: Clock

    async def due(self, ids: Collection[OrderId]) -> dict[OrderId, Order | UnknownOrder]:
        """Return the orders that hold their stock and are to be charged now. Orders without stock FAILED here."""
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
                try:
                    if not order.holds_stock:
                        events.append(order.reserve_stock(products, at=self._now()))
                    reserved[order.id] = order
                except OutOfStock as short:
                    reason = FailureReason.OUT_OF_STOCK
                    events.append(order.fail(reason, products, at=self._now(), out_of_stock=short.products))
                    failed.append(order)
            payments = await tx.payments.get_many({order.payment_id for order in failed if order.payment_id})
            for payment in payments.values():
                payment.fail()
            await tx.orders.save_many([orders[event.order_id] for event in events])
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
        return reserved | {id_: UnknownOrder(f"there is no order {id_}") for id_ in ids if id_ not in orders}

    async def ask(self, order: Order) -> Answer:
        try:
            return await self._provider.charge(order.payment, order.total)
        except PaymentDeclined as declined:
            return declined

    async def record(self, answered: Sequence[tuple[Order, Answer]]) -> list[None]:
        # By payment: an order may have a failed payment, whose answer comes again, beside the one that is due.
        answers = {order.payment: answer for order, answer in answered}
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many({order.id for order, _ in answered}, lock=True)
            # Another worker may have got the same answer, and have recorded it. Then this one records nothing.
            open_ = [order for order in orders.values() if order.charge_is_due and order.payment in answers]
            payments = await tx.payments.get_many({order.payment for order in open_})
            declined = [order for order in open_ if isinstance(answers[order.payment], PaymentDeclined)]
            products = await tx.products.get_many(
                {line.product_id for order in declined for line in order.lines}, lock=True
            )
            for order in open_:
                answer = answers[order.payment]
                if isinstance(answer, PaymentDeclined):
                    events.append(order.fail(FailureReason.PAYMENT_DECLINED, products, at=self._now()))
                    payments[order.payment].fail()
                else:
                    events.append(order.pay(at=self._now()))
                    payments[order.payment].charge(answer)
            await tx.orders.save_many(open_)
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
        return [None] * len(answered)
