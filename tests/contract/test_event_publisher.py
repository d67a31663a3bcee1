"""The contract of `EventPublisher`, for every broker."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from adapters.memory.broker import MemoryBroker
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.subscription import open_subscription
from application.messaging.subscriptions import PAYMENTS, REFUNDS
from application.ports.messaging import EventPublisher, Subscription
from tests.brokers import (
    entries,
    events_of,
    order_paid,
    own_topology,
    payment_requested,
    receive,
    refund_requested,
    stays_empty,
)


@frozen
class Broker:
    publisher: EventPublisher
    payments: Subscription
    refunds: Subscription


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        yield Broker(memory, memory.queue(PAYMENTS), memory.queue(REFUNDS))
        return
    url = request.getfixturevalue("amqp_url")
    async with (
        own_topology(url) as topology,
        open_publisher(url, topology) as publisher,
        open_subscription(url, topology, "payments") as payments,
        open_subscription(url, topology, "refunds") as refunds,
    ):
        yield Broker(publisher, payments, refunds)


async def test_confirmed_work_arrives_unchanged(broker: Broker) -> None:
    event = payment_requested()
    sent = entries(event)

    assert await broker.publisher.enqueue(sent) == sent

    (delivery,) = await receive(broker.payments, 1)
    assert delivery.event == event
    assert delivery.attempt == 1


async def test_nothing_to_publish_is_no_trouble(broker: Broker) -> None:
    assert await broker.publisher.enqueue([]) == []
    assert await broker.publisher.announce([]) == []


async def test_each_event_reaches_its_consumer(broker: Broker) -> None:
    payment, refund = payment_requested(), refund_requested()

    await broker.publisher.enqueue(entries(payment, refund))

    assert events_of(await receive(broker.payments, 1)) == [payment]
    assert events_of(await receive(broker.refunds, 1)) == [refund]


async def test_an_announcement_without_a_listener_is_confirmed(broker: Broker) -> None:
    sent = entries(order_paid(1), payment_requested(2), order_paid(3))

    assert await broker.publisher.announce(sent) == sent


async def test_an_announcement_is_nobodys_work(broker: Broker) -> None:
    await broker.publisher.announce(entries(payment_requested(), refund_requested()))
    assert await stays_empty(broker.payments)
    assert await stays_empty(broker.refunds)


async def test_events_of_one_call_arrive_in_their_order(broker: Broker) -> None:
    events = [payment_requested(number) for number in range(1, 401)]
    sent = entries(*events)

    assert await broker.publisher.enqueue(sent) == sent

    assert events_of(await receive(broker.payments, 400)) == events


async def test_an_event_may_be_published_again(broker: Broker) -> None:
    event = payment_requested()

    await broker.publisher.enqueue(entries(event))
    await broker.publisher.enqueue(entries(event, event))

    assert events_of(await receive(broker.payments, 3)) == [event] * 3


async def test_calls_at_once_lose_nothing_and_keep_their_own_order(broker: Broker) -> None:
    calls = [[payment_requested(number) for number in range(1, 41)] for _ in range(8)]

    confirmed = await asyncio.gather(*(broker.publisher.enqueue(entries(*events)) for events in calls))

    assert confirmed == [entries(*events) for events in calls]
    received = events_of(await receive(broker.payments, 320))
    assert [[event for event in received if event in events] for events in calls] == calls


async def test_the_broker_in_memory_confirms_nothing_that_it_has_no_room_for() -> None:
    broker = MemoryBroker(room=2)
    payments = broker.queue(PAYMENTS)
    broker.queue(REFUNDS)
    sent = entries(*(payment_requested() for _ in range(3)), refund_requested())

    assert await broker.enqueue(sent) == [*sent[:2], sent[3]]
    await receive(payments, 2)
    assert await broker.enqueue(sent[2:3]) == sent[2:3]


async def test_what_waits_for_its_next_attempt_takes_room_in_memory_as_well() -> None:
    """Otherwise the whole backlog would gather here while the provider is away."""
    broker = MemoryBroker(room=2)
    payments = broker.queue(PAYMENTS, delays=[0.01])
    first, second, third = entries(*(payment_requested() for _ in range(3)))
    assert await broker.enqueue([first, second]) == [first, second]
    deliveries = await receive(payments, 2)
    for delivery in deliveries:
        await payments.retry(delivery, reason="the provider is away")
    assert await broker.enqueue([third]) == []
    again = await receive(payments, 2)
    assert [delivery.attempt for delivery in again] == [2, 2]
    assert await broker.enqueue([third]) == [third]
