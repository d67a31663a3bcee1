"""What is opened when a program starts, and closed when it ends, in the opposite order."""

import asyncio
import fcntl
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.broker import MemoryBroker
from adapters.memory.signal import MemoryOutboxSignal
from adapters.payments.simulated.ledger import open_file_ledger
from adapters.rabbitmq.dead_letters import open_dead_letters
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.subscription import open_subscription
from adapters.rabbitmq.topology import Topology, declare_topology
from adapters.redis.client import open_redis
from adapters.sql.core.engine import LOCK_TIMEOUT, create_engine, sqlite_url
from adapters.sql.signal import open_outbox_signal
from application.messaging.subscriptions import WORK_QUEUES
from entrypoints.container import Container
from entrypoints.doctor import examine
from entrypoints.loops import repeat
from entrypoints.settings import InvalidSettings, Settings


class NotReady(Exception):
    """A program can't start; the message says what to do first."""


# Seconds that the database has to see its connections off.
_CLOSE_TIMEOUT: Final = 2.0
# Seconds between declarations: so long can a queue be missing that somebody deleted.
_DECLARE_EVERY: Final = 15.0


@asynccontextmanager
async def open_container(settings: Settings, *, lock_timeout: float = LOCK_TIMEOUT) -> AsyncGenerator[Container, None]:
    """The database and the caches: what every program needs."""
    async with AsyncExitStack() as stack:
        if not settings.database_url:
            _make_folder(settings.data)
        try:
            engine = create_engine(
                settings.database_url or sqlite_url(settings.database_file),
                pool_size=settings.pool_size,
                lock_timeout=lock_timeout,
            )
        except ValueError as error:
            raise InvalidSettings(f"DATABASE_URL: {error}") from None
        stack.push_async_callback(_dispose, engine)
        container = Container(settings=settings, engine=engine, check_health=partial(examine, settings, engine))
        signal = open_outbox_signal(engine, in_process=MemoryOutboxSignal())
        container.signal.override(await stack.enter_async_context(signal))
        if settings.redis_url:
            container.redis.override(await stack.enter_async_context(open_redis(settings.redis_url)))
        yield container


async def _dispose(engine: AsyncEngine) -> None:
    # A server that has fallen silent would never hear the farewell.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await engine.dispose()


@asynccontextmanager
async def open_books(container: Container) -> AsyncGenerator[None, None]:
    """The provider's books: what is needed to charge, to refund, and to compare."""
    path = container.settings().ledger
    _make_folder(path.parent)
    async with open_file_ledger(path) as ledger:
        container.ledger.override(ledger)
        yield


@asynccontextmanager
async def open_broker(container: Container, *, publishing: bool, consuming: bool) -> AsyncGenerator[None, None]:
    """The way to the broker, and the way from it with the provider's books, which a worker needs."""
    settings = container.settings()
    queues = (
        ("payments", container.payment_queue, container.dead_payments),
        ("refunds", container.refund_queue, container.dead_refunds),
        ("intake", container.intake_queue, container.dead_intake),
    )
    async with AsyncExitStack() as stack:
        if consuming:
            await stack.enter_async_context(open_books(container))
        if not settings.amqp_url:
            broker = MemoryBroker()
            container.publisher.override(broker)
            for consumer, queue, dead in queues:
                own = broker.queue(next(work for work in WORK_QUEUES if work.name == consumer))
                queue.override(own)
                dead.override(own.dead_letters)
        else:
            topology = Topology(settings.namespace)
            await stack.enter_async_context(_declared(settings.amqp_url, topology))
            if publishing:
                publisher = open_publisher(settings.amqp_url, topology)
                container.publisher.override(await stack.enter_async_context(publisher))
            if consuming:
                for consumer, queue, dead in queues:
                    opened = open_subscription(settings.amqp_url, topology, consumer)
                    queue.override(await stack.enter_async_context(opened))
                    letters = open_dead_letters(settings.amqp_url, topology, consumer)
                    dead.override(await stack.enter_async_context(letters))
        yield


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{folder} can't be the data folder: {error.strerror}; name another one with --data") from None


@contextmanager
def only_one(settings: Settings) -> Generator[None, None, None]:
    """Keep the data folder for this process, whose caches know nothing of what another writes. Raise `NotReady`.

    The lock ends with the process, however it ends.
    """
    _make_folder(settings.data)
    with (settings.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady(
                f"{settings.data} is in use by another `holdfast up`: stop that one, or name another folder with --data"
            ) from None
        yield


@asynccontextmanager
async def _declared(url: str, topology: Topology) -> AsyncGenerator[None, None]:
    """Keep the topology as it should be, whoever deletes a queue meanwhile, and whenever the broker comes."""
    stop = asyncio.Event()

    async def declare() -> float:
        await declare_topology(url, topology)
        return _DECLARE_EVERY

    declaring = asyncio.create_task(repeat(declare, stop, name="topology"))
    try:
        yield
    finally:
        stop.set()
        declaring.cancel()
        await asyncio.gather(declaring, return_exceptions=True)
