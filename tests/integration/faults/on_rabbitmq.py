"""Faults of RabbitMQ, of the connections to it, and of the messages in it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from aiormq.abc import DeliveredMessage

from adapters.codecs.events import encode
from domain.ids import OrderId, PaymentId, ProductId, UserId
from domain.money import Money
from domain.orders.events import OrderAccepted, OrderPlaced, PaymentRequested, RefundRequested
from domain.orders.line import OrderLine
from tests.brokers import channel, headers_of, payment_requested, put_raw
from tests.integration.faults.fault import GOES_ON, Fault
from tests.integration.faults.house import House
from tests.service import until

# A flag and a timestamp that no library of Python decodes.
_IN_MICROSECONDS: Final = b"\x00\x40" + (1_790_000_000_000_000).to_bytes(8, "big")
_REQUEST: Final = PaymentRequested.type


@asynccontextmanager
async def _killed(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.kill)
    yield
    await asyncio.to_thread(house.rabbitmq.start)


@asynccontextmanager
async def _restarted(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.restart)
    yield


@asynccontextmanager
async def _frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.pause)
    yield
    await asyncio.to_thread(house.rabbitmq.resume)


@asynccontextmanager
async def _memory_alarm(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
    yield
    await asyncio.to_thread(house.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")


@asynccontextmanager
async def _disk_alarm(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.ctl, "set_disk_free_limit", "900000GB")
    yield
    await asyncio.to_thread(house.rabbitmq.ctl, "set_disk_free_limit", "50MB")


@asynccontextmanager
async def _connections_closed(house: House) -> AsyncIterator[None]:
    for _ in range(3):
        await asyncio.to_thread(house.rabbitmq.ctl, "close_all_connections", "by an administrator")
    yield


@asynccontextmanager
async def _cut(house: House) -> AsyncIterator[None]:
    for _ in range(10):
        house.to_rabbitmq.cut()
        await asyncio.sleep(0.3)
    yield


@asynccontextmanager
async def _slow(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.delay = 0.1
    yield
    house.to_rabbitmq.restore()


@asynccontextmanager
async def _silent(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.silence()
    house.to_rabbitmq.silent_from_now = True
    yield
    house.to_rabbitmq.restore()


@asynccontextmanager
async def _no_confirms(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.silence_answers()
    yield
    # The confirms never come: the connection stays silent until it is closed.
    house.to_rabbitmq.cut()


@asynccontextmanager
async def _queue_deleted(house: House) -> AsyncIterator[None]:
    # The orders whose requests were in it wait until they are found to be stuck.
    await house.start("worker", HOLDFAST_STUCK_AFTER="3s")
    async with channel(house.rabbitmq.url) as open_channel:
        await open_channel.queue_delete(house.topology.queue("payments"))
    yield
    # Only the service itself repairs it.


@asynccontextmanager
async def _unroutable(house: House) -> AsyncIterator[None]:
    """A stranger hears of the requests, and our own queue is missing: they stay in the database."""
    await house.start("worker", HOLDFAST_STUCK_AFTER="3s")
    async with channel(house.rabbitmq.url) as open_channel:
        # Every process declares it again from time to time.
        for _ in range(20):
            await open_channel.queue_delete(house.topology.queue("payments"))
            await asyncio.sleep(0.1)
        async with house.sql() as connection:
            stayed = await connection.fetchval(
                "SELECT (SELECT count(*) FROM outbox WHERE type = $1) + (SELECT count(*) FROM waiting_work)", _REQUEST
            )
        assert stayed, "every request was taken for enqueued"
    yield


async def _work_goes_on(house: House) -> bool:
    """Announcements wait, and no order has waited for its payment for long."""
    async with house.sql() as connection:
        waiting: int = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE status = 'PROCESSING' AND updated_at < now() - interval '3 s'"
        )
        put_off: int = await connection.fetchval("SELECT count(*) FROM announcements")
    return not waiting and put_off > 0


@asynccontextmanager
async def _strangers_queue_is_silent(house: House) -> AsyncIterator[None]:
    """Somebody bound a queue to all events whose process hangs in the broker: nothing that is for it is confirmed."""
    find = '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"silent">>)), '
    async with channel(house.rabbitmq.url) as open_channel:
        await open_channel.queue_declare("silent", durable=True)
        await open_channel.queue_bind("silent", house.topology.exchange, routing_key="#")
        await asyncio.to_thread(house.rabbitmq.ctl, "eval", find + "sys:suspend(amqqueue:get_pid(Q)).")
        try:
            yield
            await until(partial(_work_goes_on, house), seconds=60, what="no order waits while nothing is confirmed")
        finally:
            await asyncio.to_thread(house.rabbitmq.ctl, "eval", find + "sys:resume(amqqueue:get_pid(Q)).")
        await open_channel.queue_delete("silent")


@asynccontextmanager
async def _strangers_queue_is_full(house: House) -> AsyncIterator[None]:
    """Somebody bound a queue to all events that takes five, refuses the others, and is never read."""
    copies: Counter[object] = Counter()

    async def count(message: DeliveredMessage) -> None:
        copies[headers_of(message)["cloudEvents_id"]] += 1

    async with channel(house.rabbitmq.url) as open_channel:
        full = {"x-max-length": 5, "x-overflow": "reject-publish"}
        await open_channel.queue_declare("copies", exclusive=True)
        await open_channel.queue_bind("copies", house.topology.exchange, routing_key="#")
        await open_channel.basic_consume("copies", count, no_ack=True)
        await open_channel.queue_declare("full", arguments=full)
        await open_channel.queue_bind("full", house.topology.exchange, routing_key="#")
        yield
        await until(partial(_work_goes_on, house), seconds=60, what="no order waits while announcements are refused")
        await open_channel.queue_delete("full")
        assert copies, "nobody heard of anything"
        assert max(copies.values()) <= 5, f"one event was heard {max(copies.values())} times"


@asynccontextmanager
async def _rubbish(house: House) -> AsyncIterator[None]:
    """Bad messages among good ones: unreadable, also in their properties, unknown, of another version, too large."""
    known = encode(payment_requested())
    bad = (
        b"",
        b"\xff\x00 no JSON",
        b"[]",
        b"[" * 100_000,
        known.replace(b'"schema":1', b'"schema":99'),
        known.replace(b"payment_requested", b"payment_considered"),
        known.replace(b'"order_id"', b'"order"'),
        known[:-1] + b',"more":"' + b"x" * 2**20 + b'"}',
        known,
    )
    async with channel(house.rabbitmq.url) as open_channel:
        for _ in range(3):
            for body in bad:
                await open_channel.basic_publish(body, routing_key=house.topology.queue("payments"))
    for queue in (house.topology.queue("payments"), house.topology.dead("payments")):
        await put_raw(house.rabbitmq.url, queue, b"it kills who reads its properties", _IN_MICROSECONDS)
    yield

    async def dead_letter() -> bool:
        async with house.sql() as connection:
            found = await connection.fetchval("SELECT count(*) FROM dead_letters WHERE decision IS NULL")
        return bool(found > len(bad))

    await until(dead_letter, seconds=60, what="what can't be processed is in the table of dead letters")


@asynccontextmanager
async def _in_between(house: House, *, times: int, shuffled: bool) -> AsyncIterator[None]:
    """A stranger hears of each request, and sends it to the worker once more, as often and as late as said."""
    topology, topics = house.topology, ("order.payment_requested", "order.refund_requested")
    queues = dict(zip(topics, (topology.queue("payments"), topology.queue("refunds")), strict=True))
    held: list[tuple[str, bytes]] = []
    async with channel(house.rabbitmq.url) as open_channel:

        async def hand_on(messages: list[tuple[str, bytes]]) -> None:
            for topic, body in messages:
                for _ in range(times):
                    await open_channel.basic_publish(body, routing_key=queues[topic])

        async def take(message: DeliveredMessage) -> None:
            held.append((message.routing_key or "", message.body))
            if not shuffled:
                await hand_on([held.pop()])

        await open_channel.queue_declare("between", exclusive=True)
        for topic in topics:
            await open_channel.queue_bind("between", topology.exchange, routing_key=topic)
        await open_channel.basic_consume("between", take, no_ack=True)
        taken = 0
        try:
            yield
        finally:
            for topic in topics:
                await open_channel.queue_unbind("between", topology.exchange, topic)
            # Whatever was routed here before is here when the answer to the next question is.
            await open_channel.queue_declare("between", passive=True)
            await asyncio.sleep(0.2)
            taken = len(held)
            chance = random.Random(11)
            while held:
                batch = [held.pop(chance.randrange(len(held))) for _ in range(min(20, len(held)))]
                await hand_on(batch)
        assert taken or not shuffled, "there was nothing to be brought out of order"


class _Heard(msgspec.Struct):
    """An event as another service hears it."""

    order_id: UUID
    sequence: int
    type: str
    time: datetime
    data: dict[str, Any]


@asynccontextmanager
async def _forged(house: House) -> AsyncIterator[None]:
    """A stranger hears of each order, and asks for its money, for a refund, and for the same goods at one cent."""
    topology, chance, forged = house.topology, random.Random(23), 0
    async with channel(house.rabbitmq.url) as open_channel:

        async def forge(message: DeliveredMessage) -> None:
            nonlocal forged
            heard = msgspec.json.decode(message.body, type=_Heard)
            order_id = OrderId(heard.order_id)
            for kind, queue in ((PaymentRequested, "payments"), (RefundRequested, "refunds")):
                request = kind(
                    order_id=order_id,
                    sequence=heard.sequence + chance.choice((0, 1, 2)),
                    at=heard.time,
                    payment_id=PaymentId(UUID(int=chance.getrandbits(128))),
                    amount=Money(1, "EUR"),
                )
                await open_channel.basic_publish(encode(request), routing_key=topology.queue(queue))
            if heard.type == OrderPlaced.type:
                lines = tuple(
                    OrderLine(
                        product_id=ProductId(item["product_id"]), quantity=item["quantity"], unit_price=Money(0, "EUR")
                    )
                    for item in heard.data["items"]
                )
                accepted = OrderAccepted(
                    order_id=OrderId(UUID(int=chance.getrandbits(128))),
                    at=heard.time,
                    user_id=UserId(heard.data["user_id"]),
                    lines=lines,
                    total=Money(0, "EUR"),
                )
                await open_channel.basic_publish(encode(accepted), routing_key=topology.queue("intake"))
            forged += 1

        await open_channel.queue_declare("forger", exclusive=True)
        await open_channel.queue_bind("forger", topology.exchange, routing_key="#")
        await open_channel.basic_consume("forger", forge, no_ack=True)
        yield
        await open_channel.queue_unbind("forger", topology.exchange, "#")
    assert forged, "nothing was forged"


FAULTS: Final = (
    Fault(name="RabbitMQ is killed (kill -9) and down for 4 s", breaking=_killed, hold=4, goes_on=GOES_ON),
    Fault(name="RabbitMQ is restarted", breaking=_restarted, hold=1, goes_on=GOES_ON),
    Fault(name="RabbitMQ is frozen for 5 s", breaking=_frozen, hold=5, goes_on=GOES_ON),
    Fault(name="RabbitMQ has a memory alarm", breaking=_memory_alarm, goes_on=GOES_ON),
    Fault(name="RabbitMQ has a disk alarm", breaking=_disk_alarm, goes_on=GOES_ON),
    Fault(
        name="RabbitMQ closes all connections, 3 times",
        breaking=_connections_closed,
        hold=0,
        goes_on=GOES_ON,
    ),
    Fault(name="Connections to RabbitMQ are cut, 10 times", breaking=_cut, hold=0, goes_on=GOES_ON),
    Fault(name="RabbitMQ is slow: 200 ms a round trip", breaking=_slow, hold=4, goes_on=GOES_ON),
    Fault(name="RabbitMQ falls silent for 5 s", breaking=_silent, hold=5, goes_on=GOES_ON),
    Fault(name="Confirms never come", breaking=_no_confirms, hold=12, goes_on=GOES_ON),
    Fault(name="The payments queue is deleted", breaking=_queue_deleted, hold=1, goes_on=GOES_ON),
    Fault(name="Only a stranger gets the requests", breaking=_unroutable, hold=1, goes_on=GOES_ON),
    Fault(
        name="A stranger's queue is full and refuses all events",
        breaking=_strangers_queue_is_full,
        hold=6,
        within=60,
        goes_on=GOES_ON,
    ),
    Fault(
        name="A stranger's queue hangs and confirms no event",
        breaking=_strangers_queue_is_silent,
        hold=15,
        within=60,
        goes_on=GOES_ON,
    ),
    Fault(name="Rubbish stands among the requests", breaking=_rubbish, hold=1, goes_on=GOES_ON),
    Fault(name="A stranger forges requests", breaking=_forged, goes_on=GOES_ON),
    Fault(name="Each request comes eleven times", breaking=partial(_in_between, times=10, shuffled=False)),
    Fault(
        name="Requests come again, late and out of order, 3 times",
        breaking=partial(_in_between, times=3, shuffled=True),
    ),
)
