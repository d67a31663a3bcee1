"""What the use cases of several capabilities share."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from attrs import field, frozen

from application.access.guarded import Guarded, with_own_order_by
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.batches import Batches
from application.assembly.limits import Limits
from application.assembly.order_intake import order_intake
from application.assembly.ports import Ports
from application.catalogue.get_product import GetProduct
from application.execution.after_commit import PropagateChanges
from application.execution.answering import AnsweringDatabase
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.conditional import OrderCall
from application.execution.idempotency import Keyed, Outcome, Replayed
from application.intake.order_intake import OrderIntake
from application.intake.persist_orders import PersistOrders
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.messaging.subscriptions import PAYMENTS, REFUNDS, WorkQueue
from application.orders.accept_changes import AcceptChanges, ChangeOrAccept, NamedChange, ShopSecret
from application.orders.change_jobs import ChangeQueued
from application.orders.expire_orders import ExpireOrders
from application.orders.get_order import GetOrder
from application.orders.queued_changes import QueueChanges, wake
from application.orders.record_changes import RecordAccepted, RecordChanges
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import Answer, ProcessPayment
from application.payments.refund_order import RefundOrder
from application.ports.telemetry import Record
from application.telemetry.measured_orders import MeasuredIntake
from application.telemetry.metrics import DUPLICATES
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import ProductId
from domain.orders.order import Order

C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
R = TypeVar("R")

# A change of one order, by a caller.
ChangeOrder = Callable[[Principal, OrderCall], Awaitable[Order | ChangeQueued]]


@frozen(kw_only=True)
class Shared:
    """The unit of work, the batches, and the use cases that others call."""

    ports: Ports
    limits: Limits
    uow: AnsweringDatabase
    unrecorded: Unrecorded
    batches: Batches
    intake: OrderIntake
    persist_orders: PersistOrders
    record_accepted: RecordAccepted
    shop_secret: ShopSecret
    accept_change: Batched[NamedChange, ChangeQueued]
    get_order: Batched[OrderCall, Order]
    get_product: Batched[ProductId, Product]
    process_payment: ProviderPipeline[Answer]
    refund_order: ProviderPipeline[datetime]
    expire_orders: ExpireOrders
    # The changes of orders that may have to wait, by their names.
    changes: dict[str, Callable[[Sequence[Any]], Awaitable[Sequence[object]]]] = field(factory=dict)

    @classmethod
    def of(cls, ports: Ports, limits: Limits) -> "Shared":
        now, recent, fence = ports.now, ports.recent_orders, ports.cache_fence
        propagate = PropagateChanges(
            recent, ports.catalogue_cache, ports.stock_cache, fence, ports.outbox_signal, ports.order_log
        )
        uow = AnsweringDatabase(ports.unit_of_work(propagate), ports.elapsed)
        unrecorded = Unrecorded(recent, ports.queued_here, queues=limits.intake != "direct")
        batches = Batches(limits, ports.telemetry)
        persist_orders, secret = PersistOrders(uow, wake), ShopSecret(uow)

        def duplicates(work: WorkQueue) -> Record:
            return ports.telemetry.of(DUPLICATES, queue=work.name)

        return cls(
            ports=ports,
            limits=limits,
            uow=uow,
            unrecorded=unrecorded,
            batches=batches,
            intake=MeasuredIntake(
                order_intake(ports, limits, batches, uow, persist_orders), ports.telemetry, limits.intake
            ),
            persist_orders=persist_orders,
            record_accepted=RecordAccepted(persist_orders, RecordChanges(uow)),
            shop_secret=secret,
            accept_change=batches(
                AcceptChanges(
                    CircuitBreaker(
                        ports.intake_queue.put_changes, seconds=limits.broker_timeout, pause=limits.breaker_pause
                    ),
                    unrecorded,
                    ports.accepted_changes,
                    secret,
                    ports.new_id,
                    now,
                )
            ),
            get_order=batches(GetOrder(uow, recent, unrecorded, fence)),
            get_product=batches(GetProduct(uow)),
            process_payment=ProviderPipeline(
                ProcessPayment(uow, ports.provider, now, nothing_due=duplicates(PAYMENTS)),
                max_calls=limits.max_charges,
                timeout=limits.charge_timeout,
                one_call=ports.provider_calls.one,
            ),
            refund_order=ProviderPipeline(
                RefundOrder(uow, ports.provider, now, nothing_due=duplicates(REFUNDS)),
                max_calls=limits.max_charges,
                timeout=limits.charge_timeout,
                one_call=ports.provider_calls.one,
            ),
            expire_orders=ExpireOrders(uow, now, limits.order_expiry, look_every=limits.expiry_look),
        )

    def changing(
        self,
        needs: Scope,
        name: str,
        change: Callable[[Sequence[OrderCall]], Awaitable[Sequence[Order | DomainError]]],
        *,
        by_shop: bool = False,
    ) -> ChangeOrder:
        """A change of one order, which knows the orders that are not recorded yet, and is written into the audit."""
        work: Batched[OrderCall, Order | ChangeQueued] = self.batches(self._waiting(name, change), name)
        return Guarded(needs, with_own_order_by(self._accepting(name, work)), by_shop=by_shop)

    def changing_once(
        self,
        needs: Scope,
        name: str,
        change: Callable[[Sequence[OrderCall | Keyed[OrderCall]]], Awaitable[Sequence[Outcome]]],
    ) -> Callable[[Principal, OrderCall | Keyed[OrderCall]], Awaitable[Order | ChangeQueued | Replayed]]:
        """As `changing`, once under an idempotency key, and not written into the audit."""
        work: Batched[OrderCall | Keyed[OrderCall], Order | ChangeQueued | Replayed] = self.batches(
            self._waiting(name, change), name
        )
        return Guarded(needs, with_own_order_by(self._accepting(name, work)))

    def _accepting(self, name: str, change: Callable[[C], Awaitable[R]]) -> Callable[[C], Awaitable[R | ChangeQueued]]:
        """The change, which goes into the queue while the database is away, where orders may be queued at all."""
        if self.limits.intake == "direct":
            return change
        in_time = CircuitBreaker(change, seconds=self.limits.last_resort_timeout, pause=self.limits.breaker_pause)
        return ChangeOrAccept(name, change, in_time, self.uow.answers, self.accept_change)

    def _waiting(self, name: str, change: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> Any:
        """The change of an order that may not be recorded yet. Where orders are queued, it waits for its order."""
        self.changes[name] = change
        told: TellUnrecorded[Any, Any] = TellUnrecorded(change, self.unrecorded)
        if self.limits.intake == "direct":
            return told
        return QueueChanges(name, told, self.uow, self.unrecorded, self.ports.accepted_changes, self.ports.new_id)
