"""The broker: RabbitMQ if AMQP_URL is set, else queues in this process."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from attrs import frozen

from adapters.memory.broker import MemoryBroker
from application.messaging.subscriptions import INTAKE, WORK_QUEUES, WorkQueue
from application.ports.messaging import DeadLetterQueue, EventPublisher, Subscription
from application.ports.overview import Queues
from entrypoints.loops import repeated
from entrypoints.settings import Settings

# Seconds between declarations: a deleted queue is missing for at most this long.
_DECLARE_EVERY: Final = 15.0
# Messages that a consumer has ready beside those that wait for the payment provider.
_READY: Final = 512


@frozen
class Broker:
    """Each part connects when it is first used, so an unused one costs nothing."""

    publisher: EventPublisher
    queues: Queues
    intake_is_empty: Callable[[], Awaitable[bool]]
    _subscriptions: Mapping[WorkQueue, Subscription]
    _dead_letter_queues: Mapping[WorkQueue, DeadLetterQueue]

    # Removes the messages from our queues. Raises `Trouble`.
    empty: Callable[[], Awaitable[None]]

    def subscription(self, work: WorkQueue) -> Subscription:
        return self._subscriptions[work]

    def dead_letter_queue(self, work: WorkQueue) -> DeadLetterQueue:
        return self._dead_letter_queues[work]


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncGenerator[Broker, None]:
    if settings.amqp_url:
        async with _rabbitmq(settings) as broker:
            yield broker
    else:
        memory = MemoryBroker()
        queues = {work: memory.queue(work) for work in WORK_QUEUES}
        dead_letter_queues = {work: queue.dead_letters for work, queue in queues.items()}
        yield Broker(memory, memory, queues[INTAKE].is_empty, queues, dead_letter_queues, memory.empty)


@asynccontextmanager
async def _rabbitmq(settings: Settings) -> AsyncGenerator[Broker, None]:
    # These imports take half of a command's start, so they are made only where RabbitMQ is used.
    from adapters.rabbitmq.dead_letters import open_dead_letters  # noqa: PLC0415
    from adapters.rabbitmq.declaring import empty_queues  # noqa: PLC0415
    from adapters.rabbitmq.emptiness import QueueIsEmpty  # noqa: PLC0415
    from adapters.rabbitmq.publisher import open_publisher  # noqa: PLC0415
    from adapters.rabbitmq.queue_states import open_queues  # noqa: PLC0415
    from adapters.rabbitmq.subscription import open_subscription  # noqa: PLC0415
    from adapters.rabbitmq.topology import Topology  # noqa: PLC0415

    url, topology, prefetch = settings.amqp_url, Topology(settings.namespace), _READY + settings.max_charges
    async with AsyncExitStack() as stack:
        yield Broker(
            await stack.enter_async_context(open_publisher(url, topology)),
            await stack.enter_async_context(open_queues(url, topology, management_url=settings.amqp_management_url)),
            QueueIsEmpty(url, topology, INTAKE.name),
            {
                work: await stack.enter_async_context(open_subscription(url, topology, work.name, prefetch=prefetch))
                for work in WORK_QUEUES
            },
            {
                work: await stack.enter_async_context(open_dead_letters(url, topology, work.name))
                for work in WORK_QUEUES
            },
            partial(empty_queues, url, topology),
        )


@asynccontextmanager
async def queues_declared(settings: Settings) -> AsyncGenerator[None, None]:
    """Declare the queues again and again: RabbitMQ may start later, and a queue may be deleted meanwhile."""
    if not settings.amqp_url:
        yield
        return
    from adapters.rabbitmq.declaring import declare_topology  # noqa: PLC0415 - as above
    from adapters.rabbitmq.topology import Topology  # noqa: PLC0415 - as above

    async def declare() -> float:
        await declare_topology(settings.amqp_url, Topology(settings.namespace))
        return _DECLARE_EVERY

    async with repeated(declare, name="topology"):
        yield
