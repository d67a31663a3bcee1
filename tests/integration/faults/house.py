"""The shop that faults are tried on, and another consumer that receives every event."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

import asyncpg
from aiormq.abc import DeliveredMessage
from attrs import define, field

from adapters.codecs.cloud_events import AMQP_PREFIX
from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.topology import Topology
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from domain.catalogue.product import Product
from domain.ids import OrderId
from domain.money import Money
from tests.brokers import channel
from tests.cables import Cable, cable
from tests.engines import engine_on
from tests.servers import PostgresServer, Process, RabbitServer, RedisServer, free_port
from tests.servers.process import make_folder, remove_folder
from tests.service import Service

# Seconds that a request may take, as it is set here; each reply has to come by then, and a little.
DEADLINE: Final = 5.0
SETTINGS: Final[Mapping[str, str]] = {
    "HOLDFAST_REQUEST_TIMEOUT": f"{DEADLINE:g}s",
    # Long enough that a clock that is an hour fast does not expire all orders.
    "HOLDFAST_ORDER_EXPIRY": "3h",
    "HOLDFAST_GATEWAY_DELAY": "1ms-20ms",
    "HOLDFAST_GATEWAY_DECLINE_RATE": "0.05",
}
PROCESSES: Final = ("api", "worker", "relay")
# The first product is in every order, and the last has too few units.
STOCKS: Final = (1_000_000, 1_000_000, 1_000_000, 200)
EAR: Final = "stranger"


@define(eq=False)
class FeedReader:
    """What a reader of the feed has kept, and where it goes on."""

    name: str
    kept: list[dict[str, Any]] = field(factory=list)
    refused: Counter[str] = field(factory=Counter)

    @property
    def position(self) -> int:
        return int(self.kept[-1]["position"]) if self.kept else 0

    def take(self, event: dict[str, Any]) -> None:
        self.kept.append(event)


@define(kw_only=True, eq=False)
class Shop:
    """What clients, readers and checks need of the service, wherever it runs."""

    service: Service
    products: list[int] = field(factory=list)
    customers: Iterator[int] = field(factory=lambda: count(1))
    heard: defaultdict[OrderId, list[int]] = field(factory=lambda: defaultdict(list))
    """The sequence numbers of each order's events, in the order of arrival, with duplicates."""
    readers: list[FeedReader] = field(factory=list)
    api_urls: list[str] = field(init=False)
    """Where readers of the feed may ask."""
    client_urls: list[str] = field(init=False)
    """Where clients send their requests, any of these each time."""

    def __attrs_post_init__(self) -> None:
        self.api_urls = [self.service.url]
        self.client_urls = [self.service.url]

    @property
    def topology(self) -> Topology:
        return Topology()

    @property
    def postgres_url(self) -> str:
        """As it is seen from outside the service, whatever is broken for that."""
        raise NotImplementedError

    @property
    def rabbitmq_url(self) -> str:
        raise NotImplementedError

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[Any]:
        """A connection to the server from outside the service, without what breaks the way of the service."""
        connection = await asyncpg.connect(
            self.postgres_url,
            timeout=10,
            server_settings={"application_name": EAR},
        )
        try:
            yield connection
        finally:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=2)

    async def waiting(self) -> int:
        """The amount of work left: events in the outbox or put off, open jobs, and orders that wait for a worker."""
        async with self.sql() as connection:
            found: int = await connection.fetchval(
                "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM announcements)"
                " + (SELECT count(*) FROM waiting_work) + (SELECT count(*) FROM feed_queue)"
                " + (SELECT count(*) FROM jobs WHERE finished_at IS NULL)"
                " + (SELECT count(*) FROM orders WHERE status = 'PROCESSING'"
                " OR (refund_requested AND status <> 'REFUNDED'))"
            )
        return found

    async def unrecorded(self, told: Collection[UUID]) -> int:
        """How many of these orders are not in the database yet."""
        async with self.sql() as connection:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM unnest($1::uuid[]) AS told (id) WHERE id NOT IN (SELECT id FROM orders)",
                list(told),
            )
        return found

    async def listen(self) -> None:
        """Read the events that have arrived in the other consumer's queue."""
        async with channel(self.rabbitmq_url) as open_channel, asyncio.timeout(30):
            declared = await open_channel.queue_declare(EAR, passive=True)
            left = declared.message_count or 0
            arrived = asyncio.Event()

            async def hear(message: DeliveredMessage) -> None:
                nonlocal left
                told = message.header.properties.headers or {}
                order_id, sequence = (str(told[f"{AMQP_PREFIX}{name}"]) for name in ("subject", "sequence"))
                self.heard[OrderId(UUID(order_id))].append(int(sequence))
                await open_channel.basic_ack(message.delivery_tag or 0)
                left -= 1
                if left <= 0:
                    arrived.set()

            if left:
                await open_channel.basic_qos(prefetch_count=left)
                await open_channel.basic_consume(EAR, hear)
                await arrived.wait()

    async def fill(self) -> None:
        """Make the tables, the queues, the products, and the queue of another consumer that receives every event."""
        await asyncio.to_thread(self.service.run, "migrate")
        await declare_topology(self.rabbitmq_url, self.topology)
        async with channel(self.rabbitmq_url) as open_channel:
            await open_channel.queue_declare(EAR, durable=True, arguments={"x-queue-type": "quorum"})
            await open_channel.queue_bind(EAR, self.topology.exchange, routing_key="#")
        wanted = [NewProduct(name="Fountain pen", price=Money(1250, "EUR"), stock=stock) for stock in STOCKS]
        async with engine_on(self.postgres_url) as engine:
            add = AddProducts(SqlUnitOfWork(engine), lambda: datetime.now(UTC))
            added = await add(the_system("tests"), wanted)
        self.products = [product.id for product in added if isinstance(product, Product)]


