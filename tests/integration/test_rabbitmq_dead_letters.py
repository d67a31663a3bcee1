"""What can go wrong on the way from a queue of dead letters to the table, and that nothing is lost by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from adapters.rabbitmq.dead_letters import RabbitDeadLetterQueue, open_dead_letters
from adapters.rabbitmq.topology import Topology
from application.errors import Trouble, Unavailable
from application.ports.messaging import DeadDelivery
from tests.brokers import PATIENCE, QUICK, channel, count, put
from tests.cables import Cable


@pytest.fixture
async def queue(wire: Cable, topology: Topology) -> AsyncIterator[RabbitDeadLetterQueue]:
    async with open_dead_letters(wire.url, topology, "payments", look_every=0.02, timeouts=QUICK) as queue:
        yield queue


async def receive_at_last(queue: RabbitDeadLetterQueue) -> list[DeadDelivery]:
    """As a worker does it: a broker that is gone for a while is tried again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await queue.receive(100)
            except Unavailable:
                pass


async def test_a_lost_connection_brings_again_what_was_not_done(
    amqp_url: str, wire: Cable, topology: Topology, queue: RabbitDeadLetterQueue
) -> None:
    await put(amqp_url, topology.dead("payments"), b"poison")
    held = await receive_at_last(queue)
    wire.cut()
    async with asyncio.timeout(PATIENCE):
        # The broker takes a moment to see that we are gone.
        while await count(amqp_url, topology.dead("payments")) == 0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
    with suppress(Trouble):
        await queue.ack(held)
    again = await receive_at_last(queue)
    assert [delivery.message.body for delivery in again] == [b"poison"]
    await queue.ack(again)
    await queue.close()
    assert await count(amqp_url, topology.dead("payments")) == 0


async def test_a_silent_broker_is_given_up_in_time(wire: Cable, queue: RabbitDeadLetterQueue) -> None:
    waiting = asyncio.create_task(queue.receive(1))
    async with asyncio.timeout(PATIENCE):
        while not wire.connections():  # noqa: ASYNC110 - the wire tells nobody
            await asyncio.sleep(0.02)
        wire.silence()
        wire.silent_from_now = True
        with pytest.raises(Unavailable, match="did not answer"):
            await waiting


async def test_what_the_broker_gave_up_by_itself_says_so(
    amqp_url: str, topology: Topology, queue: RabbitDeadLetterQueue
) -> None:
    await put(amqp_url, topology.queue("payments"), b"it kills its worker", attempt=4)
    async with channel(amqp_url) as open_channel:
        # Rejected without requeue: as at the limit of deliveries, and a thousand times faster.
        message = await open_channel.basic_get(topology.queue("payments"))
        assert message.delivery_tag is not None
        await open_channel.basic_reject(message.delivery_tag, requeue=False)
    [letter] = await receive_at_last(queue)
    assert letter.message.body == b"it kills its worker"
    assert (letter.message.reason, letter.message.attempts) == ("RabbitMQ dead-lettered it: rejected", 4)
    assert abs((datetime.now(UTC) - letter.message.last_at).total_seconds()) < 60


async def test_a_strangers_headers_do_no_harm(amqp_url: str, topology: Topology, queue: RabbitDeadLetterQueue) -> None:
    strange = {
        "attempts": -5,
        "attempt": "many",
        "first-at": "yesterday",
        "last-at": 7,
        "reason": ["x"],
        "x-death": [{"reason": 9, "time": "never"}],
    }
    await put(amqp_url, topology.dead("payments"), b"strange", **strange)
    await put(amqp_url, topology.dead("payments"), b"bare")
    await put(amqp_url, topology.dead("payments"), b"zoneless", **{"first-at": "2026-01-01", "last-at": "2026-01-02"})
    letters = []
    async with asyncio.timeout(PATIENCE):
        while len(letters) < 3:
            batch = await queue.receive(10)
            await queue.ack(batch)
            letters += batch
    assert [letter.message.body for letter in letters] == [b"strange", b"bare", b"zoneless"]
    assert [letter.message.attempts for letter in letters] == [1, 1, 1]
    assert letters[2].message.last_at == datetime(2026, 1, 2, tzinfo=UTC)
