"""Payment requests that wait for a worker, in the real queue."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Final

from aio_pika.abc import AbstractQueue
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.topology import Topology
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Unavailable
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.place_order import PlaceOrder
from application.payments.request_payment import RequestPayment
from application.ports.outbox import OutboxEntry
from bench.shops import PRODUCTS, Say
from domain.ids import ProductId, UserId
from domain.orders.events import PaymentRequested
from domain.orders.order import Order

# So many that making the orders takes less time than publishing the requests.
REQUESTS_OF_AN_ORDER: Final = 20
_PLACED_AT_ONCE: Final = 500
_CONFIRMED_AT_ONCE: Final = 1_000
_TIMEOUT: Final = Timeouts(confirm=60.0)

# The messages that wait in a queue, without unacked ones, and the number of its consumers.
Count = Callable[[str], Awaitable[tuple[int, int]]]


async def pile_up(engine: AsyncEngine, url: str, topology: Topology, *, count: int, say: Say) -> None:
    """Publish payment requests as the relay does, of real orders, chosen at random."""
    requests = await _request_payments(engine, max(1, count // REQUESTS_OF_AN_ORDER), say)
    chance = Random(count)  # noqa: S311 - the same each time
    async with open_publisher(url, topology, timeouts=_TIMEOUT) as publisher:
        for begin in range(0, count, _CONFIRMED_AT_ONCE):
            say(f"publishing: {begin:,} of {count:,} messages")
            chosen = chance.choices(requests, k=min(_CONFIRMED_AT_ONCE, count - begin))
            if len(await publisher.enqueue(chosen)) < len(chosen):
                raise Unavailable("RabbitMQ did not confirm every message")


@asynccontextmanager
async def open_counter(url: str) -> AsyncGenerator[Count, None]:
    connection = await BrokerConnection.open(url, name="bench", timeouts=_TIMEOUT)
    queues: dict[str, AbstractQueue] = {}

    async def count(name: str) -> tuple[int, int]:
        queue = queues[name] = queues.get(name) or await connection.queue(name)
        async with connection.talking(_TIMEOUT.answer):
            state = await queue.declare()
        return state.message_count or 0, state.consumer_count or 0

    try:
        yield count
    finally:
        await connection.close()


async def _request_payments(engine: AsyncEngine, count: int, say: Say) -> Sequence[OutboxEntry]:
    """Place orders and request their payment, and take their events out of the outbox."""
    unit_of_work, chance = SqlUnitOfWork(engine), Random(count)  # noqa: S311 - the same each time
    place, request = PlaceOrder(unit_of_work), RequestPayment(unit_of_work, _now)
    number = NumberRequests(uuid7, _now)
    requests: list[OutboxEntry] = []
    for begin in range(0, count, _PLACED_AT_ONCE):
        say(f"placing: {begin:,} of {count:,} orders")
        wanted = [
            OrderRequest(UserId(1), (RequestedItem(ProductId(chance.randint(1, PRODUCTS)), 1),))
            for _ in range(min(_PLACED_AT_ONCE, count - begin))
        ]
        placed = await place([number(each) for each in wanted])
        await request([order.id for order in placed if isinstance(order, Order)])
        async with unit_of_work() as tx:
            entries = await tx.outbox.page(after=None, limit=2 * _PLACED_AT_ONCE)
            await tx.outbox.remove(entries)
        requests += [entry for entry in entries if entry.type == PaymentRequested.type]
    return requests


def _now() -> datetime:
    return datetime.now(UTC)
