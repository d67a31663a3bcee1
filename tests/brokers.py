"""What tests of the broker share: events to send, and a namespace of one's own in RabbitMQ."""

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp import commands

from adapters.codecs.events import encode
from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.topology import Topology
from adapters.rabbitmq.underlay import write
from application.ports.messaging import Delivery, Subscription
from application.ports.outbox import OutboxEntry
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.money import Money
from domain.orders.events import Event, OrderAccepted, OrderPaid, PaymentRequested, RefundRequested, event_id
from domain.orders.line import OrderLine
from tests.cables import PATIENCE

# Long enough for a busy machine, short enough for the tests that wait for them.
QUICK: Final = Timeouts(connect=5, answer=5, confirm=20, close=0.3, watch=0.3, retry=0.1)
# The class and the method with which the frames begin that confirm a message, and refuse it.
ACK: Final = bytes((0, 60, 0, 80))
NACK: Final = bytes((0, 60, 0, 120))


def payment_requested(number: int = 1, *, order_id: UUID | None = None) -> PaymentRequested:
    return PaymentRequested(**_fields(number, order_id))


def order_accepted() -> OrderAccepted:
    line = OrderLine(product_id=ProductId(1), quantity=1, unit_price=Money(1250, "EUR"))
    return OrderAccepted(
        order_id=OrderId(uuid4()),
        at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        user_id=UserId(1),
        lines=(line,),
        total=line.total,
    )


def refund_requested(number: int = 1) -> RefundRequested:
    return RefundRequested(**_fields(number, None))


def order_paid(number: int = 1) -> OrderPaid:
    return OrderPaid(**_fields(number, None))


def _fields(number: int, order_id: UUID | None) -> dict[str, Any]:
    return {
        "order_id": OrderId(order_id or uuid4()),
        "sequence": number,
        "at": datetime(2026, 11, 21, 12, tzinfo=UTC),
        "payment_id": PaymentId(uuid4()),
        "amount": Money(1250, "EUR"),
    }


def entries(*events: Event) -> list[OutboxEntry]:
    return [OutboxEntry(position, event_id(event), event.type, encode(event)) for position, event in enumerate(events)]


async def receive(queue: Subscription, count: int, *, limit: int = 1000) -> list[Delivery]:
    """So many deliveries, however many calls that takes."""
    found: list[Delivery] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += await queue.receive(min(limit, count - len(found)))
    return found


def events_of(deliveries: Sequence[Delivery]) -> list[Event]:
    return [delivery.event for delivery in deliveries]


async def stays_empty(queue: Subscription, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await queue.receive(1)
    except TimeoutError:
        return True
    return False


@asynccontextmanager
async def own_topology(url: str, *, delays: tuple[float, ...] = (0.05,)) -> AsyncIterator[Topology]:
    """A namespace for one test, gone afterwards."""
    topology = Topology(f"test-{secrets.token_hex(6)}", delays=delays)
    async with removed(url, topology):
        await declare_topology(url, topology)
        yield topology


@asynccontextmanager
async def removed(url: str, topology: Topology) -> AsyncIterator[None]:
    """Whatever the block declares in this namespace is gone afterwards."""
    try:
        yield
    finally:
        await remove(url, topology)


async def remove(url: str, topology: Topology) -> None:
    async with channel(url) as open_channel:
        for queue in (*topology.all_queues, *topology.former_queues):
            await open_channel.queue_delete(queue)
        await open_channel.exchange_delete(topology.exchange)


@asynccontextmanager
async def channel(url: str, *, confirms: bool = True) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    async with asyncio.timeout(PATIENCE):
        connection = await aiormq.connect(url)
    try:
        yield await connection.channel(publisher_confirms=confirms)
    finally:
        await connection.close(aiormq.ConnectionClosed(200, "the test is over"))


async def take(url: str, queue: str) -> DeliveredMessage:
    """The oldest message of a queue, waited for, and removed."""
    async with channel(url) as open_channel, asyncio.timeout(PATIENCE):
        while True:
            message = await open_channel.basic_get(queue, no_ack=True)
            if message.delivery_tag is not None:
                return message
            await asyncio.sleep(0.05)


async def count(url: str, queue: str) -> int:
    async with channel(url) as open_channel:
        return (await open_channel.queue_declare(queue, passive=True)).message_count or 0


async def is_consumed(url: str, queue: str) -> None:
    """Wait until the queue has a consumer."""
    async with channel(url) as open_channel, asyncio.timeout(PATIENCE):
        while not (await open_channel.queue_declare(queue, passive=True)).consumer_count:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.02)


async def put(url: str, queue: str, body: bytes, **headers: Any) -> None:
    """A message as a stranger may send it."""
    async with channel(url) as open_channel:
        properties = commands.Basic.Properties(delivery_mode=2, headers=headers or None)
        await open_channel.basic_publish(body, routing_key=queue, properties=properties, mandatory=True)


def short(text: bytes) -> bytes:
    """A short string of AMQP."""
    return bytes([len(text)]) + text


async def put_raw(
    url: str, queue: str, body: bytes, properties: bytes, *, key: bytes = b"", exchange: str = ""
) -> None:
    """A message whose properties no library has looked at; returns when the broker has it."""

    def frame(kind: int, payload: bytes) -> bytes:
        return struct.pack(">BHI", kind, open_channel.number, len(payload)) + payload + b"\xce"

    async with channel(url, confirms=False) as open_channel:
        assert isinstance(open_channel, aiormq.Channel)
        publish = b"\x00\x3c\x00\x28\x00\x00" + short(exchange.encode()) + short(key or queue.encode()) + b"\x00"
        content = b"\x00\x3c\x00\x00" + struct.pack(">Q", len(body)) + properties
        await write(open_channel, frame(1, publish) + frame(2, content) + (frame(3, body) if body else b""))
        # It answers in order.
        await open_channel.queue_declare(queue, passive=True)


def headers_of(message: DeliveredMessage) -> dict[str, Any]:
    return message.header.properties.headers or {}


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for is outside of this process, and tells nobody
            await asyncio.sleep(0.02)
