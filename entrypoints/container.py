from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.codecs.intake_queue import PublishedIntake
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders
from adapters.memory.price_list import MemoryPriceList
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.payments.simulated.ledger import Ledger
from adapters.redis.catalogue_cache import RedisCatalogueCache
from adapters.redis.client import GuardedRedis
from adapters.redis.recent_orders import RedisRecentOrders
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.catalogue.add_products import AddProducts
from application.catalogue.adjust_stock import AdjustStock
from application.catalogue.get_product import GetProduct
from application.catalogue.list_products import ListProducts
from application.execution.after_commit import InvalidatingPublisher, PropagateChanges
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.idempotency import Keyed, Replayed
from application.execution.retrying import Retrying
from application.intake.order_intake import AutoIntake, DirectIntake, QueuedIntake
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import NumberRequests, PlaceOrder
from application.intake.queue_orders import QueueOrders, QueueOrRecord
from application.intake.refresh_prices import RefreshPrices
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.messaging.consumer import Consumer
from application.messaging.dead_letters import DecideDeadLetters, ListDeadLetters, RecordDeadLetters
from application.messaging.relay import RelayEvents
from application.messaging.republish import RepublishRequests
from application.orders.cancel_order import CancelOrder
from application.orders.complete_order import CompleteOrder
from application.orders.delete_order import DeleteOrder
from application.orders.expire_orders import ExpireOrders
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.orders.list_orders import ListOrders
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.caching import CatalogueCache, PriceList, RecentOrders
from application.ports.environment import Clock, NewId
from application.ports.messaging import DeadLetterQueue, EventPublisher, IntakeQueue, OutboxSignal, Subscription
from application.ports.payments import PaymentProvider, ProviderLedger
from application.ports.persistence import UnitOfWork
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.reconcile import Reconcile
from application.reconciliation.repair import Repair
from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.events import OrderAccepted, PaymentRequested, RefundRequested
from domain.orders.order import Order
from entrypoints.health import ServerHealth
from entrypoints.http.services import Services
from entrypoints.programs.worker import Worker
from entrypoints.settings import Settings

# In seconds, with the database's 1 s before them: together less than the deadline of a request. A broker that was not
# used for long has to be connected to; and a connection to the database that has fallen silent is found out after 3 s.
_PATIENCE_WITH_BROKER: Final = 2.0
_PATIENCE_AT_LAST: Final = 4.0


def _now() -> datetime:
    return datetime.now(UTC)


def _in_flight(settings: Settings) -> int:
    # Without batches, as many transactions at once as there are connections take their place.
    if settings.batch_max == 1:
        return settings.pool_size
    # SQLite has one writer: a second batch would wait for the first, and be missed by the one behind it.
    return settings.batches_in_flight if settings.database_url else 1


def _changing(
    use_case: providers.Provider[Any], unrecorded: providers.Provider[Unrecorded], batching: dict[str, object]
) -> providers.Singleton[Any]:
    return providers.Singleton(Batched, providers.Factory(TellUnrecorded, use_case, unrecorded), **batching)


