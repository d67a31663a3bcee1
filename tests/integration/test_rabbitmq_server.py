"""What happens to the server itself, and that it costs no event."""

import asyncio
from contextlib import suppress

import pytest

from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.probe import BrokerProbe
from adapters.rabbitmq.publisher import RabbitPublisher, open_publisher
from adapters.rabbitmq.subscription import RabbitSubscription, open_subscription
from adapters.rabbitmq.topology import Topology
from application.errors import OutcomeUnknown, Trouble, Unavailable
from application.ports.outbox import OutboxEntry
from tests.brokers import entries, events_of, payment_requested, receive
from tests.servers import RabbitServer
from tests.service import until

QUICK = Timeouts(confirm=2, close=0.5, watch=1, retry=0.2)
TOPOLOGY = Topology(delays=(0.1,))


async def publish_at_last(publisher: RabbitPublisher, sent: list[OutboxEntry]) -> None:
    async with asyncio.timeout(60):
        while sent:
            try:
                confirmed = await publisher.enqueue(sent)
            except Trouble:
                continue
            sent = [entry for entry in sent if entry not in confirmed]


async def drain(queue: RabbitSubscription, expected: int) -> set[int]:
    found: set[int] = set()
    async with asyncio.timeout(60):
        while len(found) < expected:
            try:
                deliveries = await queue.receive(100)
                await queue.ack(deliveries)
            except Trouble:
                continue
            found |= {delivery.event.sequence for delivery in deliveries}
    return found


async def test_confirmed_events_survive_a_server_that_is_killed(own_rabbitmq: RabbitServer) -> None:
    url = own_rabbitmq.url
    await declare_topology(url, TOPOLOGY)
    await asyncio.to_thread(own_rabbitmq.sync)
    async with (
        open_publisher(url, TOPOLOGY, timeouts=QUICK) as publisher,
        open_subscription(url, TOPOLOGY, "payments", timeouts=QUICK) as queue,
    ):
        await publish_at_last(publisher, entries(*(payment_requested(number) for number in range(1, 101))))
        (waiting_for_later,) = await receive(queue, 1)
        await queue.retry(waiting_for_later, reason="Aborted: a deadlock")

        await asyncio.to_thread(own_rabbitmq.kill)
        with pytest.raises(Trouble):
            await publisher.enqueue(entries(payment_requested(101)))
        await asyncio.to_thread(own_rabbitmq.start)

        await publish_at_last(publisher, entries(payment_requested(101)))
        assert await drain(queue, 101) == set(range(1, 102))


async def test_an_alarm_of_the_server_blocks_publishing_and_not_consuming(own_rabbitmq: RabbitServer) -> None:
    url = own_rabbitmq.url
    await declare_topology(url, TOPOLOGY)
    async with (
        open_publisher(url, TOPOLOGY, timeouts=QUICK) as publisher,
        open_subscription(url, TOPOLOGY, "payments", timeouts=QUICK) as queue,
    ):
        before, blocked = payment_requested(1), payment_requested(2)
        await publisher.enqueue(entries(before))
        await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0")

        with pytest.raises(OutcomeUnknown, match="alarms"):
            await publisher.enqueue(entries(blocked))
        deliveries = await receive(queue, 1)
        await queue.ack(deliveries)
        assert events_of(deliveries) == [before]

        await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")
        await publish_at_last(publisher, entries(blocked))
        assert await drain(queue, 1) == {2}


async def test_a_server_with_an_alarm_is_not_ready_until_it_is_over(own_rabbitmq: RabbitServer) -> None:
    await declare_topology(own_rabbitmq.url, TOPOLOGY)
    probe = BrokerProbe(own_rabbitmq.url, TOPOLOGY)
    await probe.check()

    await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
    with pytest.raises(Unavailable, match=r"did not answer .* is one of its alarms on"):
        await probe.check()
    await probe.close()
    # As `holdfast doctor` does.
    with pytest.raises(Unavailable, match="alarms"):
        await BrokerProbe(own_rabbitmq.url, TOPOLOGY).expect_taking()

    await asyncio.to_thread(own_rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")

    async def is_ready() -> bool:
        with suppress(Unavailable):
            await probe.check()
            return True
        return False

    await until(is_ready, seconds=60, what="the broker takes messages again")
    await probe.close()
