from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from application.payments.pipeline import Answered
from application.ports.environment import Clock
from application.ports.payments import PaymentProvider
from application.ports.persistence import UnitOfWork
from application.ports.telemetry import record_nothing
from domain.errors import UnknownOrder
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order


@frozen
class RefundOrder:
    """Refund orders, and record each refund together with the returned stock: work for a `ProviderPipeline`.

    Whether a refund is due, of which payment, and how much, is read from the order. So an order may be named any number
    of times, by anybody.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _now: Clock
    # Told how many of the orders that messages named needed nothing any more.
    _nothing_due: Callable[[int], None] = field(default=record_nothing, kw_only=True)

    async def due(self, ids: Collection[OrderId], _: Mapping[OrderId, str], /) -> dict[OrderId, Order | UnknownOrder]:
        # Read without a lock: a refund that is due stays due until it is given.
        async with self._unit_of_work.reading() as tx:
            orders = await tx.orders.get_many(set(ids))
        unknown = {id_: UnknownOrder(f"there is no order {id_}") for id_ in ids if id_ not in orders}
        due = {id_: order for id_, order in orders.items() if order.refund_is_due}
        self._nothing_due(len(orders) - len(due))
        return due | unknown

    async def ask(self, order: Order) -> datetime:
        """Return when it was asked."""
        asked_at = self._now()
        await self._provider.refund(order.payment, order.total)
        return asked_at

    async def record(self, answered: Sequence[Answered[datetime]]) -> list[None]:
        given = {each.order.id: each for each in answered}
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many(given.keys(), lock=True)
            # Another worker may have given the same refund, and have recorded it. Then this one records nothing.
            due = [order for order in orders.values() if order.refund_is_due]
            payments = await tx.payments.get_many({order.payment for order in due})
            products = await tx.products.get_many({line.product_id for order in due for line in order.lines}, lock=True)
            for order in due:
                _, asked_at, request_id = given[order.id]
                events.append(order.refund(products, at=self._now(), asked_at=asked_at, request_id=request_id))
                payments[order.payment].refund()
            await tx.orders.save_many(due)
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
        return [None] * len(answered)
