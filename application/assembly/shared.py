"""What the use cases of several capabilities share."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.guarded import Guarded, with_own_order, with_own_order_audited
from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.batches import Batches
from application.assembly.limits import Limits
from application.assembly.order_intake import order_intake
from application.assembly.ports import Ports
from application.catalogue.get_product import GetProduct
from application.execution.after_commit import PropagateChanges
from application.execution.batching import Batched
from application.execution.conditional import OrderCall
from application.execution.idempotency import Keyed, Outcome, Replayed
from application.intake.order_intake import OrderIntake
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import PlaceOrder
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.orders.expire_orders import ExpireOrders
from application.orders.get_order import GetOrder
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import Answer, ProcessPayment
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import ProductId
from domain.orders.order import Order

# A change of one order, by a caller.
ChangeOrder = Callable[[Principal, OrderCall], Awaitable[Order]]


@frozen(kw_only=True)
class Shared:
    """The unit of work, the batches, and the use cases that others call."""

    ports: Ports
    limits: Limits
    uow: UnitOfWork
    unrecorded: Unrecorded
    batches: Batches
    intake: OrderIntake
    persist_orders: PersistOrders
    get_order: Batched[OrderCall, Order]
    get_product: Batched[ProductId, Product]
    process_payment: ProviderPipeline[Answer]
    expire_orders: ExpireOrders

    @classmethod
    def of(cls, ports: Ports, limits: Limits) -> "Shared":
        now, recent, fence = ports.now, ports.recent_orders, ports.cache_fence
        uow = ports.unit_of_work(
            PropagateChanges(
                recent, ports.catalogue_cache, ports.stock_cache, fence, ports.outbox_signal, ports.order_log
            )
        )
        unrecorded = Unrecorded(recent, ports.queued_here)
        batches = Batches(limits)
        persist_orders = PersistOrders(uow, now)
        return cls(
            ports=ports,
            limits=limits,
            uow=uow,
            unrecorded=unrecorded,
            batches=batches,
            intake=order_intake(ports, limits, batches, PlaceOrder(uow, now), persist_orders),
            persist_orders=persist_orders,
            get_order=batches(GetOrder(uow, recent, unrecorded, fence)),
            get_product=batches(GetProduct(uow)),
            process_payment=ProviderPipeline(
                ProcessPayment(uow, ports.provider, now), max_calls=limits.max_charges, timeout=limits.charge_timeout
            ),
            expire_orders=ExpireOrders(uow, now, limits.order_expiry, look_every=limits.expiry_look),
        )

    def changing(
        self,
        needs: Scope,
        change: Callable[[Sequence[OrderCall]], Awaitable[Sequence[Order | DomainError]]],
        *,
        by_shop: bool = False,
    ) -> ChangeOrder:
        """A change of one order, which knows the orders that are not recorded yet, and is written into the audit."""
        work: Batched[OrderCall, Order] = self.batches(TellUnrecorded(change, self.unrecorded))
        return Guarded(needs, with_own_order_audited(work), by_shop=by_shop)

    def changing_once(
        self, needs: Scope, change: Callable[[Sequence[OrderCall | Keyed[OrderCall]]], Awaitable[Sequence[Outcome]]]
    ) -> Callable[[Principal, OrderCall | Keyed[OrderCall]], Awaitable[Order | Replayed]]:
        """As `changing`, once under an idempotency key, and not written into the audit."""
        work: Batched[OrderCall | Keyed[OrderCall], Order | Replayed] = self.batches(
            TellUnrecorded(change, self.unrecorded)
        )
        return Guarded(needs, with_own_order(work))
