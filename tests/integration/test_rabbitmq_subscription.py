"""What can go wrong between RabbitMQ and a worker, and that no event is lost by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest

from adapters.codecs.events import encode
from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.publisher import RabbitPublisher, open_publisher
from adapters.rabbitmq.subscription import RabbitSubscription, open_subscription
from adapters.rabbitmq.topology import Topology
from application.errors import OutcomeUnknown, Unavailable
from application.ports.messaging import Delivery
from tests.brokers import (
    QUICK,
    channel,
    count,
    entries,
    events_of,
    eventually,
    headers_of,
    is_consumed,
    payment_requested,
    put,
    receive,
    stays_empty,
    take,
)
from tests.cables import PATIENCE, Cable


@pytest.fixture
async def publisher(amqp_url: str, topology: Topology) -> AsyncIterator[RabbitPublisher]:
    async with open_publisher(amqp_url, topology) as publisher:
        yield publisher


@pytest.fixture
async def queue(wire: Cable, topology: Topology) -> AsyncIterator[RabbitSubscription]:
    async with open_subscription(wire.url, topology, "payments", timeouts=QUICK) as queue:
        yield queue


async def receive_at_last(queue: RabbitSubscription, expected: int) -> list[Delivery]:
    """As a worker does it: a broker that is gone for a while is tried again."""
    found: list[Delivery] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < expected:
            try:
                found += await queue.receive(expected - len(found))
            except Unavailable:
                found.clear()
    return found


BAD = {
    "no JSON": b"\xff\xfe not json",
    "empty": b"",
    "unknown type": b'{"type":"order.teleported","schema":1}',
    "future schema": encode(payment_requested()).replace(b'"schema":1', b'"schema":2'),
    "wrong field": encode(payment_requested()).replace(b'"sequence":1', b'"sequence":"one"'),
    "deep": b"[" * 100_000,
    "a string": b'"payment"',
    "lone surrogate": b'{"type":"\\ud800","schema":1}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_message_is_dead_lettered_and_its_neighbours_are_not_delayed(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, queue: RabbitSubscription, bad: bytes
) -> None:
    before, after = payment_requested(1), payment_requested(2)
    await publisher.enqueue(entries(before))
    await put(amqp_url, topology.queue("payments"), bad)
    await publisher.enqueue(entries(after))

    deliveries = await receive(queue, 2)
    await queue.ack(deliveries)

    assert events_of(deliveries) == [before, after]
    message = await take(amqp_url, topology.dead("payments"))
    assert message.body == bad
    assert headers_of(message)["reason"].partition(": ")[0] in {"NotJson", "BadMessage", "FromLaterRelease"}
    assert headers_of(message)["attempts"] == 1
    assert await stays_empty(queue)


async def test_a_strangers_headers_do_no_harm(amqp_url: str, topology: Topology, queue: RabbitSubscription) -> None:
    event = payment_requested()
    strange = {"attempt": -5, "x-delivery-count": "many", "first-at": 7, "event-id": "x" * 10_000, "reason": True}
    await put(amqp_url, topology.queue("payments"), encode(event), **strange)

    (delivery,) = await receive(queue, 1)
    assert (delivery.event, delivery.attempt) == (event, 1)
    await queue.dead_letter(delivery, reason="\ud800" * 100_000)

    assert (await take(amqp_url, topology.dead("payments"))).body == encode(event)


async def test_a_dead_letter_tells_its_story(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    event = payment_requested(3)
    await publisher.enqueue(entries(event))
    await queue.retry((await receive(queue, 1))[0], reason="Unavailable: silence")
    await queue.dead_letter((await receive(queue, 1))[0], reason="UnknownOrder: no such order")

    message = await take(amqp_url, topology.dead("payments"))

    headers = headers_of(message)
    assert headers["event-id"] == f"{event.order_id}/3"
    assert headers["attempts"] == 2
    assert headers["reason"] == "UnknownOrder: no such order"
    assert datetime.fromisoformat(headers["first-at"]) < datetime.fromisoformat(headers["last-at"])
    assert message.header.properties.message_type == "order.payment_requested"
    assert message.header.properties.delivery_mode == 2


async def test_what_is_unsettled_is_brought_to_another_at_once_when_its_holder_stops(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    events = [payment_requested(number) for number in range(1, 6)]
    await publisher.enqueue(entries(*events))
    async with open_subscription(amqp_url, topology, "payments") as first:
        held = await receive(first, 5)
        await first.ack([held[1], held[3]])

    async with open_subscription(amqp_url, topology, "payments") as second, asyncio.timeout(60):
        again = await receive(second, 3)

    assert events_of(again) == [events[0], events[2], events[4]]
    assert [delivery.attempt for delivery in again] == [2, 2, 2]


async def test_competing_workers_share_without_loss(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    events = [payment_requested(number) for number in range(1, 301)]
    shares: list[list[int]] = [[], [], []]

    async def work(queue: RabbitSubscription, share: list[int]) -> None:
        while True:
            deliveries = await queue.receive(16)
            await queue.ack(deliveries)
            share += [delivery.event.sequence for delivery in deliveries]

    async with AsyncExitStack() as stack:
        queues = [
            await stack.enter_async_context(open_subscription(amqp_url, topology, "payments", prefetch=16))
            for _ in shares
        ]
        workers = [asyncio.create_task(work(*each)) for each in zip(queues, shares, strict=True)]
        await publisher.enqueue(entries(*events))
        await eventually(lambda: sum(map(len, shares)) >= len(events))
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    assert sorted(sequence for share in shares for sequence in share) == list(range(1, 301))
    assert all(shares)


async def test_a_lost_connection_brings_everything_again(
    wire: Cable, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    events = [payment_requested(number) for number in range(1, 4)]
    await publisher.enqueue(entries(*events))
    held = await receive(queue, 3)
    wire.cut()

    again = await receive_at_last(queue, 3)

    assert events_of(again) == events
    for settle in (queue.ack(held), queue.retry(held[0], reason="x"), queue.dead_letter(held[0], reason="x")):
        with pytest.raises(Unavailable, match="redelivered"):
            await settle
    await queue.ack(again)
    assert await stays_empty(queue)


async def test_to_receive_while_the_broker_is_down_says_so_and_works_once_it_is_back(
    wire: Cable, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    event = payment_requested()
    await publisher.enqueue(entries(event))
    wire.plugged = False
    for _ in range(3):
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable, match="can't be reached") as refusal:
                await queue.receive(1)
        assert "guest" not in str(refusal.value)

    wire.plugged = True

    assert events_of(await receive(queue, 1)) == [event]


async def test_one_who_waits_notices_that_the_connection_has_gone_silent(
    amqp_url: str, topology: Topology, wire: Cable, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    receiving = asyncio.create_task(receive_at_last(queue, 1))
    await is_consumed(amqp_url, topology.queue("payments"))
    wire.silence()
    event = payment_requested()
    await publisher.enqueue(entries(event))

    await eventually(lambda: wire.connections() == 1)
    # The broker has a watch of its own, and until then keeps what it has sent into the silence.
    wire.cut_silent()

    async with asyncio.timeout(PATIENCE):
        assert events_of(await receiving) == [event]


async def test_by_default_a_lost_consumer_is_noticed_within_15_seconds() -> None:
    timeouts = Timeouts()

    assert timeouts.watch + 2 * timeouts.answer <= 15
    assert 2 * timeouts.watch + timeouts.answer <= 15


async def test_a_queue_that_was_deleted_is_consumed_again_once_it_is_declared(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    receiving = asyncio.create_task(queue.receive(1))
    await is_consumed(amqp_url, topology.queue("payments"))
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_delete(topology.queue("payments"))
    with pytest.raises(Unavailable, match="holdfast migrate"):
        await asyncio.wait_for(receiving, PATIENCE)

    await declare_topology(amqp_url, topology)
    event = payment_requested()
    await publisher.enqueue(entries(event))

    assert events_of(await receive_at_last(queue, 1)) == [event]


async def test_what_kills_its_worker_is_worked_on_alone(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    events = [payment_requested(number) for number in range(1, 4)]
    await publisher.enqueue(entries(*events))
    for _ in range(3):
        async with open_subscription(amqp_url, topology, "payments") as dying:
            await receive(dying, 3)
    fresh = [payment_requested(number) for number in range(4, 9)]

    async with open_subscription(amqp_url, topology, "payments") as queue:
        await publisher.enqueue(entries(*fresh))
        batches: list[list[Delivery]] = []
        async with asyncio.timeout(PATIENCE):
            while sum(map(len, batches)) < 8:
                batches.append(await queue.receive(100))
        for batch in batches:
            await queue.ack(batch)

    suspects = [batch for batch in batches if batch[0].attempt > 1]
    assert [len(batch) for batch in suspects] == [1, 1, 1]
    assert {batch[0].event for batch in suspects} == set(events)
    assert {batch[0].attempt for batch in suspects} == {4}


async def test_when_later_fails_the_message_is_brought_again(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    event = payment_requested()
    await publisher.enqueue(entries(event))
    (delivery,) = await receive(queue, 1)
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_delete(topology.later("payments"))

    with pytest.raises(Unavailable, match="holdfast migrate"):
        await queue.retry(delivery, reason="Aborted: a deadlock")

    assert events_of(await receive_at_last(queue, 1)) == [event]


@pytest.mark.parametrize("which", ["later", "dead"])
@pytest.mark.parametrize("kind", [None, {"durable": True}, {"exclusive": True}], ids=["gone", "classic", "of another"])
async def test_a_delivery_is_kept_that_its_next_queue_can_not_be_trusted_with(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, which: str, kind: dict[str, Any] | None
) -> None:
    """It waits in the worker, and costs the others nothing: they are settled, and none comes again."""
    next_queue = getattr(topology, which)("payments")
    async with channel(amqp_url) as stranger:
        await stranger.queue_delete(next_queue)
        if kind is not None:
            await stranger.queue_declare(next_queue, **kind)
        bad, *good = [payment_requested(number) for number in (1, 2, 3)]
        await publisher.enqueue(entries(bad, *good))
        async with open_subscription(amqp_url, topology, "payments", timeouts=QUICK) as queue:
            first, *others = await receive(queue, 3)
            for attempt in (1, 2):
                assert (first.event, first.attempt) == (bad, attempt)
                with pytest.raises(Unavailable, match="holdfast migrate"):
                    await (queue.retry if which == "later" else queue.dead_letter)(first, reason="a surprise")
                (first,) = await receive(queue, 1)
            await queue.ack(others)
            if kind is not None:
                assert (await stranger.queue_declare(next_queue, passive=True)).message_count == 0
                await stranger.queue_delete(next_queue)
            # Once a person has mended it.
            await declare_topology(amqp_url, topology)
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        await queue.dead_letter(first, reason="a surprise")
                        break
                    except Unavailable:
                        (first,) = await queue.receive(1)
    assert (await take(amqp_url, topology.dead("payments"))).body == encode(bad)


async def test_all_delays_but_the_last_are_waited_for_in_the_worker(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    patient = Topology(topology.namespace, delays=(0.05, 0.05, 60.0, *topology.delays))
    event = payment_requested()
    await publisher.enqueue(entries(event))
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_delete(topology.later("payments"))
    async with open_subscription(amqp_url, patient, "payments", timeouts=QUICK) as queue:
        for attempt in (1, 2, 3):
            (delivery,) = await receive(queue, 1)
            assert (delivery.event, delivery.attempt) == (event, attempt)
            await queue.retry(delivery, reason="Aborted: a deadlock")
    # The worker has stopped while it waited there.
    async with open_subscription(amqp_url, patient, "payments", timeouts=QUICK) as queue:
        (delivery,) = await receive(queue, 1)
        assert delivery.event == event
        await queue.ack([delivery])
        assert await stays_empty(queue)


async def test_what_waits_in_the_worker_leaves_room_for_others(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    patient = Topology(topology.namespace, delays=(60.0, *topology.delays))
    await publisher.enqueue(entries(*(payment_requested(number) for number in range(1, 11))))
    async with open_subscription(amqp_url, patient, "payments", prefetch=10, timeouts=QUICK) as queue:
        for delivery in await receive(queue, 10):
            await queue.retry(delivery, reason="Unavailable: the provider is silent")
        # Half of the ten wait here for a minute. The others have been in the broker meanwhile.
        again = await receive(queue, 5)
        assert [delivery.attempt for delivery in again] == [2] * 5
        await queue.ack(again)
        await publisher.enqueue(entries(*(payment_requested(number) for number in range(11, 21))))
        assert len(await receive(queue, 5)) == 5


async def test_a_dead_letter_tells_when_it_first_failed_though_it_waited_in_the_worker(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    patient = Topology(topology.namespace, delays=(0.05, *topology.delays))
    await publisher.enqueue(entries(payment_requested()))
    async with open_subscription(amqp_url, patient, "payments", timeouts=QUICK) as queue:
        await queue.retry((await receive(queue, 1))[0], reason="Unavailable: silence")
        await queue.dead_letter((await receive(queue, 1))[0], reason="UnknownOrder: no such order")
    headers = headers_of(await take(amqp_url, topology.dead("payments")))
    assert headers["attempts"] == 2
    assert datetime.fromisoformat(headers["first-at"]) < datetime.fromisoformat(headers["last-at"])


async def test_to_settle_twice_settles_once(publisher: RabbitPublisher, queue: RabbitSubscription) -> None:
    await publisher.enqueue(entries(payment_requested(1), payment_requested(2)))
    first, second = await receive(queue, 2)

    await queue.ack([first])
    await queue.ack([first])
    await queue.ack([first, second])

    await publisher.enqueue(entries(payment_requested(3)))
    assert (await receive(queue, 1))[0].event.sequence == 3


async def test_acks_that_cross_each_other_cost_no_connection(
    wire: Cable, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    await publisher.enqueue(entries(*(payment_requested(number) for number in range(1, 301))))
    deliveries = await receive(queue, 300)
    wire.plugged = False  # another connection would not be let through

    # In parts that interleave, and so many at once that they have to wait for the socket.
    await asyncio.gather(*(queue.ack(deliveries[at::20]) for at in reversed(range(20))))

    fresh = payment_requested(301)
    await publisher.enqueue(entries(fresh))
    assert events_of(await receive(queue, 1)) == [fresh]


async def test_what_a_lost_connection_brought_is_not_acked(
    wire: Cable, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    await publisher.enqueue(entries(payment_requested(1), payment_requested(2)))
    held = await receive(queue, 2)
    wire.cut()
    again = await receive_at_last(queue, 2)

    with pytest.raises(Unavailable, match="will be redelivered"):
        await queue.ack(held)
    with pytest.raises(OutcomeUnknown, match="will be redelivered"):
        await queue.ack([*held, *again])


async def test_to_cancel_a_settlement_at_any_moment_loses_nothing(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, queue: RabbitSubscription
) -> None:
    events = [payment_requested(number) for number in range(1, 13)]
    await publisher.enqueue(entries(*events))
    settled: list[asyncio.Task[None]] = []
    for turn in range(12):
        (delivery,) = await receive_at_last(queue, 1)
        settling = asyncio.create_task(queue.dead_letter(delivery, reason="enough"))
        for _ in range(turn * 3):
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        settled.append(settling)
    await queue.close()

    async with channel(amqp_url) as open_channel, asyncio.timeout(PATIENCE):
        found: set[bytes] = set()
        while len(found) < len(events):
            for name in (topology.queue("payments"), topology.dead("payments")):
                message = await open_channel.basic_get(name, no_ack=True)
                if message.delivery_tag is not None:
                    found.add(message.body)

    assert found == {encode(event) for event in events}


async def test_memory_stays_bounded_however_much_waits(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    await publisher.enqueue(entries(*(payment_requested(number) for number in range(1, 201))))
    async with open_subscription(amqp_url, topology, "payments", prefetch=20) as queue:
        await queue.receive(1)
        async with asyncio.timeout(PATIENCE):
            while await count(amqp_url, topology.queue("payments")) > 180:
                pass
        # The broker sends what it may send at once: more would have gone before it answered again.
        assert await count(amqp_url, topology.queue("payments")) == 180
