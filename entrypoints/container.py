import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Final

from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.codecs.export_rows import WRITERS
from adapters.codecs.intake_queue import PublishedIntake
from adapters.codecs.webhook_messages import SignedMessages
from adapters.memory.accepted_changes import MemoryAcceptedChanges, SharedAcceptedChanges
from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.cache_owner import MemoryCacheOwner
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.carts import MemoryCarts, NoCarts
from adapters.memory.no_caches import NoCatalogueCache, NoRecentOrders, NoStockCache
from adapters.memory.price_list import MemoryPriceList
from adapters.memory.rate_limits import MemoryRateLimiter
from adapters.memory.signal import MemoryOutboxSignal
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.lineage import LastHeartbeat, NoLastHeartbeat
from adapters.sql.mark import SqlDatabaseMarks
from adapters.sql.reset import SqlResetData
from adapters.sql.shop_overview import SqlOverview
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.webhooks.deferred import DeferredTransport
from application.access.tokens import BASE62, SECRET_LENGTH
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.assembly.use_cases import UseCases
from application.execution.after_commit import AfterCommit
from application.execution.one_database import KeepCachesToDatabase
from application.payments.provider_calls import ProviderCalls
from application.ports.caching import (
    AcceptedChanges,
    CacheFence,
    CacheOwner,
    CatalogueCache,
    PriceList,
    RecentOrders,
    StockCache,
)
from application.ports.carts import Carts
from application.ports.environment import Clock, NewId, NewSecret
from application.ports.messaging import IntakeQueue, OutboxSignal
from application.ports.persistence import UnitOfWork
from application.ports.rate_limits import RateLimiter
from application.ports.telemetry import NoTelemetry, Telemetry, Tracer
from application.ports.webhooks import WebhookTransport
from entrypoints.broker import Broker
from entrypoints.health import ServerHealth
from entrypoints.http.row_parsers import PARSERS
from entrypoints.order_log import log_changes, log_relayed
from entrypoints.payment_providers import Provider
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.redis.client import GuardedRedis


def _now() -> datetime:
    return datetime.now(UTC)


def _new_secret() -> str:
    return "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH))


def _recent_orders_in_redis(redis: "GuardedRedis", settings: Settings) -> RecentOrders:
    # The client is imported only where Redis is used: the import takes a tenth of a command's start.
    from adapters.redis.recent_orders import RedisRecentOrders  # noqa: PLC0415

    return RedisRecentOrders(
        redis,
        namespace=settings.namespace,
        ttl=settings.order_cache_ttl.total_seconds(),
        long_ttl=settings.accepted_cache_ttl.total_seconds(),
    )


def _catalogue_in_redis(redis: "GuardedRedis", namespace: str) -> CatalogueCache:
    from adapters.redis.catalogue_cache import RedisCatalogueCache  # noqa: PLC0415 - as above

    return RedisCatalogueCache(redis, namespace=namespace)


def _stock_in_redis(redis: "GuardedRedis", namespace: str) -> StockCache:
    from adapters.redis.stock_cache import RedisStockCache  # noqa: PLC0415 - as above

    return RedisStockCache(redis, namespace=namespace)


def _rate_limiter_in_redis(redis: "GuardedRedis", settings: Settings) -> RateLimiter:
    from adapters.redis.rate_limits import RedisRateLimiter  # noqa: PLC0415 - as above

    return RedisRateLimiter(redis, settings.quotas, settings.namespace)


def _carts_in_redis(redis: "GuardedRedis", namespace: str) -> Carts:
    from adapters.redis.carts import RedisCarts  # noqa: PLC0415 - as above

    return RedisCarts(redis, namespace)


def _accepted_changes_in_redis(redis: "GuardedRedis", settings: Settings) -> AcceptedChanges:
    from adapters.redis.accepted_changes import RedisAcceptedChanges  # noqa: PLC0415 - as above

    ttl = _ttl_of_accepted_changes(settings)
    return SharedAcceptedChanges(
        RedisAcceptedChanges(redis, settings.namespace, ttl=ttl), MemoryAcceptedChanges(ttl=ttl)
    )


