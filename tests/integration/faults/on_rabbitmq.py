"""What can happen to RabbitMQ, to the way there, and to the messages in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.brokers import channel
from tests.integration.faults.fault import Fault
from tests.integration.faults.house import House


@asynccontextmanager
async def _killed(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.kill)
    yield
    await asyncio.to_thread(house.rabbitmq.start)


@asynccontextmanager
async def _restarted(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.restart)
    yield


@asynccontextmanager
async def _frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.pause)
    yield
    await asyncio.to_thread(house.rabbitmq.resume)


@asynccontextmanager
async def _memory_alarm(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
    yield
    await asyncio.to_thread(house.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")


@asynccontextmanager
async def _disk_alarm(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.rabbitmq.ctl, "set_disk_free_limit", "900000GB")
    yield
    await asyncio.to_thread(house.rabbitmq.ctl, "set_disk_free_limit", "50MB")


@asynccontextmanager
async def _connections_closed(house: House) -> AsyncIterator[None]:
    for _ in range(3):
        await asyncio.to_thread(house.rabbitmq.ctl, "close_all_connections", "by an administrator")
    yield


@asynccontextmanager
async def _cut(house: House) -> AsyncIterator[None]:
    for _ in range(10):
        house.to_rabbitmq.cut()
        await asyncio.sleep(0.3)
    yield


@asynccontextmanager
async def _slow(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.delay = 0.1
    yield
    house.to_rabbitmq.restore()


@asynccontextmanager
async def _silent(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.silence()
    house.to_rabbitmq.silent_from_now = True
    yield
    house.to_rabbitmq.restore()


@asynccontextmanager
async def _no_confirms(house: House) -> AsyncIterator[None]:
    house.to_rabbitmq.silence_answers()
    yield
    # They never come, not even late: what was silent stays so until it is given up.
    house.to_rabbitmq.cut()


@asynccontextmanager
async def _queue_deleted(house: House) -> AsyncIterator[None]:
    # The orders whose requests were in it wait until they are found to be stuck.
    await house.start("worker", HOLDFAST_STUCK_AFTER="3s")
    async with channel(house.rabbitmq.url) as open_channel:
        await open_channel.queue_delete(house.topology.queue("payments"))
    yield
    # Nobody but the service heals it.


@asynccontextmanager
async def _unbound(house: House) -> AsyncIterator[None]:
    topology = house.topology
    async with channel(house.rabbitmq.url) as open_channel:
        await open_channel.queue_unbind(topology.queue("payments"), topology.exchange, "order.payment_requested")
    yield


FAULTS: Final = (
    Fault(name="RabbitMQ is killed (kill -9) and down for 4 s", breaking=_killed, hold=4, orders_go_on=True),
    Fault(name="RabbitMQ is restarted", breaking=_restarted, hold=1, orders_go_on=True),
    Fault(name="RabbitMQ is frozen for 5 s", breaking=_frozen, hold=5, orders_go_on=True),
    Fault(name="RabbitMQ has a memory alarm", breaking=_memory_alarm, orders_go_on=True),
    Fault(name="RabbitMQ has a disk alarm", breaking=_disk_alarm, orders_go_on=True),
    Fault(name="RabbitMQ closes all connections, 3 times", breaking=_connections_closed, hold=0, orders_go_on=True),
    Fault(name="Connections to RabbitMQ are cut, 10 times", breaking=_cut, hold=0, orders_go_on=True),
    Fault(name="RabbitMQ is slow: 200 ms a round trip", breaking=_slow, hold=4, orders_go_on=True),
    Fault(name="RabbitMQ falls silent for 5 s", breaking=_silent, hold=5, orders_go_on=True),
    Fault(name="Confirms never come", breaking=_no_confirms, hold=12, orders_go_on=True),
    Fault(name="The payments queue is deleted", breaking=_queue_deleted, hold=1, orders_go_on=True),
    Fault(name="Requests can't be routed", breaking=_unbound, hold=1, orders_go_on=True),
)
