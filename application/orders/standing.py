"""Where an order stands, what it waits for, and what drives it on: as a person on duty asks."""

from enum import StrEnum

from attrs import frozen

from application.ports.outbox import Waits
from domain.dead_letter import DeadLetter
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, MAY_EXPIRE, WAITS_FOR_WORKER, FailureReason, OrderStatus


class WaitsFor(StrEnum):
    """Whose turn it is."""

    NOBODY = "nobody"
    CUSTOMER = "customer"
    SHOP = "shop"
    RELAY = "relay"
    WORKER = "worker"
    # A person, who decides about a dead letter.
    DECISION = "decision"
    # Whoever repairs what reconcile finds.
    REPAIR = "repair"


@frozen
class Standing:
    """`because` and `next` are parts of a sentence: why the order stands where it does, and what drives it on."""

    waits_for: WaitsFor
    because: str
    next: str


_FAILED = {
    FailureReason.OUT_OF_STOCK: "too few units were left when it was to be paid",
    FailureReason.PAYMENT_DECLINED: "the payment provider declined its payment",
}
NOT_RECORDED = Standing(
    WaitsFor.WORKER, "it was accepted and is not recorded yet", "a worker records it from the intake queue"
)


def standing_of(
    order: Order, *, request: Event | None = None, waits: Waits | None = None, letter: DeadLetter | None = None
) -> Standing:
    """Tell of an order with its last request for the worker: where that waits, or which dead letter it is."""
    if order.deleted:
        return Standing(WaitsFor.NOBODY, "it was deleted", "nothing more happens to it")
    if order.status in WAITS_FOR_WORKER or (order.refund_requested and order.status in HAS_MONEY):
        return standing_of_request(request, waits, letter)
    if order.status in MAY_EXPIRE:
        return Standing(
            WaitsFor.CUSTOMER,
            "nobody has asked for its payment",
            "it is paid for or cancelled, or it expires when its time is over (HOLDFAST_ORDER_EXPIRY)",
        )
    if order.status is OrderStatus.FAILED:
        why = "its payment failed" if order.failure_reason is None else _FAILED[order.failure_reason]
        return Standing(WaitsFor.CUSTOMER, why, "it may be paid for again")
    if order.status is OrderStatus.PAID:
        return Standing(WaitsFor.SHOP, "it is paid for", "the shop completes it, or refunds it")
    return Standing(WaitsFor.NOBODY, f"it is {order.status.value}", "nothing more happens to it by itself")


def standing_of_request(request: Event | None, waits: Waits | None, letter: DeadLetter | None) -> Standing:
    """Tell of an order that needs the worker."""
    if request is None:
        return Standing(
            WaitsFor.REPAIR,
            "it never asked the worker for anything",
            "`holdfast reconcile` tells more",
        )
    if waits is Waits.AT_ITS_QUEUE:
        return Standing(
            WaitsFor.RELAY,
            "the queue of the worker has refused its request",
            "the relay tries again; `holdfast doctor` tells what is wrong with the queue",
        )
    if waits is Waits.OUTBOX:
        return Standing(WaitsFor.RELAY, "its request waits in the outbox", "a relay sends it to the worker")
    if letter is not None:
        return Standing(
            WaitsFor.DECISION,
            f"its request is dead letter {letter.id}",
            f"a person decides: `holdfast dead replay {letter.id}`, or discard",
        )
    return Standing(
        WaitsFor.WORKER,
        "its request is with the broker, or was lost there",
        "a worker takes it; it is sent again when it has waited for HOLDFAST_STUCK_AFTER",
    )
