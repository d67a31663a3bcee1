"""The contract of `Subscription`, for every broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from attrs import evolve, frozen

from adapters.codecs.events import decode
from adapters.memory.broker import MemoryBroker
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.subscription import open_subscription
from application.messaging.subscriptions import PAYMENTS, REFUNDS
from application.ports.messaging import Delivery, EventPublisher, Subscription
from domain.orders.events import Event
from tests.brokers import (
    PATIENCE,
    entries,
    events_of,
    headers_of,
    own_topology,
    payment_requested,
    receive,
    refund_requested,
    stays_empty,
    take,
)

DELAYS = (0.05, 0.1)


@frozen
class Broker:
    publisher: EventPublisher
    queue: Subscription
    # The oldest dead letter: its event, how often it was tried, and why it lies there.
    dead_letter: Callable[[], Awaitable[tuple[Event, int, str]]]

    async def publish(self, *events: Event) -> None:
        assert len(await self.publisher.enqueue(entries(*events))) == len(events)


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        memory_queue = memory.queue(PAYMENTS, delays=DELAYS)
        memory.queue(REFUNDS)

        async def in_memory() -> tuple[Event, int, str]:
            [dead] = await memory_queue.dead_letters.receive(1)
            return decode(dead.message.body), dead.message.attempts, dead.message.reason

        yield Broker(memory, memory_queue, in_memory)
        return
    url = request.getfixturevalue("amqp_url")
    async with (
        own_topology(url, delays=DELAYS) as topology,
        open_publisher(url, topology) as publisher,
        open_subscription(url, topology, "payments") as queue,
    ):

        async def in_rabbitmq() -> tuple[Event, int, str]:
            message = await take(url, topology.dead("payments"))
            headers = headers_of(message)
            return decode(message.body), headers["attempts"], headers["reason"]

        yield Broker(publisher, queue, in_rabbitmq)


async def test_to_receive_is_to_wait_for_the_first(broker: Broker) -> None:
    receiving = asyncio.create_task(broker.queue.receive(10))
    done, _ = await asyncio.wait([receiving], timeout=0.2)
    assert not done

    event = payment_requested()
    await broker.publish(event)

    async with asyncio.timeout(PATIENCE):
        assert events_of(await receiving) == [event]


async def test_no_more_is_received_than_was_asked_for(broker: Broker) -> None:
    events = [payment_requested(number) for number in range(1, 8)]
    await broker.publish(*events)

    first = await broker.queue.receive(3)
    rest = await receive(broker.queue, 7 - len(first))

    assert 1 <= len(first) <= 3
    assert events_of(first + rest) == events


async def test_what_has_arrived_is_received_together(broker: Broker) -> None:
    await broker.publish(*(payment_requested(number) for number in range(1, 52)))
    await broker.queue.receive(1)
    await asyncio.sleep(0.3)  # the broker has no way of saying that it has brought everything

    assert len(await broker.queue.receive(1000)) == 50


async def test_events_for_others_are_not_received(broker: Broker) -> None:
    wanted = payment_requested()
    await broker.publish(refund_requested(), wanted)

    assert events_of(await receive(broker.queue, 1)) == [wanted]
    assert await stays_empty(broker.queue)


async def test_an_acked_delivery_does_not_come_again(broker: Broker) -> None:
    await broker.publish(*(payment_requested(number) for number in range(1, 6)))
    deliveries = await receive(broker.queue, 5)

    # In parts and out of order, as a batch with stragglers would settle them.
    await broker.queue.ack([deliveries[1], deliveries[3]])
    await broker.queue.ack([deliveries[2], deliveries[0], deliveries[4]])
    await broker.queue.ack([])

    assert await stays_empty(broker.queue)


async def test_a_retry_delivers_it_again_as_the_next_attempt(broker: Broker) -> None:
    event = payment_requested()
    await broker.publish(event)

    for attempt in range(1, 5):
        (delivery,) = await receive(broker.queue, 1)
        assert (delivery.event, delivery.attempt) == (event, attempt)
        await broker.queue.retry(delivery, reason="Unavailable: the provider is silent")

    (delivery,) = await receive(broker.queue, 1)
    await broker.queue.ack([delivery])
    assert await stays_empty(broker.queue)


async def test_a_retry_carries_the_failures(broker: Broker) -> None:
    await broker.publish(payment_requested())
    for failures in (0, 3, 3):
        (delivery,) = await receive(broker.queue, 1)
        assert delivery.failures == failures
        await broker.queue.retry(evolve(delivery, failures=3), reason="KeyError: 'surprise'")


async def test_a_retry_does_not_keep_the_others_waiting(broker: Broker) -> None:
    slow, quick = payment_requested(1), payment_requested(2)
    await broker.publish(slow)
    await broker.queue.retry((await receive(broker.queue, 1))[0], reason="Aborted: a deadlock")
    await broker.publish(quick)

    received = await receive(broker.queue, 2)

    assert {delivery.event: delivery.attempt for delivery in received} == {quick: 1, slow: 2}


async def test_a_dead_letter_is_kept_with_its_reason(broker: Broker) -> None:
    event = payment_requested()
    await broker.publish(event)
    await broker.queue.retry((await receive(broker.queue, 1))[0], reason="Aborted: a deadlock")

    await broker.queue.dead_letter((await receive(broker.queue, 1))[0], reason="UnknownOrder: there is no such order")

    assert await broker.dead_letter() == (event, 2, "UnknownOrder: there is no such order")
    assert await stays_empty(broker.queue)


async def test_workers_at_one_queue_share_what_is_there(broker: Broker) -> None:
    events = [payment_requested(number) for number in range(1, 201)]
    await broker.publish(*events)
    received: list[Delivery] = []

    async def work() -> None:
        while len(received) < len(events):
            batch = await broker.queue.receive(7)
            received.extend(batch)
            await broker.queue.ack(batch)

    workers = [asyncio.create_task(work()) for _ in range(5)]
    await asyncio.wait(workers, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)

    assert sorted(delivery.event.sequence for delivery in received) == list(range(1, 201))
    assert await stays_empty(broker.queue)


async def test_to_give_up_waiting_loses_nothing(broker: Broker) -> None:
    for number in range(1, 6):
        receiving = asyncio.create_task(broker.queue.receive(10))
        await asyncio.sleep(0.01 * number)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)

    event = payment_requested()
    await broker.publish(event)

    assert events_of(await receive(broker.queue, 1)) == [event]
