"""Which consumer takes which event: stated once, for every broker and the dead letters."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from domain.orders.events import ACCEPTED_TYPES, Event, PaymentRequested, RefundRequested

# Seconds before the second, third, ... attempt. A message waits for the last one in a queue of the broker, and for the
# others in the worker that has it: a queue for each delay would cost the broker three files each. The last one applies
# to all further attempts. So after an outage of any length, an order waits at most this long.
RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 5.0, 15.0)


@frozen
class WorkQueue:
    """A queue of our own worker, and the events that its consumer handles."""

    name: str
    events: tuple[type[Event], ...]


INTAKE: Final = WorkQueue("intake", ACCEPTED_TYPES)
PAYMENTS: Final = WorkQueue("payments", (PaymentRequested,))
REFUNDS: Final = WorkQueue("refunds", (RefundRequested,))

WORK_QUEUES: Final = (INTAKE, PAYMENTS, REFUNDS)

# What other services do not hear of: it tells them nothing that the events of the order do not.
NOT_ANNOUNCED: Final = frozenset(kind.type for kind in ACCEPTED_TYPES)

# By the type of the event. An event that is not here is nobody's work: it is only announced.
QUEUE_OF: Final[Mapping[str, WorkQueue]] = MappingProxyType(
    {event.type: work for work in WORK_QUEUES for event in work.events}
)
