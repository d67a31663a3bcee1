"""Ready means able: what is missing is named, and strangers hear no more than that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiormq
import pytest
from attrs import evolve
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.probe import BrokerProbe
from adapters.rabbitmq.topology import Topology
from adapters.redis.client import open_redis
from adapters.sql.health import NEEDED, expect_writable
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.migrate import migrate
from adapters.sql.revisions import revisions
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Unavailable
from application.execution.idempotency import Keyed
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from application.messaging.by_order import ByOrder
from application.messaging.subscriptions import WORK_QUEUES
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.request_payment import RequestPayment
from application.ports.idempotency import IdempotencyKey
from domain.ids import ProductId, UserId
from domain.orders.events import PaymentRequested
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.heartbeat import RELAY, WORKER
from entrypoints.readiness import open_readiness
from entrypoints.room import expect_room
from entrypoints.settings import Settings
from tests.brokers import own_topology
from tests.engines import engine_on
from tests.service import until
from tests.unit.builders import NOW, a_product
from tests.unit.provider import Provider

CONSUMERS = {f"consumer of {work.name}" for work in WORK_QUEUES}


@pytest.fixture(params=["sqlite", "postgres"])
async def database(
    request: pytest.FixtureRequest, new_database: Callable[[], str], tmp_path: Path
) -> AsyncIterator[tuple[Settings, AsyncEngine]]:
    """Settings of a shop whose database is migrated, with a worker and a relay at work."""
    url = new_database() if request.param == "postgres" else ""
    settings = Settings(data=tmp_path, database_url=url)
    async with engine_on(url or f"sqlite:///{settings.database_file}") as engine:
        await migrate(engine)
        for kind in (WORKER, RELAY):
            await SqlHeartbeats(engine).beat(kind, "here:1")
        yield settings, engine


async def test_it_is_ready_when_all_is_there(database: tuple[Settings, AsyncEngine]) -> None:
    async with open_readiness(database[0], None) as check:
        found = await check()
    assert (found.orders, found.payments, found.missing) == (True, True, ())


@pytest.mark.parametrize("kind", [WORKER, RELAY])
async def test_who_is_missing_is_named_and_orders_are_still_taken(
    database: tuple[Settings, AsyncEngine], kind: str
) -> None:
    settings, engine = database
    await SqlHeartbeats(engine).end(kind, "here:1")
    async with open_readiness(settings, None) as check:
        found = await check()
    assert (found.orders, found.payments, found.missing) == (True, False, (kind,))


async def test_tables_of_an_older_version_are_not_ready(database: tuple[Settings, AsyncEngine]) -> None:
    settings, engine = database
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(Unavailable, match=f"needs {revisions()[-1]}"):
        await expect_writable(engine)
    async with open_readiness(settings, None) as check:
        assert not (await check()).orders


async def test_a_check_leaves_nothing_behind(database: tuple[Settings, AsyncEngine]) -> None:
    settings, engine = database
    async with open_readiness(settings, None) as check:
        await check()
    assert {each.kind for each in await SqlHeartbeats(engine).all()} == {WORKER, RELAY}


async def test_a_full_disk_is_noticed(database: tuple[Settings, AsyncEngine]) -> None:
    settings, engine = database
    # Twice over each of two connections at once: nothing is left, and none waits for another.
    await asyncio.gather(*(expect_room(settings, engine) for _ in range(4)))
    with pytest.raises(Unavailable, match="disk of /proc is full"):
        await expect_room(Settings(data=Path("/proc")), engine)


async def test_a_user_without_the_right_to_temporary_tables_needs_none(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, database_url=new_database())
    async with engine_on(settings.database_url) as engine, engine.begin() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        await connection.execute(text(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC'))
        await connection.execute(text(f'ALTER DATABASE "{name}" SET role = pg_monitor'))
    async with engine_on(settings.database_url) as engine:
        await expect_room(settings, engine)


async def test_a_database_that_only_reads_is_not_ready(new_database: Callable[[], str], tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url=new_database())
    async with engine_on(settings.database_url) as engine:
        await migrate(engine)
        async with engine.begin() as connection:
            name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
            await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    async with open_readiness(settings, None) as check:
        found = await check()
    assert (found.orders, "database" in found.missing) == (False, True)


@asynccontextmanager
async def as_a_user(url: str, *rights: str) -> AsyncIterator[None]:
    """Let whoever connects be a user with these rights. `{user}` is its name."""
    async with engine_on(url) as engine:
        await migrate(engine)
        async with engine.begin() as connection:
            name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
            for statement in (
                'CREATE ROLE "{user}"',
                *rights,
                'ALTER DATABASE "{user}" SET role = "{user}"',
            ):
                await connection.execute(text(statement.replace("{user}", name)))
    try:
        yield
    finally:
        async with engine_on(url) as engine, engine.begin() as connection:
            for statement in ("SET ROLE NONE", f'DROP OWNED BY "{name}"', f'ALTER DATABASE "{name}" RESET role'):
                await connection.execute(text(statement))
            await connection.execute(text(f'DROP ROLE "{name}"'))


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("INSERT ON orders", "INSERT on orders"),
        ("UPDATE ON products", "UPDATE on products"),
        ("DELETE ON outbox", "DELETE on outbox"),
        ("INSERT ON feed_queue", "INSERT on feed_queue"),
        ("INSERT ON api_keys", None),
    ],
)
async def test_a_user_without_a_right_that_orders_need_is_not_ready(
    new_database: Callable[[], str], tmp_path: Path, taken: str, told: str | None
) -> None:
    settings = Settings(data=tmp_path, database_url=new_database())
    all_others = ('GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"', f'REVOKE {taken} FROM "{{user}}"')
    async with as_a_user(settings.database_url, *all_others):
        async with open_readiness(settings, None) as check:
            found = await check()
        assert (found.orders, "database" in found.missing) == ((False, True) if told else (True, False))
        async with engine_on(settings.database_url) as engine:
            if told:
                with pytest.raises(Unavailable, match=told):
                    await expect_writable(engine)


async def test_the_rights_that_are_asked_for_are_those_that_orders_and_payments_need(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    rights = [f'GRANT {", ".join(each.split())} ON {table} TO "{{user}}"' for table, each in NEEDED.items()]
    async with engine_on(url) as engine:
        await migrate(engine)
        async with SqlUnitOfWork(engine)() as tx:
            await tx.products.add_many([a_product(stock=5)])
    async with as_a_user(url, *rights), engine_on(url) as engine:
        unit_of_work, provider, key = SqlUnitOfWork(engine), Provider(), IdempotencyKey("a customer", "monday")
        asked = Keyed(OrderRequest(UserId(1), (RequestedItem(ProductId(1), 2),)), key, "")
        [order] = await PlaceOrder(unit_of_work)([NumberRequests(uuid7, lambda: NOW)(asked)])
        assert isinstance(order, Order)
        await RequestPayment(unit_of_work, lambda: NOW)([Keyed(order.id, evolve(key, scope="an order"), "")])
        paying = ProviderPipeline(ProcessPayment(unit_of_work, provider, lambda: NOW))
        async with unit_of_work.reading() as tx:
            requested = [each for each in await tx.events.of_orders({order.id}) if isinstance(each, PaymentRequested)]
        await ByOrder(paying.until_done)(requested)
        async with unit_of_work.reading() as tx:
            assert (await tx.orders.get_many({order.id}))[order.id].status is OrderStatus.PAID
        assert provider.taken == order.total.minor


async def test_a_missing_table_is_not_ready(database: tuple[Settings, AsyncEngine]) -> None:
    settings, engine = database
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE order_items RENAME TO taken_away"))
    async with open_readiness(settings, None) as check:
        found = await check()
    assert (found.orders, found.missing) == (False, ("database",))


async def test_a_database_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url="postgresql://ana:hidden@127.0.0.1:1/shop")
    async with open_readiness(settings, None) as check:
        found = await check()
    assert (found.orders, found.missing) == (False, ("database",))


async def test_checks_open_no_new_connections(new_database: Callable[[], str], tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url=new_database())
    async with engine_on(settings.database_url) as engine, open_readiness(settings, None) as check:
        await migrate(engine)
        answers = [await check()]

        async def one_is_open() -> bool:
            # Beside the one that counts. Those that migrated close in a moment.
            return len(await clients(engine)) == 2

        async def checked_twice_more() -> bool:
            # An answer is repeated for a second. Each new one is an object of its own.
            answers.extend(await asyncio.gather(*(check() for _ in range(300))))
            return len({id(answer) for answer in answers}) >= 3

        async def the_same_are_open() -> bool:
            # A statement without a reply is looked after over another connection, which is closed at once.
            return await clients(engine) == before

        await until(one_is_open, seconds=60, what="the check has one connection")
        before = await clients(engine)
        await until(checked_twice_more, seconds=60, what="the database was tested twice more")
        await until(the_same_are_open, seconds=60, what="the same connections are open")


async def clients(engine: AsyncEngine) -> set[int]:
    """Who is connected to the database, apart from the server's own processes, such as autovacuum's."""
    pids = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    async with engine.connect() as connection:
        return set((await connection.execute(pids)).scalars())


# A port on which nothing listens.
GONE = {
    "database": {"database_url": "postgresql://postgres@127.0.0.1:1/shop"},
    "cache": {"redis_url": "redis://127.0.0.1:1/0"},
    "broker": {"amqp_url": "amqp://guest:guest@127.0.0.1:1/"},
}


@pytest.fixture
def urls(new_database: Callable[[], str], redis_url: str, amqp_url: str) -> dict[str, Any]:
    return {"database_url": new_database(), "redis_url": redis_url, "amqp_url": amqp_url}


@pytest.mark.parametrize(
    ("intake", "gone", "orders"),
    [
        ("direct", (), "taken"),
        ("direct", ("database",), "refused"),
        ("direct", ("broker", "cache"), "taken"),
        ("auto", ("database",), "taken"),
        ("auto", ("broker",), "taken"),
        ("queued", ("database", "cache"), "taken"),
        ("auto", ("database", "broker"), "refused"),
        ("queued", ("database", "broker"), "refused"),
    ],
)
async def test_it_is_ready_while_an_order_can_be_made_durable(
    urls: dict[str, Any], amqp_url: str, intake: str, gone: tuple[str, ...], orders: str
) -> None:
    for server in gone:
        urls |= GONE[server]
    async with own_topology(amqp_url) as topology, open_redis(urls["redis_url"]) as redis:
        settings = Settings(**urls, intake=intake, namespace=topology.namespace)
        if "database" not in gone:
            async with engine_on(settings.database_url) as engine:
                await migrate(engine)
        async with open_readiness(settings, redis) as check:
            found = await check()
    assert (found.orders, found.payments) == (orders == "taken", False)
    assert set(GONE) & set(found.missing) == set(gone)


async def probed(url: str, topology: Topology) -> set[str]:
    probe = BrokerProbe(url, topology)
    try:
        return set(await probe.check())
    finally:
        await probe.close()


async def test_queues_without_consumers_are_named(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology:
        assert await probed(amqp_url, topology) == CONSUMERS


async def test_a_queue_that_is_missing_or_of_another_kind_is_named_and_not_made(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology:
        connection = await BrokerConnection.open(amqp_url, name="test", timeouts=Timeouts())
        channel = await connection.underlay_channel()
        await channel.queue_delete(topology.queue("payments"))
        await channel.queue_delete(topology.queue("refunds"))
        await channel.queue_declare(topology.queue("refunds"), durable=True, arguments={"x-queue-type": "classic"})
        probe = BrokerProbe(amqp_url, topology)
        for _ in range(2):
            assert set(await probe.check()) == {"queue payments", "queue refunds", "consumer of intake"}
        await probe.close()
        with pytest.raises(aiormq.ChannelNotFoundEntity):
            await (await connection.underlay_channel()).queue_declare(topology.queue("payments"), passive=True)
        await connection.close()


async def test_a_broker_that_is_not_there_is_tried_seldom() -> None:
    probe = BrokerProbe("amqp://guest:guest@127.0.0.1:1/", Topology("shop"))
    for _ in range(100):
        with pytest.raises(Unavailable, match="can't be reached"):
            await probe.check()
