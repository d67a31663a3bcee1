"""Who consumes what: stated here once, for every broker, for the inbox, and for the dead letters."""

from typing import Final

from attrs import frozen

from domain.orders.events import Event, OrderAccepted, PaymentRequested, RefundRequested

# Seconds before the second, third, ... attempt; the last one goes for all that follow. So long may an order wait when
# all is well again, after an outage of any length.
RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 5.0, 15.0)


@frozen
class WorkQueue:
    """A queue of our own worker, by its name, and the event that its consumer acts on."""

    name: str
    event: type[Event]


INTAKE: Final = WorkQueue("intake", OrderAccepted)
PAYMENTS: Final = WorkQueue("payments", PaymentRequested)
REFUNDS: Final = WorkQueue("refunds", RefundRequested)

WORK_QUEUES: Final = (INTAKE, PAYMENTS, REFUNDS)
