from collections.abc import Collection, Mapping, Sequence

from attrs import field, frozen

from application.errors import Trouble
from application.execution.concurrency import at_most, until_unavailable
from application.ports.environment import Clock
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.errors import OutOfStock, UnknownOrder
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import FailureReason

# The provider's reference, or the error that it answered with.
Answer = str | PaymentDeclined | Trouble


@frozen
class ProcessPayment:
    """Reserve the stock of orders, all lines or none, and then charge each order once.

    Whether a charge is due, under which payment, and how much, is read from the order under its lock. So an order may
    be named any number of times, by anybody, and the process may stop anywhere: each step finds what was done.

    The outcome for an order is None when nothing is left to do, `UnknownOrder`, or `Trouble` when the provider gave no
    answer.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _now: Clock
    _max_charges: int = field(default=64, kw_only=True)

    async def __call__(self, ids: Sequence[OrderId]) -> Sequence[UnknownOrder | Trouble | None]:
        outcomes: dict[OrderId, UnknownOrder | Trouble] = {}
        reserved, unknown = await self._reserve_stock(set(ids))
        outcomes |= {id_: UnknownOrder(f"there is no order {id_}") for id_ in unknown}
        # No transaction is open during the calls to the provider. A crash before, during or after them is safe: the
        # order holds its stock, and the next attempt uses the same key and gets the same answer.
        answers = await self._charge(reserved)
        outcomes |= {id_: answer for id_, answer in answers.items() if isinstance(answer, Trouble)}
        await self._record(reserved, {id_: a for id_, a in answers.items() if not isinstance(a, Trouble)})
        return [outcomes.get(id_) for id_ in ids]

    async def _reserve_stock(self, ids: Collection[OrderId]) -> tuple[dict[OrderId, Order], set[OrderId]]:
        """Return the orders that hold their stock and are to be charged now, and the ids that belong to no order.

        Nothing is due for the others, or they FAILED here.
        """
        reserved: dict[OrderId, Order] = {}
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
        return reserved, set(ids) - orders.keys()

    async def _charge(self, orders: Mapping[OrderId, Order]) -> dict[OrderId, Answer]:
        async def charge(order: Order) -> str:
            return await self._provider.charge(order.payment, order.total)

        charge_unless_gone = until_unavailable(charge)

        async def answer(order: Order) -> Answer:
            try:
                return await charge_unless_gone(order)
            except (PaymentDeclined, Trouble) as error:
                return error

        return dict(zip(orders, await at_most(self._max_charges, answer, orders.values()), strict=True))

    async def _record(self, charged: Mapping[OrderId, Order], answers: Mapping[OrderId, str | PaymentDeclined]) -> None:
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many(answers.keys(), lock=True)
            # Another worker may have got the same answer, and have recorded it. Then this one records nothing.
            open_ = [o for o in orders.values() if o.charge_is_due and o.payment_id == charged[o.id].payment_id]
            payments = await tx.payments.get_many({order.payment for order in open_})
            declined = [order for order in open_ if isinstance(answers[order.id], PaymentDeclined)]
            products = await tx.products.get_many(
                {line.product_id for order in declined for line in order.lines}, lock=True
            )
            for order in open_:
                answer = answers[order.id]
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
