from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from application.errors import Trouble
from application.execution.concurrency import at_most
from application.messaging.subscriptions import REFUNDS
from application.orders.changing import existing
from application.ports.environment import Clock
from application.ports.payments import PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.orders.events import Event, EventId, RefundRequested, event_id

_CONSUMER: Final = REFUNDS.name


@frozen
class RefundOrder:
    """Refund orders through the provider, and record each refund together with the returned stock.

    A request may be delivered any number of times. The outcome of a request is None when nothing is left to do, or
    `Trouble` when the provider gave no answer.
    """

    _unit_of_work: UnitOfWork
    _gateway: PaymentProvider
    _now: Clock
    _max_refunds: int = field(default=64, kw_only=True)

    async def __call__(self, requests: Sequence[RefundRequested]) -> Sequence[Trouble | None]:
        unique = {event_id(request): request for request in requests}
        async with self._unit_of_work.reading() as tx:
            unseen = await tx.inbox.unseen(_CONSUMER, unique.keys())
            orders = await tx.orders.get_many({key.order_id for key in unseen})
        for key in unseen:
            existing(orders.get(key.order_id), key.order_id)
        # No transaction is open during the calls to the provider. A crash is safe: it refunds once for each key.
        answers = await self._refund({key: unique[key] for key in unique if key in unseen})
        await self._record({key: unique[key] for key, answer in answers.items() if answer is None})
        return [answers.get(event_id(request)) for request in requests]

    async def _refund(self, requests: Mapping[EventId, RefundRequested]) -> dict[EventId, Trouble | None]:
        async def refund(request: RefundRequested) -> Trouble | None:
            try:
                await self._gateway.refund(request.payment_id, request.amount)
            except Trouble as error:
                return error
            return None

        return dict(zip(requests, await at_most(self._max_refunds, refund, requests.values()), strict=True))

    async def _record(self, requests: Mapping[EventId, RefundRequested]) -> None:
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many({key.order_id for key in requests}, lock=True)
            fresh = await tx.inbox.record(_CONSUMER, requests.keys())
            payments = await tx.payments.get_many({requests[key].payment_id for key in fresh})
            products = await tx.products.get_many(
                {line.product_id for key in fresh for line in orders[key.order_id].lines}, lock=True
            )
            for key in sorted(fresh):
                events.append(orders[key.order_id].refund(products, at=self._now()))
                payments[requests[key].payment_id].refund()
            await tx.orders.save_many([orders[event.order_id] for event in events])
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