class Container(containers.DeclarativeContainer):
    """Which adapter stands behind which port. What is opened and closed is opened by the programs, and given here."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    engine: providers.Dependency[AsyncEngine] = providers.Dependency(instance_of=AsyncEngine)
    redis: providers.Dependency[GuardedRedis] = providers.Dependency()
    signal: providers.Dependency[OutboxSignal] = providers.Dependency()
    publisher: providers.Dependency[EventPublisher] = providers.Dependency()
    intake_queue: providers.Dependency[Subscription] = providers.Dependency()
    payment_queue: providers.Dependency[Subscription] = providers.Dependency()
    refund_queue: providers.Dependency[Subscription] = providers.Dependency()
    dead_intake: providers.Dependency[DeadLetterQueue] = providers.Dependency()
    dead_payments: providers.Dependency[DeadLetterQueue] = providers.Dependency()
    dead_refunds: providers.Dependency[DeadLetterQueue] = providers.Dependency()
    ledger: providers.Dependency[Ledger] = providers.Dependency()
    check_health: providers.Dependency[Callable[[], Awaitable[Sequence[ServerHealth]]]] = providers.Dependency()

    now: providers.Provider[Clock] = providers.Object(_now)
    new_id: providers.Provider[NewId] = providers.Object(uuid7)

    _caches = providers.Callable(lambda settings: "redis" if settings.redis_url else "memory", settings)
    recent_orders: providers.Provider[RecentOrders] = providers.Selector(
        _caches,
        redis=providers.Singleton(RedisRecentOrders, redis, namespace=settings.provided.namespace),
        memory=providers.Singleton(MemoryRecentOrders),
    )
    catalogue_cache: providers.Provider[CatalogueCache] = providers.Selector(
        _caches,
        redis=providers.Singleton(RedisCatalogueCache, redis, namespace=settings.provided.namespace),
        memory=providers.Singleton(MemoryCatalogueCache),
    )
    unit_of_work: providers.Provider[UnitOfWork] = providers.Singleton(
        SqlUnitOfWork,
        engine,
        after_commit=providers.Factory(PropagateChanges, recent_orders, catalogue_cache, signal),
    )
    gateway: providers.Provider[PaymentProvider] = providers.Singleton(
        SimulatedGateway,
        ledger,
        delay=settings.provided.gateway_delay,
        decline_rate=settings.provided.gateway_decline_rate,
        failure_rate=settings.provided.gateway_failure_rate,
        seed=settings.provided.gateway_seed,
    )
    # To read the books has none of the troubles that are simulated.
    provider_ledger: providers.Provider[ProviderLedger] = providers.Singleton(SimulatedGateway, ledger)

    _batching: ClassVar[dict[str, object]] = {
        "max_size": settings.provided.batch_max,
        "max_in_flight": providers.Callable(_in_flight, settings),
        "longest_wait": settings.provided.waiting_max.total_seconds.call(),
    }
    # How an order gets in. Each server has its patience, and the database one for each of its uses: the longest where
    # there is no other way left.
    _queued_here = providers.Singleton(MemoryRecentOrders)
    _unrecorded = providers.Singleton(Unrecorded, recent_orders, _queued_here)
    price_list: providers.Provider[PriceList] = providers.Singleton(MemoryPriceList)
    refresh_prices: providers.Provider[RefreshPrices] = providers.Factory(RefreshPrices, unit_of_work, price_list)
    persist_orders: providers.Provider[PersistOrders] = providers.Factory(PersistOrders, unit_of_work, now)
    _placing = providers.Singleton(Batched, providers.Factory(PlaceOrder, unit_of_work, now), **_batching)
    _recording = providers.Singleton(Batched, persist_orders, **_batching)
    _accepted: providers.Provider[IntakeQueue] = providers.Factory(PublishedIntake, publisher)
    _queueing = providers.Singleton(
        Batched,
        providers.Factory(
            QueueOrders,
            price_list,
            providers.Singleton(CircuitBreaker, _accepted.provided.put_many, seconds=_PATIENCE_WITH_BROKER),
            recent_orders,
            _queued_here,
            providers.Singleton(CircuitBreaker, _recording),
        ),
        **_batching,
    )
    _queue_or_record = providers.Singleton(
        QueueOrRecord,
        _queueing,
        providers.Singleton(CircuitBreaker, providers.Factory(Retrying, _placing), seconds=_PATIENCE_AT_LAST),
        providers.Singleton(CircuitBreaker, providers.Factory(Retrying, _recording), seconds=_PATIENCE_AT_LAST),
    )
    _number = providers.Factory(NumberRequests, new_id, now)
    place_order: providers.Provider[DirectIntake | QueuedIntake | AutoIntake] = providers.Selector(
        settings.provided.intake,
        direct=providers.Singleton(DirectIntake, _number, _placing),
        queued=providers.Singleton(QueuedIntake, _number, _queue_or_record, _placing),
        auto=providers.Singleton(AutoIntake, _number, providers.Singleton(CircuitBreaker, _placing), _queue_or_record),
    )

    request_payment: providers.Provider[Batched[OrderId | Keyed[OrderId], Order | Replayed]] = _changing(
        providers.Factory(RequestPayment, unit_of_work, new_id, now), _unrecorded, _batching
    )
    cancel_order: providers.Provider[Batched[OrderId, Order]] = _changing(
        providers.Factory(CancelOrder, unit_of_work, now), _unrecorded, _batching
    )
    complete_order: providers.Provider[Batched[OrderId, Order]] = _changing(
        providers.Factory(CompleteOrder, unit_of_work, now), _unrecorded, _batching
    )
    request_refund: providers.Provider[Batched[OrderId, Order]] = _changing(
        providers.Factory(RequestRefund, unit_of_work, now), _unrecorded, _batching
    )
    delete_order: providers.Provider[Batched[OrderId, Order]] = _changing(
        providers.Factory(DeleteOrder, unit_of_work, now), _unrecorded, _batching
    )
    get_order: providers.Provider[Batched[OrderId, Order]] = providers.Singleton(
        Batched, providers.Factory(GetOrder, unit_of_work, recent_orders, _unrecorded), **_batching
    )
    get_product: providers.Provider[Batched[ProductId, Product]] = providers.Singleton(
        Batched, providers.Factory(GetProduct, unit_of_work), **_batching
    )
    _others: ClassVar[tuple[providers.Provider[Any], ...]] = (
        request_payment,
        cancel_order,
        complete_order,
        request_refund,
        delete_order,
        get_order,
        get_product,
    )
    batched = providers.Selector(
        settings.provided.intake,
        direct=providers.List(_placing, *_others),
        queued=providers.List(_placing, _queueing, _recording, *_others),
        auto=providers.List(_placing, _queueing, _recording, *_others),
    )

    add_products: providers.Provider[AddProducts] = providers.Factory(AddProducts, unit_of_work, now)
    adjust_stock: providers.Provider[AdjustStock] = providers.Factory(AdjustStock, unit_of_work, now)
    list_products: providers.Provider[ListProducts] = providers.Factory(ListProducts, unit_of_work, catalogue_cache)
    list_dead_letters: providers.Provider[ListDeadLetters] = providers.Factory(ListDeadLetters, unit_of_work)
    decide_dead_letters: providers.Provider[DecideDeadLetters] = providers.Factory(DecideDeadLetters, unit_of_work, now)
    services: providers.Provider[Services] = providers.Factory(
        Services,
        place_order=place_order,
        request_payment=request_payment,
        cancel_order=cancel_order,
        complete_order=complete_order,
        request_refund=request_refund,
        delete_order=delete_order,
        get_order=get_order,
        get_product=get_product,
        list_orders=providers.Factory(ListOrders, unit_of_work, recent_orders),
        list_products=list_products,
        get_history=providers.Factory(GetHistory, unit_of_work, recent_orders, _unrecorded),
        check_health=check_health,
    )

    # Each relay has a name of its own, under which it holds the claim on the outbox; but there is one only where the
    # broker is in its process, and it goes on with the claim of the one before it.
    relay_events: providers.Provider[RelayEvents] = providers.Factory(
        RelayEvents,
        unit_of_work,
        providers.Factory(InvalidatingPublisher, publisher, recent_orders, catalogue_cache),
        providers.Callable(lambda settings: str(uuid7()) if settings.amqp_url else "up", settings),
    )
    republish_requests: providers.Provider[RepublishRequests] = providers.Factory(RepublishRequests, unit_of_work, now)
    expire_orders: providers.Provider[ExpireOrders] = providers.Factory(
        ExpireOrders, unit_of_work, now, settings.provided.order_expiry
    )
    process_payment: providers.Provider[ProcessPayment] = providers.Factory(ProcessPayment, unit_of_work, gateway, now)
    reconcile: providers.Provider[Reconcile] = providers.Factory(
        Reconcile,
        unit_of_work,
        provider_ledger,
        now,
        settings.provided.stuck_after,
        providers.Factory(FindStuck, unit_of_work, now, settings.provided.order_expiry, settings.provided.stuck_after),
    )
    repair: providers.Provider[Repair] = providers.Factory(
        Repair, unit_of_work, gateway, process_payment, expire_orders
    )
    worker: providers.Provider[Worker] = providers.Factory(
        Worker,
        intake=providers.Factory(
            Consumer,
            intake_queue,
            OrderAccepted,
            persist_orders,
            max_batch=settings.provided.batch_max,
        ),
        payments=providers.Factory(
            Consumer,
            payment_queue,
            PaymentRequested,
            process_payment,
            max_batch=settings.provided.batch_max,
        ),
        refunds=providers.Factory(
            Consumer,
            refund_queue,
            RefundRequested,
            providers.Factory(RefundOrder, unit_of_work, gateway, now),
            max_batch=settings.provided.batch_max,
        ),
        dead_letters=providers.List(
            providers.Factory(RecordDeadLetters, "intake", dead_intake, unit_of_work),
            providers.Factory(RecordDeadLetters, "payments", dead_payments, unit_of_work),
            providers.Factory(RecordDeadLetters, "refunds", dead_refunds, unit_of_work),
        ),
        expire_orders=expire_orders,
        republish_requests=republish_requests,
        expiry=settings.provided.order_expiry,
        stuck_after=settings.provided.stuck_after,
        batches=settings.provided.worker_batches,
    )
