"""Orders that are queued while their own queue does not answer."""

import asyncio
from functools import partial

from attrs import evolve

from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.topology import Topology
from tests.brokers import QUICK, count, entries, order_accepted
from tests.cables import PATIENCE, cable
from tests.service import until


async def test_orders_go_by_way_of_another_queue_while_their_own_does_not_answer(
    amqp_url: str, topology: Topology
) -> None:
    """The connection that falls silent stands for a queue without a leader: nothing is confirmed over it."""
    intake, timeouts = topology.queue("intake"), evolve(QUICK, confirm=2 * PATIENCE)
    async with cable(amqp_url) as wire, open_publisher(wire.url, topology, timeouts=timeouts) as publisher:
        sent = entries(order_accepted())
        assert await publisher.enqueue(sent) == sent
        wire.silence()

        for number in (2, 3):
            sent = entries(order_accepted())
            # Long before a confirm is given up.
            async with asyncio.timeout(PATIENCE):
                assert await publisher.enqueue(sent) == sent
            await until(partial(_has, amqp_url, intake, number), seconds=PATIENCE, what="it comes into its own queue")

        wire.restore()

        async def goes_directly_again() -> bool:
            assert await publisher.enqueue(entries(order_accepted()))
            return wire.connections() == 1

        await until(goes_directly_again, seconds=PATIENCE, what="the second connection is closed")


async def _has(url: str, queue: str, number: int) -> bool:
    return await count(url, queue) == number