@define(kw_only=True, eq=False)
class House(Shop):
    """The service on private servers, each behind a cable."""

    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitServer
    to_postgres: Cable
    to_redis: Cable
    to_rabbitmq: Cable
    changed: set[str] = field(factory=set)
    """Processes that run with special settings."""

    @property
    def postgres_url(self) -> str:
        return self.postgres.url

    @property
    def rabbitmq_url(self) -> str:
        return self.rabbitmq.url

    async def start(self, *names: str, **settings: str) -> None:
        """Processes, with these settings besides those of all others; one that runs is started anew."""
        kept = dict(self.service.settings)
        self.service.settings.update(settings)
        try:
            for name in names:
                await self.kill(name)
                self.service.start(name.partition("-")[0], name=name)
                self.changed |= {name} if settings else set()
        finally:
            self.service.settings = kept
        if any(name.startswith("api") for name in names):
            await self.ready()

    async def ready(self) -> None:
        await asyncio.to_thread(self.service.wait_until_ready)

    async def kill(self, *names: str) -> None:
        for name in names:
            self.changed.discard(name)
            process = self.service.processes.pop(name, None)
            if process is not None:
                await asyncio.to_thread(process.kill)

    def process(self, name: str) -> Process:
        return self.service.processes[name]


@asynccontextmanager
async def open_house(*, kind: type[Service] = Service) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        postgres = PostgresServer(settings={"max_connections": "60", "deadlock_timeout": "100ms"})
        redis, rabbitmq = RedisServer(), RabbitServer()
        servers = (postgres, redis, rabbitmq)
        for server in servers:
            stack.push_async_callback(asyncio.to_thread, server.close)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        cables = [await stack.enter_async_context(cable(server.url)) for server in servers]
        to_postgres, to_redis, to_rabbitmq = cables
        folder = make_folder("faults")
        stack.push_async_callback(asyncio.to_thread, remove_folder, folder)
        urls = {"DATABASE_URL": to_postgres.url, "REDIS_URL": to_redis.url, "AMQP_URL": to_rabbitmq.url}
        service = kind(folder=folder, settings={**urls, **SETTINGS}, port=free_port())
        stack.push_async_callback(asyncio.to_thread, service.kill)
        house = House(
            postgres=postgres,
            redis=redis,
            rabbitmq=rabbitmq,
            to_postgres=to_postgres,
            to_redis=to_redis,
            to_rabbitmq=to_rabbitmq,
            service=service,
        )
        await house.fill()
        await asyncio.to_thread(service.start_all, PROCESSES)
        yield house
