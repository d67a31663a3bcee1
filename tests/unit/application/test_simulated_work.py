"""A worker that takes its time: nothing is done early, no message waits for another, and none is acked before."""

import asyncio
from collections.abc import Sequence

from attrs import define, evolve, field

from adapters.memory.broker import MemoryBroker
from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import Unavailable
from application.execution.simulated_work import SimulatedWork
from application.messaging.subscriptions import PAYMENTS, WORK_QUEUES
from domain.orders.status import OrderStatus
from tests.brokers import entries
from tests.unit.shop import Shop

TIME_LIMIT = 30.0


@define(eq=False)
class Work:
    batches: list[list[str]] = field(factory=list)

    async def __call__(self, messages: Sequence[str]) -> Sequence[Exception | None]:
        self.batches.append(list(messages))
        return [Unavailable("no") if message == "bad" else None for message in messages]


async def test_a_message_that_takes_long_keeps_no_other_waiting() -> None:
    work, seconds = Work(), iter([600.0, 0.0, 0.0])
    slow, bad, good = await SimulatedWork(work, lambda: next(seconds))(["slow", "bad", "good"])
    async with asyncio.timeout(TIME_LIMIT):
        assert isinstance(await bad, Unavailable)
        assert await good is None
    assert not slow.done()
    slow.cancel()
    # Those whose time is up together share a transaction.
    assert work.batches == [["bad", "good"]]


async def test_a_late_outcome_of_the_work_is_awaited_too() -> None:
    answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def work(_: Sequence[str]) -> Sequence[asyncio.Future[Exception | None]]:
        return [answer]

    [outcome] = await SimulatedWork(work, lambda: 0.0)(["a"])
    error = Unavailable("late")
    answer.set_result(error)
    async with asyncio.timeout(TIME_LIMIT):
        assert await outcome is error


async def test_nothing_is_done_about_an_order_while_its_work_is_simulated() -> None:
    shop = Shop()
    order, event = await shop.payment_requested((await shop.sells(), 1))
    broker = MemoryBroker()
    queues = {work: broker.queue(work) for work in WORK_QUEUES}
    ports = evolve(shop.ports, subscription=queues.__getitem__)
    await broker.enqueue(entries(event))
    use_cases = assemble(ports, evolve(Limits(), simulated_work=(600.0, 600.0)))
    [consumer] = [each for each in use_cases.consumers if each.work is PAYMENTS]
    async with asyncio.timeout(TIME_LIMIT):
        handled = await consumer.step()
    assert handled.done == 0
    assert (await shop.now(order)).status is OrderStatus.PROCESSING
    await consumer.close()
