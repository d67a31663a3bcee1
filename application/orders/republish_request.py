from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.execution.conditional import OrderCall, expect, order_id_in
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.messaging.republish import last_requests
from application.orders.changing import existing
from application.ports.audit import AuditEntry
from application.ports.environment import Clock
from application.ports.outbox import Waits
from application.ports.persistence import UnitOfWork
from domain.errors import IllegalTransition, UnknownOrder
from domain.orders.events import event_id
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, WAITS_FOR_WORKER

# A relay sends it anyway.
_ON_ITS_WAY: Final = frozenset({Waits.OUTBOX, Waits.AT_ITS_QUEUE})


@frozen
class RepublishRequest:
    """Put the last request of an order that waits for the worker into the outbox again: the broker may have lost it.

    A request that is still there, or arrives twice, changes nothing. Raise `UnknownOrder`, `NotYetRecorded`,
    `PreconditionFailed`, or `IllegalTransition` for an order that waits for nothing.
    """

    _unit_of_work: UnitOfWork
    _unrecorded: Unrecorded
    _now: Clock

    async def __call__(self, by: Principal, call: OrderCall) -> Order:
        republish: TellUnrecorded[OrderCall, Order | UnknownOrder] = TellUnrecorded(
            partial(self._outcome, by), self._unrecorded
        )
        [outcome] = await republish([call])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _outcome(self, by: Principal, calls: Sequence[OrderCall]) -> Sequence[Order | UnknownOrder]:
        [call] = calls
        try:
            return [await self._republish(by, call)]
        except UnknownOrder as unknown:
            return [unknown]

    async def _republish(self, by: Principal, call: OrderCall) -> Order:
        order_id = order_id_in(call)
        async with self._unit_of_work() as tx:
            found = (await tx.orders.get_many({order_id}, lock=True)).get(order_id)
            if found is None:
                raise UnknownOrder(f"there is no order {order_id}")
            order = existing(found, order_id)
            expect(call, order)
            request = last_requests(await tx.events.of_orders({order_id})).get(order_id)
            waits = order.status in WAITS_FOR_WORKER or (order.refund_requested and order.status in HAS_MONEY)
            if request is None or not waits:
                raise IllegalTransition(f"{order.status.value} waits for no worker: there is nothing to ask for again")
            if (await tx.outbox.waiting(order_id)).get(event_id(request)) in _ON_ITS_WAY:
                return order
            await tx.outbox.re_enqueue([request])
            await tx.audit.add_many(
                [
                    AuditEntry(
                        at=self._now(),
                        by=caller_of(by),
                        action="order.request_republished",
                        subject=f"order {order_id}",
                        after={"request": request.type, "sequence": request.sequence},
                    )
                ]
            )
        return order