def _ttl_of_accepted_changes(settings: Settings) -> float:
    # Not longer than their jobs: one whose job was removed would look as if it were still to come.
    return min(timedelta(days=1), settings.job_retention).total_seconds()


def _where_carts_are(settings: Settings) -> str:
    # Not a cache: what `cache_disabled` says does not matter.
    if settings.redis_url:
        return "redis"
    return "nowhere" if settings.database_url else "memory"


def _cache_fence(engine: AsyncEngine, redis: "GuardedRedis", namespace: str) -> CacheFence:
    from adapters.sql.cache_fence import SqlCacheFence  # noqa: PLC0415 - as above

    return SqlCacheFence(engine, f"{namespace} {gethostname()} {os.getpid()}", lambda: redis.is_away)


def _last_heartbeat_in_redis(redis: "GuardedRedis", namespace: str) -> LastHeartbeat:
    from adapters.redis.last_heartbeat import RedisLastHeartbeat  # noqa: PLC0415 - as above

    return RedisLastHeartbeat(redis, namespace)


def _cache_owner_in_redis(redis: "GuardedRedis", namespace: str) -> CacheOwner:
    from adapters.redis.cache_owner import RedisCacheOwner  # noqa: PLC0415 - as above

    return RedisCacheOwner(redis, namespace=namespace)


def _telemetry(settings: Settings) -> Telemetry:
    if settings.metrics_port is None:
        return NoTelemetry()
    from adapters.telemetry.prometheus import PrometheusTelemetry  # noqa: PLC0415 - as above

    return PrometheusTelemetry()


def _webhook_transport(settings: Settings, now: Clock) -> WebhookTransport:
    from adapters.webhooks.resolver import SystemResolver  # noqa: PLC0415 - as above
    from adapters.webhooks.transport import HttpWebhookTransport  # noqa: PLC0415

    return HttpWebhookTransport(SystemResolver(), now, settings.webhooks_allowed)


def _health_check(settings: Settings, engine: AsyncEngine) -> Callable[[], Awaitable[Sequence[ServerHealth]]]:
    # Imported here, because most commands don't ask the servers how they are.
    from entrypoints.doctor import examine  # noqa: PLC0415

    return partial(examine, settings, engine)


# Expired orders are looked for ten times within the time to pay, but neither more nor less often than this. So an order
# expires at most a tenth of its time late.
_LOOKS_WITHIN: Final = 10
_LOOK_OFTEN: Final = timedelta(seconds=0.2)
_LOOK_SELDOM: Final = timedelta(seconds=30)


def _limits(settings: Settings) -> Limits:
    return Limits(
        intake=settings.intake,
        batch_max=settings.batch_max,
        batches_in_flight=_batches_in_flight(settings),
        longest_wait=settings.waiting_max.total_seconds(),
        consumer_batch_max=settings.batch_max,
        max_charges=settings.max_charges,
        charge_timeout=settings.charge_timeout.total_seconds(),
        order_expiry=settings.order_expiry,
        expiry_look=max(_LOOK_OFTEN, min(settings.order_expiry / _LOOKS_WITHIN, _LOOK_SELDOM)),
        stuck_after=settings.stuck_after,
        key_retention=settings.key_retention,
        simulated_work=settings.simulated_work,
        feed_retention=settings.feed_retention,
        followers_max=settings.max_streams,
        job_retention=settings.job_retention,
        export_retention=settings.export_retention,
        webhooks_allowed=settings.webhooks_allowed,
        allow_reset=settings.allow_reset,
        namespace=settings.namespace,
    )


def _batches_in_flight(settings: Settings) -> int:
    # Without batching, each connection may have one transaction in flight.
    if settings.batch_max == 1:
        return settings.pool_size
    # SQLite has one writer: a second batch would only wait for the first. Its calls are better off in one larger batch
    # after it.
    return settings.batches_in_flight if settings.database_url else 1


def _relay_name(settings: Settings) -> str:
    # Each relay holds the lease on the outbox under its own name. On SQLite there is one relay, and it continues the
    # lease of the process before it. The name of the machine is there for people who read it.
    return f"{gethostname()[:100]}:{os.getpid()} {uuid7()}" if settings.database_url else "up"


