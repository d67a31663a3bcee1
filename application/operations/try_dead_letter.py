from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import evolve, frozen

from application.access.principal import Principal
from application.errors import Trouble
from application.execution.one_transaction import OneTransaction
from application.intake.persist_orders import PersistOrders
from application.messaging.find_dead_letters import existing
from application.messaging.subscriptions import INTAKE, PAYMENTS, QUEUE_OF, REFUNDS
from application.operations.trial import RecordedProvider, Seen, Trial, differences
from application.orders.queued_changes import wake
from application.orders.record_changes import RecordAccepted, RecordChanges
from application.payments.pipeline import Answered, ProviderWork
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.ports.environment import Clock
from application.ports.payments import PaymentProvider, ProviderLedger
from application.ports.persistence import Transaction, UnitOfWork
from domain.dead_letter import DeadLetter
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import ACCEPTED_TYPES, Event, OrderChangeAccepted
from domain.orders.order import Order

# Does the work of a queue in a transaction, with this provider.
Handler = Callable[[UnitOfWork, PaymentProvider, Clock, Event], Awaitable[None]]


class _RolledBack(Exception):
    """Undoes what was tried."""


@frozen
class TryDeadLetter:
    """Tell what a replay of a dead letter would do, and do nothing.

    Its handler runs in a transaction that is rolled back, and the provider's record answers in place of the provider.
    Raise `UnknownDeadLetter`, or `Trouble`, also while the provider's record can't be read.
    """

    _unit_of_work: UnitOfWork
    _ledger: ProviderLedger
    _now: Clock

    async def __call__(self, by: Principal, id_: int, *, instead: Event | None = None) -> Trial:
        """With `instead`, an edited copy of the message is tried."""
        async with self._unit_of_work.reading() as tx:
            letter = existing((await tx.dead_letters.get_many({id_})).get(id_), id_)
            event = instead or letter.event
            order = None if event is None else (await tx.orders.get_many({event.order_id})).get(event.order_id)
        # Asked before the transaction begins: none is open during a call over the network.
        keys = set() if order is None or order.payment_id is None else {order.payment_id}
        provider = RecordedProvider(await self._ledger.charges_of(keys) if keys else {})
        trial = Trial(queue=None)
        with suppress(_RolledBack):
            async with self._unit_of_work() as tx:
                trial = await self._tried(tx, by, letter, instead, provider)
                raise _RolledBack
        return trial

    async def _tried(
        self, tx: Transaction, by: Principal, letter: DeadLetter, instead: Event | None, provider: RecordedProvider
    ) -> Trial:
        told = instead or letter.event
        history = [] if told is None else await tx.events.of_orders({told.order_id})
        try:
            event = evolve(letter).replay(by=by.key_id, at=self._now(), history=history, instead=instead)
        except DomainError as error:
            return Trial(queue=None, error=error)
        work = QUEUE_OF.get(event.type)
        if work is None:
            return Trial(queue=None)
        handle = HANDLERS[work.name]
        before = await _seen(tx, event)
        try:
            await handle(OneTransaction(tx), provider, self._now, event)
        except Trouble:
            raise
        except Exception as error:  # noqa: BLE001 - it is what a replay would end with
            return Trial(queue=work.name, error=error, provider=provider.calls)
        events = [each.type for each in await tx.events.of_orders({event.order_id}) if each not in history]
        changes = differences(before, await _seen(tx, event))
        return Trial(queue=work.name, changes=changes, events=events, provider=provider.calls)


async def _seen(tx: Transaction, event: Event) -> Seen:
    order = (await tx.orders.get_many({event.order_id})).get(event.order_id)
    lines: Sequence[Any] = () if order is None else order.lines
    payments = {} if order is None or order.payment_id is None else await tx.payments.get_many({order.payment_id})
    jobs = await tx.jobs.get_many({event.job_id}) if isinstance(event, OrderChangeAccepted) else {}
    return Seen(
        order=order,
        products=await tx.products.get_many({line.product_id for line in lines}),
        payment=next(iter(payments.values()), None),
        job=next(iter(jobs.values()), None),
    )


async def _record(unit_of_work: UnitOfWork, _: PaymentProvider, __: Clock, event: Event) -> None:
    record = RecordAccepted(PersistOrders(unit_of_work, wake), RecordChanges(unit_of_work))
    if isinstance(event, ACCEPTED_TYPES):
        [refused] = await record([event])
        if refused is not None:
            raise refused


async def _pay(unit_of_work: UnitOfWork, provider: PaymentProvider, now: Clock, event: Event) -> None:
    await _ask(ProcessPayment(unit_of_work, provider, now), event.order_id)


async def _refund(unit_of_work: UnitOfWork, provider: PaymentProvider, now: Clock, event: Event) -> None:
    await _ask(RefundOrder(unit_of_work, provider, now), event.order_id)


async def _ask(work: ProviderWork[Any], order_id: OrderId) -> None:
    """Do what a `ProviderPipeline` does, for one order and at once."""
    for due in (await work.due({order_id}, {})).values():
        if not isinstance(due, Order):
            raise due
        await work.record([Answered(due, await work.ask(due))])


# The same use cases as the consumers of these queues have.
HANDLERS: Final[Mapping[str, Handler]] = {INTAKE.name: _record, PAYMENTS.name: _pay, REFUNDS.name: _refund}
