"""What stands in the broker. It is declared in one step, and found everywhere else.

Every queue is a quorum queue, and a message leaves one only for another: the broker itself never drops any.
"""

from typing import Any, Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from attrs import field, frozen
from attrs.validators import min_len

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from application.messaging.subscriptions import RETRY_DELAYS, WORK_QUEUES

# Events that somebody must get. Without a queue for them the broker gives them back, and they stay in the outbox. The
# others tell of what was done: where nobody has subscribed to them they go nowhere, and that is no fault.
REQUIRED: Final = frozenset(work.event.type for work in WORK_QUEUES)

# How often a message may come back unsettled before the broker puts it among the dead letters by itself. That is for
# one that kills its worker each time; a network that fails all day should not get there.
DELIVERY_LIMIT: Final = 1000
# From a queue of dead letters there is nowhere to go: where none is named, RabbitMQ 4 would drop a message that came
# back twenty times.
_NEVER: Final = 2**31 - 1

# Seconds for all of it: a cluster elects a leader for each quorum queue.
_DECLARE_TIMEOUT: Final = 60.0


@frozen
class Topology:
    """The names of everything, in a namespace of its own. `delays` are the seconds before each further attempt."""

    namespace: str = "holdfast"
    delays: tuple[float, ...] = field(default=RETRY_DELAYS, validator=min_len(1), kw_only=True)

    @property
    def exchange(self) -> str:
        return f"{self.namespace}.events"

    def queue(self, consumer: str) -> str:
        return f"{self.namespace}.{consumer}"

    def dead(self, consumer: str) -> str:
        return f"{self.namespace}.{consumer}.dead"

    def later(self, consumer: str, attempt: int) -> str:
        """Where a message waits after this attempt at it."""
        return self._later(consumer, self.delays[min(attempt, len(self.delays)) - 1])

    def queues(self, consumer: str) -> dict[str, dict[str, Any]]:
        """Each queue with its arguments; those that others send their dead to come first."""
        own, dead = self.queue(consumer), self.dead(consumer)
        waiting = {
            self._later(consumer, delay): _quorum(dead_letters_to=own) | {"x-message-ttl": round(delay * 1000)}
            for delay in self.delays
        }
        return {
            dead: {"x-queue-type": "quorum", "x-delivery-limit": _NEVER},
            own: _quorum(dead_letters_to=dead) | {"x-delivery-limit": DELIVERY_LIMIT},
            **waiting,
        }

    def _later(self, consumer: str, delay: float) -> str:
        return f"{self.namespace}.{consumer}.later.{round(delay * 1000)}"


def _quorum(*, dead_letters_to: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letters_to,
        # The message stays until the other queue has confirmed it. That needs the overflow named, though no queue
        # here has a maximum length that it could apply to.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def declare_topology(url: str, topology: Topology) -> None:
    """Declare what is missing. To do it again, or twice at once, is safe. Raise `Unavailable`."""
    connection = await BrokerConnection.open(url, name=f"{topology.namespace} topology", timeouts=Timeouts())
    try:
        channel = await connection.channel()
        async with connection.talking(_DECLARE_TIMEOUT):
            await _declare(channel, topology)
    finally:
        await connection.close()


async def _declare(channel: AbstractChannel, topology: Topology) -> None:
    exchange = await channel.declare_exchange(topology.exchange, ExchangeType.TOPIC, durable=True)
    for work in WORK_QUEUES:
        queues = {
            name: await channel.declare_queue(name, durable=True, arguments=arguments)
            for name, arguments in topology.queues(work.name).items()
        }
        await queues[topology.queue(work.name)].bind(exchange, work.event.type)