def _where_caches_are(settings: Settings) -> str:
    if settings.cache_disabled:
        return "nowhere"
    if settings.redis_url:
        return "redis"
    # Other processes may write to the same server, and can't invalidate a cache in this one.
    return "nowhere" if settings.database_url else "memory"


async def _forget_caches(
    recent: RecentOrders, queued_here: RecentOrders, catalogue: CatalogueCache, keep: KeepCachesToDatabase
) -> None:
    for orders in (recent, queued_here):
        if isinstance(orders, MemoryRecentOrders):
            orders.clear()
    await catalogue.begin_epoch()
    # Emptied tables count as another database: what is shared is invalidated.
    await keep()


class Container(containers.DeclarativeContainer):
    """Decides which adapter stands behind which port. The programs open the connections and pass them in."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    engine: providers.Dependency[AsyncEngine] = providers.Dependency(instance_of=AsyncEngine)
    outbox_signal: providers.Dependency[OutboxSignal] = providers.Dependency()
    # None where no Redis is configured.
    redis: providers.Dependency["GuardedRedis | None"] = providers.Dependency()
    broker: providers.Dependency[Broker] = providers.Dependency(instance_of=Broker)
    provider: providers.Dependency[Provider] = providers.Dependency(instance_of=Provider)

    now: providers.Provider[Clock] = providers.Object(_now)
    new_id: providers.Provider[NewId] = providers.Object(uuid7)
    new_secret: providers.Provider[NewSecret] = providers.Object(_new_secret)
    _where_caches_are = providers.Callable(_where_caches_are, settings)
    recent_orders: providers.Provider[RecentOrders] = providers.Selector(
        _where_caches_are,
        redis=providers.Singleton(_recent_orders_in_redis, redis, settings),
        memory=providers.Singleton(MemoryRecentOrders),
        nowhere=providers.Singleton(NoRecentOrders),
    )
    catalogue_cache: providers.Provider[CatalogueCache] = providers.Selector(
        _where_caches_are,
        redis=providers.Singleton(_catalogue_in_redis, redis, settings.provided.namespace),
        memory=providers.Singleton(MemoryCatalogueCache),
        nowhere=providers.Singleton(NoCatalogueCache),
    )
    stock_cache: providers.Provider[StockCache] = providers.Selector(
        _where_caches_are,
        redis=providers.Singleton(_stock_in_redis, redis, settings.provided.namespace),
        memory=providers.Singleton(MemoryStockCache),
        nowhere=providers.Singleton(NoStockCache),
    )
    carts: providers.Provider[Carts] = providers.Selector(
        providers.Callable(_where_carts_are, settings),
        redis=providers.Singleton(_carts_in_redis, redis, settings.provided.namespace),
        memory=providers.Singleton(MemoryCarts),
        nowhere=providers.Singleton(NoCarts),
    )
    queued_here: providers.Provider[RecentOrders] = providers.Singleton(MemoryRecentOrders)
    accepted_changes: providers.Provider[AcceptedChanges] = providers.Selector(
        providers.Callable(lambda settings: "redis" if settings.redis_url else "memory", settings),
        redis=providers.Singleton(_accepted_changes_in_redis, redis, settings),
        memory=providers.Singleton(MemoryAcceptedChanges, ttl=providers.Callable(_ttl_of_accepted_changes, settings)),
    )
    price_list: providers.Provider[PriceList] = providers.Singleton(MemoryPriceList)
    last_heartbeat: providers.Provider[LastHeartbeat] = providers.Selector(
        providers.Callable(lambda settings: "redis" if settings.redis_url else "nowhere", settings),
        redis=providers.Singleton(_last_heartbeat_in_redis, redis, settings.provided.namespace),
        nowhere=providers.Singleton(NoLastHeartbeat),
    )
    heartbeats: providers.Provider[SqlHeartbeats] = providers.Factory(SqlHeartbeats, engine)
    unit_of_work: providers.Provider[Callable[[AfterCommit], UnitOfWork]] = providers.Factory(
        partial, SqlUnitOfWork, engine
    )
    intake_queue: providers.Provider[IntakeQueue] = providers.Factory(
        PublishedIntake, broker.provided.publisher, broker.provided.intake_is_empty
    )

    cache_fence: providers.Provider[CacheFence] = providers.Selector(
        _where_caches_are,
        redis=providers.Singleton(_cache_fence, engine, redis, settings.provided.namespace),
        memory=providers.Singleton(NoCacheFence),
        nowhere=providers.Singleton(NoCacheFence),
    )
    cache_owners: providers.Provider[Sequence[CacheOwner]] = providers.Selector(
        _where_caches_are,
        redis=providers.List(
            providers.Factory(_cache_owner_in_redis, redis, settings.provided.namespace),
            providers.Singleton(MemoryCacheOwner, queued_here),
        ),
        # Caches in memory end with this process, and no other one uses its data folder: there is nothing to check.
        memory=providers.List(),
        nowhere=providers.List(providers.Singleton(MemoryCacheOwner, queued_here)),
    )
    keep_caches: providers.Provider[KeepCachesToDatabase] = providers.Factory(
        KeepCachesToDatabase, providers.Factory(SqlDatabaseMarks, engine), cache_owners
    )

    rate_limiter: providers.Provider[RateLimiter] = providers.Selector(
        providers.Callable(lambda settings: "redis" if settings.redis_url else "memory", settings),
        redis=providers.Singleton(_rate_limiter_in_redis, redis, settings),
        memory=providers.Singleton(MemoryRateLimiter, settings.provided.quotas),
    )

    relay_name: providers.Provider[str] = providers.Singleton(_relay_name, settings)
    telemetry: providers.Provider[Telemetry] = providers.Singleton(_telemetry, settings)
    # None if nothing is traced.
    tracer: providers.Provider[Tracer | None] = providers.Object(None)

    webhook_transport: providers.Provider[WebhookTransport] = providers.Singleton(
        DeferredTransport, providers.Callable(partial, _webhook_transport, settings, now)
    )

    provider_calls: providers.Provider[ProviderCalls] = providers.Singleton(ProviderCalls, now)
    ports: providers.Provider[Ports] = providers.Factory(
        Ports,
        unit_of_work=unit_of_work,
        recent_orders=recent_orders,
        queued_here=queued_here,
        accepted_changes=accepted_changes,
        catalogue_cache=catalogue_cache,
        stock_cache=stock_cache,
        carts=carts,
        cache_fence=cache_fence,
        price_list=price_list,
        outbox_signal=outbox_signal,
        feed_signal=providers.Singleton(MemoryOutboxSignal),
        publisher=broker.provided.publisher,
        intake_queue=intake_queue,
        subscription=broker.provided.subscription,
        dead_letter_queue=broker.provided.dead_letter_queue,
        provider=provider.provided.gateway,
        provider_ledger=provider.provided.ledger,
        provider_calls=provider_calls,
        reset_data=providers.Factory(SqlResetData, engine),
        empty_queues=broker.provided.empty,
        forget_caches=providers.Callable(
            partial, _forget_caches, recent_orders, queued_here, catalogue_cache, keep_caches
        ),
        row_writers=providers.Object(WRITERS),
        row_parsers=providers.Object(PARSERS),
        webhook_transport=webhook_transport,
        webhook_messages=providers.Factory(SignedMessages, settings.provided.signing_keys),
        telemetry=telemetry,
        tracer=tracer,
        now=now,
        new_id=new_id,
        new_secret=new_secret,
        order_log=providers.Object(log_changes),
        relay_log=providers.Object(log_relayed),
        relay_name=relay_name,
        overview=providers.Factory(SqlOverview, engine),
        queues=broker.provided.queues,
    )
    limits: providers.Provider[Limits] = providers.Callable(_limits, settings)
    use_cases: providers.Provider[UseCases] = providers.Singleton(assemble, ports, limits)
    check_health: providers.Provider[Callable[[], Awaitable[Sequence[ServerHealth]]]] = providers.Factory(
        _health_check, settings, engine
    )
