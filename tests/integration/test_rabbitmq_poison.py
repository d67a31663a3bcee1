"""A message that can't be read is set aside with its bytes and a reason, and delays no other."""

import asyncio
import struct
from base64 import b64encode

import aiormq
import pytest

from adapters.codecs.events import MAX_BYTES, encode
from adapters.rabbitmq.dead_letters import open_dead_letters
from adapters.rabbitmq.subscription import open_subscription
from adapters.rabbitmq.topology import Topology
from application.ports.messaging import DeadDelivery
from tests.brokers import (
    QUICK,
    channel,
    count,
    events_of,
    payment_requested,
    put,
    put_raw,
    receive,
    short,
    stays_empty,
)
from tests.cables import PATIENCE

CONTENT_TYPE, ENCODING, HEADERS, MODE, PRIORITY, CORRELATION = (1 << bit for bit in (15, 14, 13, 12, 11, 10))
REPLY_TO, EXPIRATION, MESSAGE_ID, TIMESTAMP, TYPE, USER, APP = (1 << bit for bit in (9, 8, 7, 6, 5, 4, 3))


def table(*fields: bytes) -> bytes:
    return struct.pack(">I", len(b"".join(fields))) + b"".join(fields)


def field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return short(name) + kind + value


def nested(levels: int) -> bytes:
    inner = table()
    for _ in range(levels):
        inner = table(field(b"", b"F", inner))
    return inner


def properties(flags: int, *values: bytes) -> bytes:
    return struct.pack(">H", flags) + b"".join(values)


MICROSECONDS = struct.pack(">Q", 1_790_000_000_000_000)
BEYOND_TIME = struct.pack(">Q", 2**63 - 1)
NO_UTF8 = short(b"\xff\xfe")

# What aiormq, pamqp or Python can't take, or what isn't read.
SET_ASIDE = {
    "a timestamp in microseconds": properties(TIMESTAMP, MICROSECONDS),
    "a timestamp outside of time": properties(TIMESTAMP, BEYOND_TIME),
    "a header with a timestamp in microseconds": properties(HEADERS, table(field(b"at", b"T", MICROSECONDS))),
    "a header's name that is no UTF-8": properties(HEADERS, table(field(b"\xff", b"V", b""))),
    "a type that is no UTF-8": properties(TYPE, NO_UTF8),
    "a message id that is no UTF-8": properties(MESSAGE_ID, NO_UTF8),
    "a content type that is no UTF-8": properties(CONTENT_TYPE, NO_UTF8),
    "an app id that is no UTF-8": properties(APP, NO_UTF8),
    "tables in tables": properties(HEADERS, nested(1500)),
    "headers of 100 KB": properties(HEADERS, table(field(b"x", b"S", struct.pack(">I", 100_000) + b"x" * 100_000))),
    "thousands of headers": properties(HEADERS, table(*(field(b"%04d" % n, b"V", b"") for n in range(9000)))),
    "compressed": properties(ENCODING, short(b"gzip")),
}

# Properties that mean nothing here, and headers of ours with values of every other type.
TAKEN = {
    "priority 255": properties(PRIORITY, b"\xff"),
    "an encoding that changes nothing": properties(ENCODING, short(b"UTF-8")),
    "a reply-to, an expiration and a correlation id": properties(
        CORRELATION | REPLY_TO | EXPIRATION, short(b"x" * 255), short(b"nobody"), short(b"600000")
    ),
    "a time in milliseconds": properties(TIMESTAMP, struct.pack(">Q", 1_790_000_000_000)),
    **{
        f"headers of type {kind!r}": properties(
            HEADERS,
            table(
                *(
                    field(name, kind, value)
                    for name in (b"attempt", b"x-delivery-count", b"event-id", b"first-at", b"attempts", b"reason")
                )
            ),
        )
        for kind, value in {
            b"t": b"\x01",
            b"b": b"\x80",
            b"B": b"\xff",
            b"s": b"\x80\x00",
            b"u": b"\xff\xff",
            b"I": b"\x80\x00\x00\x00",
            b"i": b"\xff\xff\xff\xff",
            b"l": b"\x7f" + b"\xff" * 7,
            b"f": struct.pack(">f", 3e38),
            b"d": struct.pack(">d", -1e300),
            b"D": b"\xff\x80\x00\x00\x00",
            b"S": struct.pack(">I", 4) + b"\xff\x00\xed\xa0",
            b"A": struct.pack(">I", 2) + b"t\x01",
            b"T": struct.pack(">Q", 0),
            b"F": nested(3),
            b"V": b"",
            b"x": struct.pack(">I", 2) + b"\x00\xff",
        }.items()
    },
}


async def collect(url: str, topology: Topology, expected: int) -> list[DeadDelivery]:
    found: list[DeadDelivery] = []
    async with (
        open_dead_letters(url, topology, "payments", look_every=0.02, timeouts=QUICK) as dead,
        asyncio.timeout(PATIENCE),
    ):
        while len(found) < expected:
            batch = await dead.receive(100)
            await dead.ack(batch)
            found += batch
        # When a connection is closed, RabbitMQ forgets the acks that it has not carried out yet.
        while await count(url, topology.dead("payments")):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("header", SET_ASIDE.values(), ids=SET_ASIDE.keys())
