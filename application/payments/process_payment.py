from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from application.errors import Trouble
from application.execution.concurrency import at_most
from application.messaging.subscriptions import PAYMENTS
from application.orders.changing import existing
from application.ports.environment import Clock
from application.ports.payments import PaymentDeclined, PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.errors import OutOfStock
from domain.orders.events import Event, EventId, PaymentRequested, event_id
from domain.orders.status import FailureReason

_CONSUMER: Final = PAYMENTS.name

# The provider's reference, or the error that it answered with.
Answer = str | PaymentDeclined | Trouble


@frozen
class ProcessPayment:
    """Reserve the stock of orders, all lines or none, and then charge each order once.

    A request may be delivered any number of times, and the process may stop anywhere: each step finds what was done.
    The outcome of a request is None when nothing is left to do, or `Trouble` when the provider gave no answer.
    """

    _unit_of_work: UnitOfWork
    _gateway: PaymentProvider
    _now: Clock
    _max_charges: int = field(default=64, kw_only=True)

    async def __call__(self, requests: Sequence[PaymentRequested]) -> Sequence[Trouble | None]:
        reserved = await self._reserve_stock({event_id(request): request for request in requests})
        # No transaction is open during the calls to the provider. A crash before, during or after them is safe: the
        # order holds its stock, and the next attempt uses the same key and gets the same answer.
        answers = await self._charge(reserved)
        unanswered = {key: answer for key, answer in answers.items() if isinstance(answer, Trouble)}
        await self._record(reserved, {key: a for key, a in answers.items() if not isinstance(a, Trouble)})
        return [unanswered.get(event_id(request)) for request in requests]

    async def _reserve_stock(self, requests: Mapping[EventId, PaymentRequested]) -> dict[EventId, PaymentRequested]:
        """Return the requests whose orders hold their stock now. The others were handled before, or FAILED here."""
        reserved: dict[EventId, PaymentRequested] = {}
        failed: dict[EventId, PaymentRequested] = {}
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            # Lock the orders first, then the products, each in the order of their ids. So deadlocks can't form.
            orders = await tx.orders.get_many({request.order_id for request in requests.values()}, lock=True)
            unseen = await tx.inbox.unseen(_CONSUMER, requests.keys())
            wanting = [order for order in orders.values() if not order.holds_stock]
            products = await tx.products.get_many(
                {line.product_id for order in wanting for line in order.lines}, lock=True
            )
            for key, request in requests.items():
                if key not in unseen:
                    continue
                order = existing(orders.get(request.order_id), request.order_id)
                if order.holds_stock:
                    reserved[key] = request
                    continue
                try:
                    events.append(order.reserve_stock(products, at=self._now()))
                    reserved[key] = request
                except OutOfStock:
                    events.append(order.fail(FailureReason.OUT_OF_STOCK, products, at=self._now()))
                    failed[key] = request
            payments = await tx.payments.get_many({request.payment_id for request in failed.values()})
            for payment in payments.values():
                payment.fail()
            await tx.orders.save_many([orders[event.order_id] for event in events])
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
            await tx.inbox.record(_CONSUMER, failed.keys())
        return reserved

    async def _charge(self, requests: Mapping[EventId, PaymentRequested]) -> dict[EventId, Answer]:
        async def charge(request: PaymentRequested) -> Answer:
            try:
                return await self._gateway.charge(request.payment_id, request.amount)
            except (PaymentDeclined, Trouble) as error:
                return error

        return dict(zip(requests, await at_most(self._max_charges, charge, requests.values()), strict=True))

    async def _record(
        self, requests: Mapping[EventId, PaymentRequested], answers: Mapping[EventId, str | PaymentDeclined]
    ) -> None:
        events: list[Event] = []
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many({key.order_id for key in answers}, lock=True)
            # Another worker may have received the same request. The second worker records nothing.
            fresh = await tx.inbox.record(_CONSUMER, answers.keys())
            payments = await tx.payments.get_many({requests[key].payment_id for key in fresh})
            declined = {key.order_id for key in fresh if isinstance(answers[key], PaymentDeclined)}
            products = await tx.products.get_many(
                {line.product_id for order_id in declined for line in orders[order_id].lines}, lock=True
            )
            for key in sorted(fresh):
                order, payment, answer = orders[key.order_id], payments[requests[key].payment_id], answers[key]
                if isinstance(answer, PaymentDeclined):
                    events.append(order.fail(FailureReason.PAYMENT_DECLINED, products, at=self._now()))
                    payment.fail()
                else:
                    events.append(order.pay(at=self._now()))
                    payment.charge(answer)
            await tx.orders.save_many([orders[event.order_id] for event in events])
            await tx.products.save_many(list(products.values()))
            await tx.payments.save_many(list(payments.values()))
            await tx.events.add_many(events)
