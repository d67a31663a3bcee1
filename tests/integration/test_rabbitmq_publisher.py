"""What can go wrong between us and RabbitMQ while we publish, and that it costs no event."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import evolve

from adapters.codecs.announced import announced
from adapters.rabbitmq.declaring import declare_topology, remove_old_bindings
from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.publisher import RabbitPublisher, open_publisher
from adapters.rabbitmq.sender import Sender
from adapters.rabbitmq.subscription import open_subscription
from adapters.rabbitmq.topology import Topology
from application.errors import OutcomeUnknown, Trouble, Unavailable
from application.messaging.subscriptions import QUEUE_OF
from application.ports.outbox import OutboxEntry
from domain.orders.events import Event
from tests.brokers import (
    ACK,
    NACK,
    QUICK,
    channel,
    count,
    entries,
    events_of,
    eventually,
    order_paid,
    payment_requested,
    receive,
    refund_requested,
    take,
)
from tests.cables import PATIENCE, Cable


@pytest.fixture
async def publisher(wire: Cable, topology: Topology) -> AsyncIterator[RabbitPublisher]:
    async with open_publisher(wire.url, topology, timeouts=evolve(QUICK, confirm=5)) as publisher:
        yield publisher


async def publish_at_last(publisher: RabbitPublisher, sent: list[OutboxEntry]) -> None:
    """As the relay does it: again and again, until everything is confirmed."""
    async with asyncio.timeout(PATIENCE):
        while sent:
            try:
                confirmed = await publisher.enqueue(sent)
            except Trouble:
                continue
            sent = [entry for entry in sent if entry not in confirmed]


async def test_an_event_that_must_arrive_is_unconfirmed_while_its_queue_is_gone(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    payments = entries(*(payment_requested(number) for number in range(1, 20)))
    others = entries(refund_requested(), refund_requested())
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_delete(topology.queue("payments"))

    assert await publisher.enqueue([others[0], *payments, others[1]]) == others

    await declare_topology(amqp_url, topology)
    assert await publisher.enqueue(payments) == payments
    assert await count(amqp_url, topology.queue("payments")) == len(payments)


async def test_an_event_that_the_broker_refuses_is_unconfirmed(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    async with channel(amqp_url) as open_channel:
        full = f"{topology.namespace}.full"
        await open_channel.queue_declare(
            full, exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
        )
        await open_channel.queue_bind(full, topology.exchange, routing_key="order.paid")
        refused, taken = entries(order_paid(), payment_requested())

        assert await publisher.announce([refused, taken]) == [taken]
        assert await publisher.enqueue([taken]) == [taken]


@pytest.mark.parametrize("work", [payment_requested(), refund_requested()], ids=lambda work: work.type)
async def test_what_only_a_stranger_has_is_not_taken_for_enqueued(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, work: Event
) -> None:
    async with channel(amqp_url) as open_channel:
        audit = f"{topology.namespace}.audit"
        await open_channel.queue_declare(audit, exclusive=True)
        await open_channel.queue_bind(audit, topology.exchange, routing_key="#")
        await open_channel.queue_delete(topology.queue(QUEUE_OF[work.type].name))

        assert await publisher.enqueue(entries(work)) == []


async def test_a_queue_without_any_binding_gets_its_work(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    await remove_old_bindings(amqp_url, topology)
    sent = entries(payment_requested())
    assert await publisher.enqueue(sent) == sent
    assert await count(amqp_url, topology.queue("payments")) == 1


async def test_after_an_upgrade_work_comes_once(amqp_url: str, topology: Topology, publisher: RabbitPublisher) -> None:
    queue, (before, after) = topology.queue("payments"), entries(payment_requested(1), payment_requested(2))
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_bind(queue, topology.exchange, routing_key=before.type)
        # As an earlier release sent it.
        await open_channel.basic_publish(before.body, exchange=topology.exchange, routing_key=before.type)

    await remove_old_bindings(amqp_url, topology)
    await remove_old_bindings(amqp_url, topology)
    await publisher.enqueue([after])
    await publisher.announce([after])

    assert [(await take(amqp_url, queue)).body for _ in range(2)] == [before.body, after.body]
    assert await count(amqp_url, queue) == 0


async def test_strangers_hear_of_requests_and_never_of_accepted_orders(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    async with channel(amqp_url) as open_channel:
        audit = f"{topology.namespace}.audit"
        await open_channel.queue_declare(audit, exclusive=True)
        await open_channel.queue_bind(audit, topology.exchange, routing_key="#")
        sent = entries(payment_requested())
        await publisher.enqueue(sent)
        assert (await open_channel.basic_get(audit, no_ack=True)).delivery_tag is None
        await publisher.announce(sent)
        heard = await open_channel.basic_get(audit, no_ack=True)
        assert heard.body == announced(sent[0])[0]
        headers = heard.header.properties.headers
        assert headers is not None
        assert headers["cloudEvents_id"] == f"{sent[0].id.order_id}/{sent[0].id.sequence}"


@pytest.mark.parametrize("kind", [{"durable": True}, {"exclusive": True}], ids=["classic", "of another program"])
async def test_nothing_is_sent_to_a_queue_whose_confirm_does_not_mean_that_it_is_safe(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher, kind: dict[str, Any]
) -> None:
    payments, refunds = entries(payment_requested(1)), entries(refund_requested(2))
    async with channel(amqp_url) as open_channel:
        await open_channel.queue_delete(topology.queue("payments"))
        await open_channel.queue_declare(topology.queue("payments"), **kind)

        assert await publisher.enqueue([*payments, *refunds, *payments]) == refunds
        assert await publisher.enqueue(payments) == []
        assert (await open_channel.queue_declare(topology.queue("payments"), passive=True)).message_count == 0
        await open_channel.queue_delete(topology.queue("payments"))

    # Once a person has mended it.
    await declare_topology(amqp_url, topology)
    await publish_at_last(publisher, payments)


async def test_a_queue_that_is_declared_anew_as_another_kind_while_messages_are_sent_soon_gets_none(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    payments, refunds = entries(payment_requested(1)), entries(refund_requested(2))
    assert await publisher.enqueue(payments) == payments
    async with channel(amqp_url) as open_channel, asyncio.timeout(PATIENCE):
        await open_channel.queue_delete(topology.queue("payments"))
        await open_channel.queue_declare(topology.queue("payments"), durable=True)
        while await publisher.enqueue([*payments, *refunds]) != refunds:  # noqa: ASYNC110 - it looks at intervals
            await asyncio.sleep(0.02)
        await open_channel.queue_delete(topology.queue("payments"))

    await declare_topology(amqp_url, topology)
    await publish_at_last(publisher, payments)


async def test_messages_are_persistent_and_say_what_they_are(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    (entry,) = entries(payment_requested(7))

    await publisher.enqueue([entry, entry])

    first, second = [await take(amqp_url, topology.queue("payments")) for _ in range(2)]
    properties = first.header.properties
    assert properties.delivery_mode == 2
    assert properties.message_type == "order.payment_requested"
    assert properties.content_type == "application/json"
    assert properties.headers is not None
    assert properties.headers["event-id"] == f"{entry.id.order_id}/7"
    assert properties.message_id != second.header.properties.message_id
    assert first.body == second.body == entry.body


async def test_a_body_larger_than_a_frame_arrives_whole(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    (entry,) = entries(payment_requested())
    large = OutboxEntry(entry.position, entry.id, entry.type, entry.body + b" " * 250_000)

    assert await publisher.enqueue([large]) == [large]

    assert (await take(amqp_url, topology.queue("payments"))).body == large.body


async def test_a_missing_exchange_is_named_with_what_to_do(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    async with channel(amqp_url) as open_channel:
        await open_channel.exchange_delete(topology.exchange)

    with pytest.raises(OutcomeUnknown, match=rf"{topology.exchange}.*holdfast migrate"):
        await publisher.announce(entries(order_paid()))

    await declare_topology(amqp_url, topology)
    sent = entries(order_paid())
    assert await publisher.announce(sent) == sent


async def test_a_broker_that_is_down_is_connected_to_once_it_is_back(
    wire: Cable, topology: Topology, publisher: RabbitPublisher
) -> None:
    wire.plugged = False
    for _ in range(3):
        with pytest.raises(Unavailable, match="can't be reached") as refusal:
            await publisher.enqueue(entries(payment_requested()))
        assert "guest" not in str(refusal.value)

    wire.plugged = True
    sent = entries(payment_requested())
    assert await publisher.enqueue(sent) == sent


async def test_a_connection_that_breaks_under_load_costs_no_event(
    amqp_url: str, wire: Cable, topology: Topology, publisher: RabbitPublisher
) -> None:
    events = [payment_requested(number) for number in range(1, 601)]
    sending = [asyncio.create_task(publish_at_last(publisher, entries(*events[at::6]))) for at in range(6)]
    for _ in range(5):
        await eventually(lambda: wire.connections() > 0 or all(task.done() for task in sending))
        wire.cut()
    await asyncio.gather(*sending)

    async with open_subscription(amqp_url, topology, "payments") as queue:
        missing = {event.sequence for event in events}
        async with asyncio.timeout(PATIENCE):
            while missing:
                deliveries = await queue.receive(512)
                await queue.ack(deliveries)
                missing -= {event.sequence for event in events_of(deliveries)}


async def test_nobody_knows_what_became_of_messages_whose_connection_broke(
    wire: Cable, topology: Topology, publisher: RabbitPublisher
) -> None:
    await publisher.enqueue(entries(payment_requested()))
    wire.loses_answer_to = topology.queue("payments").encode()

    with pytest.raises(OutcomeUnknown):
        await publisher.enqueue(entries(payment_requested()))


async def test_what_can_not_be_written_is_no_fault_of_the_broker(wire: Cable, topology: Topology) -> None:
    sender = Sender(wire.url, "sender", QUICK)
    good = Message("order.paid", b"{}", "order.paid", {}, topology.exchange, mandatory=False)
    try:
        assert await sender.send([good]) == [True]
        with pytest.raises(OverflowError):
            await sender.send([good, good._replace(type="x" * 300)])
        wire.plugged = False  # another connection would not be let through
        assert await sender.send([good]) == [True]
    finally:
        await sender.close()


async def test_a_message_without_a_queue_says_nothing_of_leaders(wire: Cable, topology: Topology) -> None:
    """A refusal is taken for want of a leader now and then only, and one of another kind must not be that once."""
    sender = Sender(wire.url, "sender", evolve(QUICK, watch=PATIENCE), doubts_refusals=True)
    lost = Message(f"{topology.namespace}.nowhere", b"{}", "order.paid", {})
    try:
        assert await sender.send([lost]) == [False]
        wire.replaces = (ACK, NACK)
        with pytest.raises(Unavailable, match="no leader"):
            await sender.send([lost._replace(routing_key=topology.queue("payments"))])
    finally:
        await sender.close()


async def test_what_this_release_can_t_announce_is_not_taken_for_announced(publisher: RabbitPublisher) -> None:
    """A later release may have stored it."""
    unknown, known = entries(order_paid(1), order_paid(2))
    assert await publisher.announce([evolve(unknown, type="order.teleported"), known]) == [known]


async def test_a_confirm_that_never_comes_is_not_waited_for(
    wire: Cable, topology: Topology, publisher: RabbitPublisher
) -> None:
    await publisher.enqueue(entries(payment_requested()))
    wire.silence()

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OutcomeUnknown, match="confirmed nothing within 5 s"):
            await publisher.enqueue(entries(payment_requested()))

    sent = entries(payment_requested())
    assert await publisher.enqueue(sent) == sent


async def test_a_silent_broker_is_given_up_while_connecting(
    wire: Cable, topology: Topology, publisher: RabbitPublisher
) -> None:
    wire.silent_from_now = True

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable, match="did not answer within 5 s"):
            await publisher.enqueue(entries(payment_requested()))


async def test_to_cancel_a_publish_at_any_moment_harms_none_that_follow(
    amqp_url: str, topology: Topology, publisher: RabbitPublisher
) -> None:
    for turn in range(30):
        publishing = asyncio.create_task(publisher.enqueue(entries(refund_requested(), refund_requested())))
        for _ in range(turn):
            await asyncio.sleep(0)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)

    sent = entries(*(payment_requested(number) for number in range(1, 50)))
    await publish_at_last(publisher, sent)
    async with open_subscription(amqp_url, topology, "payments") as queue:
        received = await receive(queue, 49)
    assert [delivery.event.sequence for delivery in received] == list(range(1, 50))


async def test_all_who_wait_for_a_connection_wait_for_the_same_one(wire: Cable, publisher: RabbitPublisher) -> None:
    wire.silent_from_now = True
    # One after the other, they would need five times as long.
    async with asyncio.timeout(4 * QUICK.connect):
        publishing = (publisher.enqueue(entries(payment_requested())) for _ in range(5))
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
