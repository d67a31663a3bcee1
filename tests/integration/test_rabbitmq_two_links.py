"""What is published to a broker of several nodes, of which one falls silent or dies."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from attrs import evolve, frozen

from adapters.rabbitmq.publisher import RabbitPublisher, open_publisher
from adapters.rabbitmq.topology import Topology
from application.errors import Trouble, Unavailable
from tests.brokers import ACK, NACK, QUICK, count, entries, payment_requested
from tests.cables import PATIENCE, Cable, both, cable
from tests.service import until

# Longer than any of these tests may take: who waits for a confirm that does not come fails.
TIMEOUTS = evolve(QUICK, confirm=2 * PATIENCE)


@frozen
class Cluster:
    """One server behind two cables, which stand for two nodes."""

    nodes: tuple[Cable, Cable]
    publisher: RabbitPublisher

    def has_two_links(self) -> bool:
        return all(node.connections() for node in self.nodes)


@pytest.fixture
async def cluster(amqp_url: str, topology: Topology) -> AsyncIterator[Cluster]:
    async with (
        cable(amqp_url) as first,
        cable(amqp_url) as second,
        open_publisher(both(first, second), topology, timeouts=TIMEOUTS) as publisher,
    ):
        yield Cluster((first, second), publisher)
        for node in (first, second):
            node.restore()


async def with_two_links(cluster: Cluster) -> RabbitPublisher:
    async def has_two_links() -> bool:
        # On a busy machine both may be to one node at first. One is moved, some time later, when something is sent.
        sent = entries(payment_requested(1))
        assert await cluster.publisher.enqueue(sent) == sent
        return cluster.has_two_links()

    await until(has_two_links, seconds=PATIENCE, what="each node has a link")
    return cluster.publisher


async def test_each_of_two_links_is_to_another_node(cluster: Cluster) -> None:
    await with_two_links(cluster)
    assert [node.connections() for node in cluster.nodes] == [1, 1]


@pytest.mark.parametrize("silent", [0, 1])
async def test_a_node_that_falls_silent_holds_up_no_message(
    cluster: Cluster, amqp_url: str, topology: Topology, silent: int
) -> None:
    publisher = await with_two_links(cluster)
    before = await count(amqp_url, topology.queue("payments"))
    cluster.nodes[silent].silence()
    cluster.nodes[silent].silent_from_now = True

    for number in range(2, 6):
        sent = entries(payment_requested(number))
        assert await publisher.enqueue(sent) == sent

    # On a busy machine a link may seem silent for a moment, and the other one gets a message as well.
    assert await count(amqp_url, topology.queue("payments")) >= before + 4


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_node_that_dies_refuses_no_message(cluster: Cluster, gone: int) -> None:
    publisher = await with_two_links(cluster)
    cluster.nodes[gone].plugged = False
    cluster.nodes[gone].cut()

    for number in range(2, 6):
        sent = entries(payment_requested(number))
        assert await publisher.enqueue(sent) == sent


async def test_when_both_die_it_is_told(cluster: Cluster) -> None:
    publisher = await with_two_links(cluster)
    for node in cluster.nodes:
        node.plugged = False
        node.cut()

    with pytest.raises(Trouble):
        await publisher.enqueue(entries(payment_requested(2)))


async def test_what_a_node_refuses_that_does_not_know_the_leader_yet_is_sent_over_another_connection(
    cluster: Cluster,
) -> None:
    publisher = await with_two_links(cluster)
    for node in cluster.nodes:
        node.replaces = (ACK, NACK)
    with pytest.raises(Unavailable, match="no leader"):
        await publisher.enqueue(entries(payment_requested(2)))
    for node in cluster.nodes:
        node.silence()
        node.replaces = None

    sent = entries(payment_requested(3))
    async with asyncio.timeout(PATIENCE):
        assert await publisher.enqueue(sent) == sent
