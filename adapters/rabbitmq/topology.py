"""The names of the exchange and the queues in RabbitMQ, and what each queue is. `declaring.py` declares them.

The exchange is for others, who bind their queues to it. Our own queues are bound to nothing: what is for them is sent
to them by name. Every queue is a quorum queue. The broker itself moves messages between queues, and never drops one.
"""

from typing import Any, Final

from attrs import field, frozen
from attrs.validators import min_len

from application.messaging.subscriptions import RETRY_DELAYS, WORK_QUEUES

# After this many redeliveries, RabbitMQ itself dead-letters a message. The limit is for a message that kills its worker
# each time. It is so high that a network that fails all day does not reach it.
DELIVERY_LIMIT: Final = 1000
# For the queues of dead letters, whose messages can't be dead-lettered again. Without a limit of their own, RabbitMQ 4
# would drop a message after twenty redeliveries.
_NEVER: Final = 2**31 - 1


# Earlier releases had a queue for each of these, too.
_FORMER_DELAYS: Final = (0.1, 0.5, 2.0, 5.0)


@frozen
class Topology:
    """The names of the exchange and the queues, in one namespace. `delays` are the seconds before each retry."""

    namespace: str = "holdfast"
    delays: tuple[float, ...] = field(default=RETRY_DELAYS, validator=min_len(1), kw_only=True)

    @property
    def exchange(self) -> str:
        return f"{self.namespace}.events"

    def queue(self, consumer: str) -> str:
        return f"{self.namespace}.{consumer}"

    def dead(self, consumer: str) -> str:
        return f"{self.namespace}.{consumer}.dead"

    def later(self, consumer: str) -> str:
        """Return the queue in which a message waits for the last of the delays."""
        return self._later(consumer, self.delays[-1])

    def pause(self, attempt: int) -> float | None:
        """Return for how long a message waits in the worker after this attempt, or None if it waits in `later`."""
        return self.delays[attempt - 1] if attempt < len(self.delays) else None

    def queues(self, consumer: str) -> dict[str, dict[str, Any]]:
        """Return each queue with its arguments. A queue comes before the queues that dead-letter to it."""
        own, dead = self.queue(consumer), self.dead(consumer)
        return {
            dead: {"x-queue-type": "quorum", "x-delivery-limit": _NEVER},
            own: _quorum(dead_letters_to=dead) | {"x-delivery-limit": DELIVERY_LIMIT},
            self.later(consumer): _quorum(dead_letters_to=own) | {"x-message-ttl": round(self.delays[-1] * 1000)},
        }

    @property
    def all_queues(self) -> dict[str, dict[str, Any]]:
        return {name: arguments for work in WORK_QUEUES for name, arguments in self.queues(work.name).items()}

    @property
    def former_queues(self) -> list[str]:
        """Return the queues of earlier releases. A message in one returns to its work queue by itself."""
        return [self._later(work.name, delay) for work in WORK_QUEUES for delay in _FORMER_DELAYS]

    def _later(self, consumer: str, delay: float) -> str:
        return f"{self.namespace}.{consumer}.later.{round(delay * 1000)}"


def _quorum(*, dead_letters_to: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letters_to,
        # The message stays until the other queue has confirmed it. RabbitMQ does so only with this overflow policy,
        # although no queue here has a maximum length.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
