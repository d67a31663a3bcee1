"""The events of orders. Each change of an order is one event, and the order's version is its sequence number.

`request_id` is the id of the request that caused the event, if one did: no request lets an order expire, and events of
earlier releases lack it. `asked_at` is when the payment provider was asked whose answer the event records. Events of
earlier releases lack it, too, and so does a payment that failed before anybody was asked.
"""

from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple, get_args

from attrs import field, frozen

from domain.ids import CustomerId, JobId, OrderId, PaymentId, ProductId, is_customer_id
from domain.money import Money
from domain.orders.details import OrderDetails
from domain.orders.line import OrderLine

# Characters, as many as are stored.
_MAX_KEY: Final = 255
_MAX_TEXT: Final = 64


class EventId(NamedTuple):
    """Identifies one event: no two events of an order share a sequence number."""

    order_id: OrderId
    sequence: int


def _is_printable(_: Any, attribute: Any, value: str) -> None:
    most = _MAX_KEY if attribute.name == "key" else _MAX_TEXT
    if not (1 <= len(value) <= most and value.isascii() and value.isprintable()):
        raise ValueError(f"{attribute.name} is 1 to {most} printable ASCII characters")


@frozen(kw_only=True)
class AskedUnder:
    """The idempotency key of a request, its scope, and the request's fingerprint: printable ASCII, as it is stored."""

    scope: str = field(validator=_is_printable)
    key: str = field(validator=_is_printable)
    fingerprint: str = field(validator=_is_printable)


@frozen(kw_only=True)
class _OrderEvent:
    """What every event has."""

    type: ClassVar[str]
    order_id: OrderId
    sequence: int
    at: datetime
    request_id: str | None = None


@frozen(kw_only=True)
class OrderAccepted(_OrderEvent):
    """A customer was promised an order that is not in the database yet. The event has everything needed to record it.

    It comes before the order's first version, and is no part of its history.
    """

    type: ClassVar[str] = "order.accepted"
    sequence: int = 0
    user_id: CustomerId = field(validator=is_customer_id)
    lines: tuple[OrderLine, ...]
    total: Money
    asked_under: AskedUnder | None = None
    # The customer wants to pay at once.
    pay: bool = False
    details: OrderDetails | None = None


@frozen(kw_only=True)
class OrderChangeAccepted(_OrderEvent):
    """A client was promised a change of an order while the database was away. It is made as the job `job_id`.

    It is no part of the order's history. `asked` is the change, as the arguments of that job in JSON. Whoever can write
    to the queue could ask for anything. So the process that accepted it has put its `signature` to all other fields.
    """

    type: ClassVar[str] = "order.change_accepted"
    sequence: int = 0
    job_id: JobId
    asked: str
    signature: str


@frozen(kw_only=True)
class OrderPlaced(_OrderEvent):
    """A customer agreed to buy."""

    type: ClassVar[str] = "order.placed"
    user_id: CustomerId
    lines: tuple[OrderLine, ...]
    total: Money
    details: OrderDetails | None = None


@frozen(kw_only=True)
class OrderDetailsChanged(_OrderEvent):
    """An address, the note or the metadata changed. The event has all details as they are now."""

    type: ClassVar[str] = "order.details_changed"
    details: OrderDetails | None


@frozen(kw_only=True)
class OrderChangeRefused(_OrderEvent):
    """A change was accepted before the order was recorded, and once it was, the rules refused it. Nothing changed.

    `code` and `reason` are those of the refusal, and `job_id` is the job of the change.
    """

    type: ClassVar[str] = "order.change_refused"
    job_id: JobId
    change: str
    code: str
    reason: str


@frozen(kw_only=True)
class PaymentRequested(_OrderEvent):
    """The customer wants to pay; the worker processes the payment."""

    type: ClassVar[str] = "order.payment_requested"
    payment_id: PaymentId
    amount: Money


@frozen(kw_only=True)
class StockReserved(_OrderEvent):
    """The units of every line were taken out of stock for this order."""

    type: ClassVar[str] = "order.stock_reserved"


@frozen(kw_only=True)
class OrderPaid(_OrderEvent):
    """The money was taken."""

    type: ClassVar[str] = "order.paid"
    payment_id: PaymentId
    amount: Money
    asked_at: datetime | None = None


@frozen(kw_only=True)
class OrderFailed(_OrderEvent):
    """The payment failed: no money was taken, and no stock is held. The customer may pay again.

    `out_of_stock` has the products with too few units, if that is the reason. Events of earlier releases lack it.
    """

    type: ClassVar[str] = "order.failed"
    payment_id: PaymentId
    reason: str
    out_of_stock: tuple[ProductId, ...] = ()
    asked_at: datetime | None = None


@frozen(kw_only=True)
class OrderCancelled(_OrderEvent):
    """The order was cancelled before it was paid."""

    type: ClassVar[str] = "order.cancelled"


@frozen(kw_only=True)
class OrderExpired(_OrderEvent):
    """The order was not paid in time."""

    type: ClassVar[str] = "order.expired"


@frozen(kw_only=True)
class OrderCompleted(_OrderEvent):
    """The shop delivered."""

    type: ClassVar[str] = "order.completed"


@frozen(kw_only=True)
class RefundRequested(_OrderEvent):
    """The shop wants the money given back; the worker processes the refund."""

    type: ClassVar[str] = "order.refund_requested"
    payment_id: PaymentId
    amount: Money


@frozen(kw_only=True)
class OrderRefunded(_OrderEvent):
    """The money was given back, and so was the stock."""

    type: ClassVar[str] = "order.refunded"
    payment_id: PaymentId
    amount: Money
    asked_at: datetime | None = None


@frozen(kw_only=True)
class OrderDeleted(_OrderEvent):
    """An order that was never paid for was deleted."""

    type: ClassVar[str] = "order.deleted"


Event = (
    OrderAccepted
    | OrderChangeAccepted
    | OrderPlaced
    | OrderDetailsChanged
    | OrderChangeRefused
    | PaymentRequested
    | StockReserved
    | OrderPaid
    | OrderFailed
    | OrderCancelled
    | OrderExpired
    | OrderCompleted
    | RefundRequested
    | OrderRefunded
    | OrderDeleted
)

EVENT_TYPES: Final[tuple[type[Event], ...]] = get_args(Event)
# What was accepted and is not recorded. These events are in no history, and nobody but our own workers hears of them.
ACCEPTED_TYPES: Final = (OrderAccepted, OrderChangeAccepted)


def event_id(event: Event) -> EventId:
    return EventId(event.order_id, event.sequence)
