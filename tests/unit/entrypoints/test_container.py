from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters.memory.broker import MemoryBroker
from adapters.memory.caches import MemoryRecentOrders
from adapters.memory.signal import MemoryOutboxSignal
from adapters.payments.simulated.ledger import MemoryLedger
from adapters.redis.client import GuardedRedis
from adapters.redis.recent_orders import RedisRecentOrders
from adapters.sql.core.engine import create_engine, sqlite_url
from application.execution.batching import Batched
from application.intake.order_intake import AutoIntake, DirectIntake, QueuedIntake
from application.messaging.subscriptions import WORK_QUEUES
from entrypoints.container import Container
from entrypoints.settings import Settings


def a_container(settings: Settings) -> Container:
    """As the programs fill it; nothing is opened, since nothing is asked."""

    def connect(_: object) -> Any:
        raise AssertionError("nothing is asked of Redis here")

    broker = MemoryBroker()
    intake, payments, refunds = (broker.queue(work) for work in WORK_QUEUES)
    return Container(
        settings=settings,
        engine=create_engine(settings.database_url or sqlite_url(settings.database_file)),
        redis=GuardedRedis(connect, 0.1, 0.5),
        signal=MemoryOutboxSignal(),
        publisher=broker,
        intake_queue=intake,
        payment_queue=payments,
        refund_queue=refunds,
        dead_intake=intake.dead_letters,
        dead_payments=payments.dead_letters,
        dead_refunds=refunds.dead_letters,
        ledger=MemoryLedger(),
        check_health=list,
    )


@pytest.fixture(params=["in one process", "on servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "in one process":
        return Settings(data=tmp_path)
    return Settings(
        database_url="postgresql://shop@db/shop",
        redis_url="redis://cache",
        amqp_url="amqp://shop@broker/",
        data=tmp_path,
    )


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    container = a_container(settings)
    yield container
    container.engine().sync_engine.dispose()


async def test_every_provider_can_be_built(container: Container) -> None:
    # The keyword arguments of a factory are checked by nobody before it is called.
    built = {name: provider() for name, provider in container.providers.items()}
    assert {"place_order", "worker", "relay_events", "services"} <= built.keys()
    assert None not in built.values()


async def test_the_settings_decide_where_the_caches_are(container: Container, settings: Settings) -> None:
    expected = RedisRecentOrders if settings.redis_url else MemoryRecentOrders
    assert isinstance(container.recent_orders(), expected)


@pytest.mark.parametrize(
    ("intake", "expected"), [("direct", DirectIntake), ("queued", QueuedIntake), ("auto", AutoIntake)]
)
def test_the_settings_decide_how_an_order_gets_in(settings: Settings, intake: str, expected: type) -> None:
    container = a_container(evolve(settings, intake=intake))
    assert isinstance(container.place_order(), expected)
    # Whatever is still at work when the process ends is waited for.
    assert all(isinstance(use_case, Batched) for use_case in container.batched())


async def test_the_handlers_and_the_relay_share_one_cache(container: Container) -> None:
    assert container.recent_orders() is container.recent_orders()
    assert container.unit_of_work() is container.unit_of_work()


def test_nothing_is_shared_between_two_containers(tmp_path: Path) -> None:
    first, second = (a_container(Settings(data=tmp_path)) for _ in range(2))
    assert first.place_order() is first.place_order()
    assert first.place_order() is not second.place_order()
