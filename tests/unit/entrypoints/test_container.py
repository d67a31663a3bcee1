from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints
from uuid import UUID

import pytest
from attrs import evolve

from adapters.memory.broker import MemoryBroker
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders
from adapters.memory.no_caches import NoCatalogueCache, NoRecentOrders
from adapters.memory.signal import MemoryOutboxSignal
from adapters.payments.simulated.file_ledger import FileLedger
from adapters.payments.simulated.gateway import SimulatedGateway
from adapters.payments.simulated.ledger import MemoryLedger
from adapters.redis.catalogue_cache import RedisCatalogueCache
from adapters.redis.client import GuardedRedis
from adapters.redis.recent_orders import RedisRecentOrders
from adapters.sql.core.engine import create_engine, sqlite_url
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.messaging.subscriptions import INTAKE, WORK_QUEUES
from application.ports.caching import DatabaseMark
from domain.ids import JobId, OrderId
from domain.orders.events import OrderChangeAccepted
from entrypoints.broker import Broker
from entrypoints.container import Container
from entrypoints.payment_providers import Provider
from entrypoints.settings import Settings
from tests.unit.builders import NOW, an_order


def a_container(settings: Settings) -> Container:
    """As the programs fill it; nothing is opened, since nothing is asked."""

    def connect(_: object) -> Any:
        raise AssertionError("nothing is asked of Redis here")

    broker = MemoryBroker()
    queues = {work: broker.queue(work) for work in WORK_QUEUES}
    dead_letter_queues = {work: queue.dead_letters for work, queue in queues.items()}
    gateway = SimulatedGateway(MemoryLedger())
    return Container(
        settings=settings,
        engine=create_engine(settings.database_url or sqlite_url(settings.database_file)),
        redis=GuardedRedis(connect, timeout=0.1, connect_timeout=2, retry_every=0.5) if settings.redis_url else None,
        outbox_signal=MemoryOutboxSignal(),
        broker=Broker(broker, broker, queues[INTAKE].is_empty, queues, dead_letter_queues, broker.empty),
        provider=Provider(gateway, gateway, FileLedger(settings.ledger)),
    )


@pytest.fixture(params=["in one process", "on servers", "without Redis", "on PostgreSQL alone"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "in one process":
        return Settings(data=tmp_path)
    alone = Settings(database_url="postgresql://shop@db/shop", data=tmp_path)
    if request.param == "on PostgreSQL alone":
        return alone
    without_redis = evolve(alone, amqp_url="amqp://shop@broker/")
    return without_redis if request.param == "without Redis" else evolve(without_redis, redis_url="redis://cache")


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    container = a_container(settings)
    yield container
    container.engine().sync_engine.dispose()


async def test_every_provider_can_be_built(container: Container, settings: Settings) -> None:
    # The keyword arguments of a factory are not checked before it is called.
    built = {name: provider() for name, provider in container.providers.items()}
    assert {"ports", "limits", "use_cases", "check_health"} <= built.keys()
    unset = {"tracer"} if settings.redis_url else {"redis", "tracer"}
    assert {name for name, made in built.items() if made is None} == unset


def test_the_defaults_of_the_settings_are_those_of_the_limits(container: Container, settings: Settings) -> None:
    """The tests and the simulation take the latter, and show what a shop does that sets nothing."""
    in_flight = Limits().batches_in_flight if settings.database_url else 1
    assert container.limits() == evolve(Limits(), batches_in_flight=in_flight)


async def test_behind_each_port_stands_what_has_its_methods(container: Container) -> None:
    made = container.ports()
    ports = {name: port for name, port in get_type_hints(Ports).items() if getattr(port, "_is_protocol", False)}
    missing = {
        f"{name}.{method}"
        for name, port in ports.items()
        for method in vars(port)
        if not method.startswith("_") and not callable(getattr(getattr(made, name), method, None))
    }
    assert len(ports) > 5
    assert missing == set()


def test_a_process_is_one_relay_by_whatever_it_is_asked(container: Container) -> None:
    """Its metrics ask for the lease under this name."""
    assert {container.relay_name(), container.relay_name()} == {container.ports().relay_name}


@pytest.mark.parametrize(("retention", "known"), [(timedelta(days=7), 1), (timedelta(0), 0)])
async def test_no_accepted_change_is_known_for_longer_than_its_job(retention: timedelta, known: int) -> None:
    """A later change would wait for it, and a repair would make it again."""
    container = a_container(Settings(job_retention=retention))
    changes, order_id = container.accepted_changes(), OrderId(UUID(int=1))
    change = OrderChangeAccepted(
        order_id=order_id, at=NOW, job_id=JobId(UUID(int=2)), asked='{"change":"cancel"}', signature=""
    )
    await changes.put_many([change])
    assert len(await changes.of_orders([order_id])) == known
    container.engine().sync_engine.dispose()


SERVER = "postgresql://shop@db/shop"


@pytest.mark.parametrize(
    ("settings", "orders", "pages"),
    [
        (Settings(), MemoryRecentOrders, MemoryCatalogueCache),
        (Settings(cache_disabled=True), NoRecentOrders, NoCatalogueCache),
        # A cache in one process would miss what others write to the same server.
        (Settings(database_url=SERVER), NoRecentOrders, NoCatalogueCache),
        (Settings(database_url=SERVER, amqp_url="amqp://broker/"), NoRecentOrders, NoCatalogueCache),
        (Settings(database_url=SERVER, redis_url="redis://cache"), RedisRecentOrders, RedisCatalogueCache),
    ],
    ids=["SQLite", "SQLite, disabled", "PostgreSQL", "PostgreSQL and RabbitMQ", "PostgreSQL and Redis"],
)
async def test_the_settings_decide_where_the_caches_are(settings: Settings, orders: type, pages: type) -> None:
    container = a_container(settings)
    assert isinstance(container.recent_orders(), orders)
    assert isinstance(container.catalogue_cache(), pages)
    container.engine().sync_engine.dispose()


@pytest.mark.parametrize("intake", ["direct", "auto"])
async def test_what_a_process_has_queued_itself_is_forgotten_with_its_database(intake: str) -> None:
    """Without Redis, too: an order that a restored database lacks must not be read from the process's own memory."""
    container = a_container(evolve(Settings(database_url=SERVER, amqp_url="amqp://broker/"), intake=intake))
    [owner] = container.cache_owners()
    earlier = DatabaseMark("a", 9)
    await owner.change(earlier, since=None)
    await container.queued_here().put_many([an_order()])
    await owner.change(DatabaseMark("a", 5), since=earlier)
    assert await container.queued_here().get_many([an_order().id]) == {}
    container.engine().sync_engine.dispose()


@pytest.mark.parametrize("intake", ["direct", "queued", "auto"])
def test_the_settings_decide_how_an_order_gets_in(settings: Settings, intake: str) -> None:
    assert a_container(evolve(settings, intake=intake)).limits().intake == intake


async def test_the_handlers_and_the_relay_share_one_cache(container: Container) -> None:
    assert container.ports().recent_orders is container.recent_orders()
    assert container.use_cases() is container.use_cases()


def test_nothing_is_shared_between_two_containers(tmp_path: Path) -> None:
    first, second = (a_container(Settings(data=tmp_path)) for _ in range(2))
    assert first.use_cases() is not second.use_cases()
    assert first.recent_orders() is not second.recent_orders()
