"""The contract of `Queues`, for every broker."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from attrs import frozen

from adapters.memory.broker import MemoryBroker
from adapters.rabbitmq.publisher import open_publisher
from adapters.rabbitmq.queue_states import open_queues
from adapters.rabbitmq.subscription import open_subscription
from application.errors import Unavailable
from application.messaging.subscriptions import WORK_QUEUES, WorkQueue
from application.ports.messaging import EventPublisher, Subscription
from application.ports.overview import Queues, QueueState
from tests.brokers import PATIENCE, channel, entries, own_topology, payment_requested, receive

# The last one is longer than the test.
DELAYS = (0.01, 3600.0)


@frozen
class Broker:
    queues: Queues
    publisher: EventPublisher
    payments: Subscription

    async def publish(self, count: int) -> None:
        events = [payment_requested(number) for number in range(1, count + 1)]
        assert len(await self.publisher.enqueue(entries(*events))) == count

    async def state_when(self, met: Callable[[QueueState], bool]) -> QueueState:
        """The queue of payments, once it is so: a broker counts a little behind."""
        async with asyncio.timeout(PATIENCE):
            while not met(state := await self.state("payments")):  # noqa: ASYNC110 - no broker says when
                await asyncio.sleep(0.02)
        return state

    async def state(self, name: str) -> QueueState:
        [state] = [each for each in await self.queues.look() if each.name == name]
        return state


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        queues: dict[WorkQueue, Subscription] = {work: memory.queue(work, delays=DELAYS) for work in WORK_QUEUES}
        [payments] = [queue for work, queue in queues.items() if work.name == "payments"]
        yield Broker(memory, memory, payments)
        return
    url = request.getfixturevalue("amqp_url")
    async with (
        own_topology(url, delays=DELAYS) as topology,
        open_publisher(url, topology) as publisher,
        open_subscription(url, topology, "payments") as rabbit_queue,
        open_queues(url, topology) as states,
    ):
        yield Broker(states, publisher, rabbit_queue)


async def test_every_queue_of_work_is_told_of(broker: Broker) -> None:
    states = await broker.queues.look()
    assert [each.name for each in states] == [work.name for work in WORK_QUEUES]
    for each in states:
        assert (each.ready, each.consumers, each.later, each.dead, each.problem) == (0, 0, 0, 0, "")


async def test_what_nobody_has_taken_is_ready(broker: Broker) -> None:
    await broker.publish(3)
    state = await broker.state_when(lambda state: state.ready == 3)
    assert (state.consumers, state.later, state.dead) == (0, 0, 0)
    assert (await broker.state("refunds")).ready == 0
    # To look takes nothing.
    assert (await broker.state("payments")).ready == 3


async def test_what_a_consumer_has_is_ready_no_more(broker: Broker) -> None:
    await broker.publish(3)
    await receive(broker.payments, 3)
    state = await broker.state_when(lambda state: state.ready == 0 and state.consumers == 1)
    # RabbitMQ does not tell it over AMQP.
    assert state.unacked in {3, None}


async def test_what_failed_waits_in_its_tier(broker: Broker) -> None:
    await broker.publish(3)
    once, twice, dead = await receive(broker.payments, 3)
    await broker.payments.ack([once])
    await broker.payments.retry(twice, reason="the provider is away")
    [again] = await receive(broker.payments, 1)
    assert again.attempt == 2
    await broker.payments.retry(again, reason="the provider is away")
    await broker.payments.dead_letter(dead, reason="UnknownOrder: there is none")
    state = await broker.state_when(lambda state: (state.later, state.dead) == (1, 1))
    assert state.ready == 0
    assert state.unacked in {0, None}
    assert state.retry in {0, None}


async def test_looks_at_once_agree(broker: Broker) -> None:
    await broker.publish(2)
    await broker.state_when(lambda state: state.ready == 2)
    looks = await asyncio.gather(*(broker.state("payments") for _ in range(5)))
    assert {each.ready for each in looks} == {2}


async def test_a_queue_that_is_missing_is_told_of_and_the_others_are_known(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology, open_queues(amqp_url, topology) as queues:
        async with channel(amqp_url) as deleting:
            await deleting.queue_delete(topology.queue("payments"))
        states = {each.name: each for each in await queues.look()}
        assert "payments" in states["payments"].problem
        assert states["refunds"].problem == ""
        assert {each.name: each.problem != "" for each in await queues.look()} == {
            "intake": False, "payments": True, "refunds": False
        }  # fmt: skip


async def test_a_broker_that_is_away_is_unavailable_and_comes_back(amqp_url: str) -> None:
    async with own_topology(amqp_url) as topology:
        async with open_queues("amqp://guest:guest@127.0.0.1:1/", topology) as away:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await away.look()
        async with open_queues(amqp_url, topology) as queues:
            await queues.look()
            # As after a connection that was lost.
            await queues.close()
            assert len(await queues.look()) == len(WORK_QUEUES)
