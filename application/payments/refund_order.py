from collections.abc import Iterable, Sequence

from attrs import field, frozen

from application.errors import Trouble
from application.execution.concurrency import at_most, until_unavailable
from application.ports.environment import Clock
from application.ports.payments import PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.errors import UnknownOrder
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order


@frozen
class RefundOrder:
    """Refund orders through the provider, and record each refund together with the returned stock.

    Whether a refund is due, of which payment, and how much, is read from the order. So an order may be named any number
    of times, by anybody. The outcome for an order is None when nothing is left to do, `UnknownOrder`, or `Trouble` when
    the provider gave no answer.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _now: Clock
    _max_refunds: int = field(default=64, kw_only=True)

    async def __call__(self, ids: Sequence[OrderId]) -> Sequence[UnknownOrder | Trouble | None]:
        # Read without a lock: a refund that is due stays due until it is given.
        async with self._unit_of_work.reading() as tx:
            orders = await tx.orders.get_many(set(ids))
        outcomes: dict[OrderId, UnknownOrder | Trouble | None] = {
            id_: UnknownOrder(f"there is no order {id_}") for id_ in ids if id_ not in orders
        }
        # No transaction is open during the calls to the provider. A crash is safe: it refunds once for each key.
        answers = await self._refund([order for order in orders.values() if order.refund_is_due])
        await self._record([id_ for id_, answer in answers.items() if answer is None])
        outcomes |= answers
        return [outcomes.get(id_) for id_ in ids]

    async def _refund(self, orders: Sequence[Order]) -> dict[OrderId, Trouble | None]:
        async def refund(order: Order) -> None:
            await self._provider.refund(order.payment, order.total)

        refund_unless_gone = until_unavailable(refund)

        async def answer(order: Order) -> Trouble | None:
            try:
                await refund_unless_gone(order)
            except Trouble as error:
                return error
            return None

        answers = await at_most(self._max_refunds, answer, orders)
        return {order.id: answer for order, answer in zip(orders, answers, strict=True)}

    async def _record(self, ids: Iterable[OrderId]) -> None:
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many(set(ids), lock=True)
            # Another worker may have given the same refund, and have recorded it. Then this one records nothing.
            due = [order for order in orders.values() if order.refund_is_due]
            payments = await tx.payments.get_many({order.payment for order in due})
            products = await tx.products.get_many({line.product_id for order in due for line in order.lines}, lock=True)
            for order in due:
                events.append(order.refund(products, at=self._now()))
                payments[order.payment].refund()
            await tx.orders.save_many(due)
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
