from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.execution.concurrency import until_unavailable
from application.intake.order_request import asked_to_pay
from application.intake.persist_orders import PersistOrders
from application.messaging.republish import last_requests
from application.orders.expire_orders import ExpireOrders
from application.orders.read_each import readable_events, readable_orders
from application.orders.record_changes import RecordChanges
from application.ports.payments import Charge, PaymentProvider
from application.ports.persistence import UnitOfWork
from application.reconciliation.discrepancies import Discrepancy, Remedy
from application.reconciliation.provider import answered
from domain.ids import JobId, OrderId
from domain.orders.events import OrderAccepted, OrderChangeAccepted
from domain.orders.order import Order
from domain.orders.status import OrderStatus

_Refund = Callable[[Charge], Awaitable[None]]
_REPAIRED: Final = {
    Remedy.PAY: "it is PAID",
    Remedy.REPUBLISH: "republished",
    Remedy.EXPIRE: "it is EXPIRED",
    Remedy.RECORD: "recorded",
}


@frozen
class Repair:
    """Repair what is safe to repair. Return for each discrepancy what was done, or None if it is left.

    Every remedy is a use case of normal operation, and doing it twice changes nothing.
    """

    _unit_of_work: UnitOfWork
    _provider: PaymentProvider
    _process_payment: Callable[[Sequence[OrderId]], Awaitable[Sequence[Exception | None]]]
    _expire_orders: ExpireOrders
    _persist_orders: PersistOrders
    _record_changes: RecordChanges
    # Seconds that a call to the provider may take.
    _timeout: float = field(default=30.0, kw_only=True)

    async def __call__(self, discrepancies: Sequence[Discrepancy]) -> list[str | None]:
        ids = {
            remedy: [each.order_id for each in discrepancies if each.remedy is remedy and each.order_id]
            for remedy in Remedy
        }
        done: Mapping[Remedy, set[OrderId]] = {
            Remedy.PAY: await self._pay(ids[Remedy.PAY]),
            Remedy.REPUBLISH: await self._republish(ids[Remedy.REPUBLISH]),
            Remedy.EXPIRE: set((await self._expire_orders()).expired) if ids[Remedy.EXPIRE] else set(),
            Remedy.RECORD: await self._record([each.told for each in discrepancies if each.remedy is Remedy.RECORD]),
        }
        recorded = await self._record_accepted([each.change for each in discrepancies])
        refund = until_unavailable(self._refund)
        return [
            (_REPAIRED[Remedy.RECORD] if each.change.job_id in recorded else None)
            if each.change is not None
            else await self._outcome(each, done, refund)
            for each in discrepancies
        ]

    async def _refund(self, charge: Charge) -> None:
        # If there is no answer, the others would wait as long. Whether it happened need not be known: the next repair
        # sees it.
        await answered(self._provider.refund(charge.key, charge.amount), within=self._timeout)

    async def _outcome(
        self, discrepancy: Discrepancy, done: Mapping[Remedy, set[OrderId]], refund: _Refund
    ) -> str | None:
        match discrepancy.remedy:
            case None:
                return None
            case Remedy.REFUND:
                return await _refunded(discrepancy.charge, refund)
            case remedy:
                return _REPAIRED[remedy] if discrepancy.order_id in done[remedy] else None

    async def _pay(self, ids: Sequence[OrderId]) -> set[OrderId]:
        """Process the payments again. The provider repeats the answer that it gave before."""
        if not ids:
            return set()
        await each_alone(self._process_payment, ids)
        async with self._unit_of_work.reading() as tx:
            orders = await readable_orders(tx, ids)
        return {order.id for order in orders.values() if order.status is OrderStatus.PAID}

    async def _record(self, orders: Sequence[Order | None]) -> set[OrderId]:
        """Record accepted orders as the worker would have done."""
        accepted = [_accepted(order) for order in orders if order is not None]
        outcomes = await each_alone(self._persist_orders, accepted)
        return {event.order_id for event, outcome in zip(accepted, outcomes, strict=True) if outcome is None}

    async def _record_accepted(self, changes: Sequence[OrderChangeAccepted | None]) -> set[JobId]:
        """Make jobs of accepted changes as the worker would have done. One that is not signed is left."""
        promised = [change for change in changes if change is not None]
        outcomes = await each_alone(self._record_changes, promised)
        return {change.job_id for change, outcome in zip(promised, outcomes, strict=True) if outcome is None}

    async def _republish(self, ids: Sequence[OrderId]) -> set[OrderId]:
        if not ids:
            return set()
        async with self._unit_of_work() as tx:
            requests = last_requests(await readable_events(tx, ids))
            await tx.outbox.re_enqueue(list(requests.values()))
        return set(requests)


async def _refunded(charge: Charge | None, refund: _Refund) -> str | None:
    if charge is None:
        return None
    try:
        await refund(charge)
    except Trouble:
        return None
    return "the money was given back"


def _accepted(order: Order) -> OrderAccepted:
    return OrderAccepted(
        order_id=order.id,
        at=order.created_at,
        user_id=order.user_id,
        lines=order.lines,
        total=order.total,
        pay=bool(asked_to_pay(order)),
        details=order.details,
    )
