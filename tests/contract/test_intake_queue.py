"""The contract of `IntakeQueue`, for every broker; then what only RabbitMQ promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from uuid import uuid4

import pytest
from attrs import evolve, frozen

from adapters.codecs.intake_queue import PublishedIntake
from adapters.memory.broker import MemoryBroker
from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.emptiness import QueueIsEmpty
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.subscription import open_subscription
from application.errors import Trouble
from application.messaging.subscriptions import INTAKE
from application.ports.messaging import IntakeQueue, Subscription
from domain.ids import JobId, OrderId, UserId
from domain.orders.events import AskedUnder, OrderAccepted, OrderChangeAccepted
from tests.brokers import channel, entries, events_of, own_topology, payment_requested, receive
from tests.cables import PATIENCE, cable
from tests.service import until
from tests.unit.builders import NOW, a_line, euros


@frozen
class Broker:
    intake: IntakeQueue
    accepted: Subscription


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        queue = memory.queue(INTAKE)
        yield Broker(PublishedIntake(memory, queue.is_empty), queue)
        return
    url = request.getfixturevalue("amqp_url")
    async with (
        # What waits for another attempt waits until the end of the test.
        own_topology(url, delays=(60.0,)) as topology,
        open_publisher(url, topology) as publisher,
        open_subscription(url, topology, "intake") as accepted,
    ):
        yield Broker(PublishedIntake(publisher, QueueIsEmpty(url, topology, "intake", timeouts=Timeouts())), accepted)


async def _never() -> bool:
    return False


def an_accepted_order(key: str | None = None) -> OrderAccepted:
    under = None if key is None else AskedUnder(scope="customer 1", key=key, fingerprint="f")
    return OrderAccepted(
        order_id=OrderId(uuid4()), at=NOW, user_id=UserId(1), lines=(a_line(),), total=euros(2500), asked_under=under
    )


async def test_a_safe_order_is_delivered_to_its_consumer(broker: Broker) -> None:
    events = [an_accepted_order(), an_accepted_order("monday")]
    assert await broker.intake.put_many(events) == {event.order_id for event in events}
    assert events_of(await receive(broker.accepted, 2)) == events


async def test_a_safe_change_is_delivered_behind_its_order(broker: Broker) -> None:
    order = an_accepted_order()
    changes = [
        OrderChangeAccepted(
            order_id=order.order_id, at=NOW, job_id=JobId(uuid4()), asked='{"change":"cancel"}', signature="0af1"
        )
        for _ in range(2)
    ]
    await broker.intake.put_many([order])
    assert await broker.intake.put_changes(changes) == {change.job_id for change in changes}
    assert not await broker.intake.is_empty()
    assert events_of(await receive(broker.accepted, 3)) == [order, *changes]


async def test_nothing_to_put_is_no_trouble(broker: Broker) -> None:
    assert await broker.intake.put_many([]) == set()


async def test_it_is_empty_only_when_all_is_settled(broker: Broker) -> None:
    assert await broker.intake.is_empty()
    await broker.intake.put_many([an_accepted_order()])
    assert not await broker.intake.is_empty()
    [delivery] = await receive(broker.accepted, 1)
    await broker.accepted.ack([delivery])

    async def is_settled() -> bool:
        # A broker that was slow may have got the order twice, the second time by way of the queue of later attempts.
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await broker.accepted.ack(await broker.accepted.receive(10))
        return await broker.intake.is_empty()

    await until(is_settled, seconds=PATIENCE, what="nothing waits any more")


async def test_it_is_not_empty_while_an_order_waits_for_another_attempt(broker: Broker) -> None:
    await broker.intake.put_many([an_accepted_order()])
    [delivery] = await receive(broker.accepted, 1)
    # The last delay of all, for which a message waits in the broker.
    await broker.accepted.retry(evolve(delivery, attempt=99), reason="the database is gone")
    assert not await broker.intake.is_empty()


async def test_calls_at_once_lose_nothing(broker: Broker) -> None:
    calls = [[an_accepted_order() for _ in range(40)] for _ in range(8)]
    safe = await asyncio.gather(*(broker.intake.put_many(events) for events in calls))
    assert safe == [{event.order_id for event in events} for events in calls]
    received = events_of(await receive(broker.accepted, 320))
    assert {event.order_id for event in received} == set().union(*safe)


async def test_an_order_that_no_queue_takes_is_not_safe(amqp_url: str) -> None:
    async with (
        own_topology(amqp_url) as topology,
        open_publisher(amqp_url, topology) as publisher,
        channel(amqp_url) as open_channel,
    ):
        # Somebody else's queue, which gets all that is published.
        await open_channel.queue_declare(audit := f"{topology.namespace}.audit", exclusive=True)
        await open_channel.queue_bind(audit, topology.exchange, routing_key="#")
        await open_channel.queue_delete(topology.queue("intake"))
        intake = PublishedIntake(publisher, QueueIsEmpty(amqp_url, topology, "intake", timeouts=Timeouts()))
        assert await intake.put_many([an_accepted_order()]) == set()
        with pytest.raises(Trouble):
            await intake.is_empty()


async def test_without_the_broker_nothing_is_safe(amqp_url: str) -> None:
    async with (
        own_topology(amqp_url) as topology,
        cable(amqp_url) as wire,
        open_publisher(wire.url, topology) as publisher,
    ):
        intake = PublishedIntake(publisher, _never)
        await intake.put_many([an_accepted_order()])
        wire.plugged = False
        wire.cut()
        with pytest.raises(Trouble):
            await intake.put_many([an_accepted_order()])


async def soon(intake: IntakeQueue) -> bool:
    """Whether an order is safe within half a second."""
    event = an_accepted_order()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            return await intake.put_many([event]) == {event.order_id}
    return False


async def test_a_connection_is_opened_even_if_every_caller_timed_out(amqp_url: str) -> None:
    async with (
        own_topology(amqp_url) as topology,
        cable(amqp_url) as wire,
        open_publisher(wire.url, topology) as publisher,
    ):
        intake = PublishedIntake(publisher, _never)
        wire.delay = 0.1
        assert not await soon(intake)
        await until(partial(soon, intake), seconds=PATIENCE, what="an order is safe")


async def test_a_silent_connection_is_closed_even_if_every_caller_timed_out(amqp_url: str) -> None:
    async with (
        own_topology(amqp_url) as topology,
        cable(amqp_url) as wire,
        open_publisher(wire.url, topology, timeouts=Timeouts(confirm=2, close=0.3)) as publisher,
    ):
        # Work that has no detour, as orders have.
        sent = entries(payment_requested())

        async def is_safe() -> bool:
            with suppress(TimeoutError, Trouble):
                async with asyncio.timeout(0.5):
                    return await publisher.enqueue(sent) == sent
            return False

        assert await publisher.enqueue(sent) == sent
        wire.silence()
        assert not await is_safe()
        # Long before a heartbeat is missed.
        await until(is_safe, seconds=10, what="work is safe")