async def test_what_can_not_be_read_is_set_aside_and_delays_nobody(
    amqp_url: str, topology: Topology, header: bytes
) -> None:
    body, good = encode(payment_requested(1)), [payment_requested(2), payment_requested(3)]
    await put(amqp_url, topology.queue("payments"), encode(good[0]))
    await put_raw(amqp_url, topology.queue("payments"), body, header)
    await put(amqp_url, topology.queue("payments"), encode(good[1]))

    async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
        deliveries = await receive(queue, 2)
        await queue.ack(deliveries)
        assert events_of(deliveries) == good
        [letter] = await collect(amqp_url, topology, 1)
        assert await stays_empty(queue)

    assert letter.message.body == body
    assert letter.message.reason.startswith("BadMessage: its ")
    if header != SET_ASIDE["compressed"]:
        assert b64encode(header[:300]).decode() in letter.message.reason


@pytest.mark.parametrize("header", TAKEN.values(), ids=TAKEN.keys())
async def test_what_means_nothing_here_changes_nothing(amqp_url: str, topology: Topology, header: bytes) -> None:
    event = payment_requested()
    await put_raw(amqp_url, topology.queue("payments"), encode(event), header)

    async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
        (delivery,) = await receive(queue, 1)
        assert delivery.event == event
        await queue.dead_letter(delivery, reason="enough")

    assert [letter.message.body for letter in await collect(amqp_url, topology, 1)] == [encode(event)]


async def test_a_routing_key_that_is_no_utf8_is_not_read(amqp_url: str, topology: Topology) -> None:
    event, queue_name = payment_requested(), topology.queue("payments")
    exchange = f"{topology.namespace}.fan"
    async with channel(amqp_url) as open_channel:
        await open_channel.exchange_declare(exchange, exchange_type="fanout")
        for name in (queue_name, topology.dead("payments")):
            await open_channel.queue_bind(name, exchange)
        try:
            await put_raw(
                amqp_url, queue_name, encode(event), properties(MODE, b"\x02"), key=b"\xff", exchange=exchange
            )
        finally:
            await open_channel.exchange_delete(exchange)

    async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
        assert events_of(await receive(queue, 1)) == [event]
    assert [letter.message.body for letter in await collect(amqp_url, topology, 1)] == [encode(event)]


async def test_whatever_lies_in_the_dead_letter_queue_blocks_nobody(amqp_url: str, topology: Topology) -> None:
    hostile = {**SET_ASIDE, **TAKEN}
    bodies = [f"{number}".encode() for number in range(len(hostile))]
    for body, header in zip(bodies, hostile.values(), strict=True):
        await put_raw(amqp_url, topology.dead("payments"), body, header)
    await put(amqp_url, topology.dead("payments"), b"good", reason="UnknownOrder: there is none")

    letters = await collect(amqp_url, topology, len(bodies) + 1)

    assert [letter.message.body for letter in letters] == [*bodies, b"good"]
    assert letters[-1].message.reason == "UnknownOrder: there is none"
    for letter in letters[: len(SET_ASIDE)]:
        assert letter.message.reason.startswith("BadMessage: its ")


async def test_what_the_broker_dead_letters_itself_may_be_poison_too(amqp_url: str, topology: Topology) -> None:
    await put_raw(amqp_url, topology.queue("payments"), b"poison", SET_ASIDE["a timestamp in microseconds"])
    async with channel(amqp_url) as open_channel:
        # A library that it kills; the broker then brings it again.
        with pytest.raises((aiormq.AMQPError, asyncio.CancelledError, ValueError)):
            await open_channel.basic_get(topology.queue("payments"))

    async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
        assert await stays_empty(queue)
    [letter] = await collect(amqp_url, topology, 1)
    assert letter.message.body == b"poison"


async def test_messages_that_are_too_large_are_set_aside_in_their_order(amqp_url: str, topology: Topology) -> None:
    good = [payment_requested(number) for number in range(1, 5)]
    large = [b"x" * 20 * 2**20, encode(good[0]) + b" " * 300_000, b"y" * 2**20]
    async with channel(amqp_url) as open_channel:
        for event, body in zip(good, [*large, b""], strict=True):
            await open_channel.basic_publish(encode(event), routing_key=topology.queue("payments"))
            if body:
                await open_channel.basic_publish(body, routing_key=topology.queue("payments"))

    async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
        deliveries = await receive(queue, len(good))
        assert events_of(deliveries) == good
        await queue.ack(deliveries)
        letters = await collect(amqp_url, topology, len(large))
        assert await stays_empty(queue)
    assert [letter.message.body for letter in letters] == large
    assert [letter.message.reason for letter in letters] == [
        f"BadMessage: a message has at most {MAX_BYTES} bytes, this one {len(body)}" for body in large
    ]
    assert [letter.message.attempts for letter in letters] == [1, 1, 1]


@pytest.mark.parametrize(
    "moment",
    ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "1000-01-01", "2030-02-30", ""],
)
async def test_a_time_at_which_nothing_can_have_failed_is_not_believed(
    amqp_url: str, topology: Topology, moment: str
) -> None:
    await put(amqp_url, topology.dead("payments"), b"x", **{"last-at": moment, "first-at": moment, "attempts": 2**31})

    [letter] = await collect(amqp_url, topology, 1)

    assert letter.message.attempts == 1
    for at in (letter.message.first_at, letter.message.last_at):
        assert at.year >= 2026
        assert at.utcoffset() is not None
