"""The contract of `DeadLetterQueue`, for every broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from attrs import frozen

from adapters.codecs.events import encode
from adapters.memory.broker import MemoryBroker
from adapters.rabbitmq.dead_letters import open_dead_letters
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.subscription import open_subscription
from application.messaging.subscriptions import PAYMENTS
from application.ports.messaging import DeadDelivery, DeadLetterQueue, EventPublisher, Subscription
from application.ports.outbox import OutboxEntry
from domain.orders.events import event_id
from tests.brokers import PATIENCE, entries, own_topology, payment_requested, receive


@frozen
class Broker:
    publisher: EventPublisher
    queue: Subscription
    dead: DeadLetterQueue

    async def dead_letter(self, *numbers: int, reason: str = "UnknownOrder: there is none") -> list[bytes]:
        events = [payment_requested(number) for number in numbers]
        await self.publisher.enqueue(entries(*events))
        for delivery in await receive(self.queue, len(events)):
            await self.queue.dead_letter(delivery, reason=reason)
        return [encode(event) for event in events]


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        queue = memory.queue(PAYMENTS, delays=(0.01,))
        yield Broker(memory, queue, queue.dead_letters)
        return
    url = request.getfixturevalue("amqp_url")
    async with (
        own_topology(url, delays=(0.01,)) as topology,
        open_publisher(url, topology) as publisher,
        open_subscription(url, topology, "payments") as rabbit_queue,
        open_dead_letters(url, topology, "payments", look_every=0.02) as dead,
    ):
        yield Broker(publisher, rabbit_queue, dead)


async def collect(queue: DeadLetterQueue, count: int, *, limit: int = 100) -> list[DeadDelivery]:
    """Receive this many, and ack each."""
    found: list[DeadDelivery] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            batch = await queue.receive(limit)
            assert len(batch) <= limit
            await queue.ack(batch)
            found += batch
    return found


def bodies(deliveries: Sequence[DeadDelivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


async def stays_empty(queue: DeadLetterQueue, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await queue.receive(1)
    except TimeoutError:
        return True
    return False


async def test_to_receive_is_to_wait_for_the_first(broker: Broker) -> None:
    receiving = asyncio.create_task(broker.dead.receive(10))
    done, _ = await asyncio.wait([receiving], timeout=0.2)
    assert not done
    sent = await broker.dead_letter(1)
    async with asyncio.timeout(PATIENCE):
        assert bodies(await receiving) == sent


async def test_a_letter_tells_its_story(broker: Broker) -> None:
    began = datetime.now(UTC)
    await broker.publisher.enqueue(entries(payment_requested()))
    for _ in range(2):
        [delivery] = await receive(broker.queue, 1)
        await broker.queue.retry(delivery, reason="Aborted: a deadlock")
    [delivery] = await receive(broker.queue, 1)
    await broker.queue.dead_letter(delivery, reason="KeyError: 'surprise'")
    [letter] = await collect(broker.dead, 1)
    assert (letter.message.attempts, letter.message.reason) == (3, "KeyError: 'surprise'")
    assert began <= letter.message.first_at <= letter.message.last_at <= datetime.now(UTC)
    assert letter.message.last_at - letter.message.first_at >= timedelta(milliseconds=5)


async def test_what_can_not_be_read_is_kept_to_the_byte(broker: Broker) -> None:
    event = payment_requested()
    future = encode(event).replace(b'"schema":1', b'"schema":2')
    good = payment_requested(2)
    await broker.publisher.enqueue([OutboxEntry(1, event_id(event), event.type, future), *entries(good)])
    [delivery] = await receive(broker.queue, 1)
    assert delivery.event == good
    [letter] = await collect(broker.dead, 1)
    assert letter.message.body == future
    assert letter.message.reason == "FromLaterRelease: schema 2 is unknown; this version reads schema 1"


async def test_a_letter_is_delivered_again_until_it_is_acked(broker: Broker) -> None:
    sent = await broker.dead_letter(1, 2, 3)
    async with asyncio.timeout(PATIENCE):
        first = await broker.dead.receive(1)
        assert bodies(first) == sent[:1]
        assert bodies(await broker.dead.receive(1)) == sent[:1]
    await broker.dead.ack(first)
    await broker.dead.ack(first)
    assert bodies(await collect(broker.dead, 2, limit=2)) == sent[1:]
    assert await stays_empty(broker.dead)


async def test_more_than_a_batch_is_brought_in_batches(broker: Broker) -> None:
    sent = await broker.dead_letter(*range(1, 26))
    assert bodies(await collect(broker.dead, 25, limit=4)) == sent


async def test_to_give_up_waiting_loses_nothing(broker: Broker) -> None:
    sent: list[bytes] = []
    for turn in range(1, 6):
        receiving = asyncio.create_task(broker.dead.receive(10))
        sent += await broker.dead_letter(turn)
        for _ in range(turn * 3):
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    assert set(bodies(await collect(broker.dead, 5))) == set(sent)
