"""Where an order stands, what it waits for, and what drives it on: as a person on duty asks."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

from attrs import frozen

from application.durations import in_words
from application.ports.outbox import Waits
from application.ports.payments import ProviderSilence
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


@frozen(kw_only=True)
class Deadlines:
    """How long a customer has to pay, and after how long the request of an order that waits is sent again."""

    expiry: timedelta
    stuck_after: timedelta


_FAILED = {
    FailureReason.OUT_OF_STOCK: "too few units were left when it was to be paid",
    FailureReason.PAYMENT_DECLINED: "the payment provider declined its payment",
}
# Why an order stands where it does, if nothing holds up its request.
SENT: Final = "its request was sent to the worker, and is not done yet"
NOT_RECORDED = Standing(
    WaitsFor.WORKER, "it was accepted and is not recorded yet", "a worker records it from the intake queue"
)

UNKNOWN_PLACE = Standing(
    WaitsFor.WORKER, "where its request is can't be read now", "look again when the database answers for all tables"
)


def needs_worker(order: Order) -> bool:
    """Whether it waits for a payment or a refund that was asked for."""
    waits = order.status in WAITS_FOR_WORKER or (order.refund_requested and order.status in HAS_MONEY)
    return waits and not order.deleted


def standing_of(
    order: Order, deadlines: Deadlines, *, held_up: Standing | None = None, silence: ProviderSilence | None = None
) -> Standing:
    """Tell of an order. `held_up` says why its request is not with the worker; `silence` is the provider's."""
    if order.deleted:
        return Standing(WaitsFor.NOBODY, "it was deleted", "nothing more happens to it")
    if needs_worker(order):
        return held_up or _with_worker(order, deadlines, silence)
    if order.status in MAY_EXPIRE:
        return Standing(
            WaitsFor.CUSTOMER,
            "nobody has asked for its payment",
            f"it is paid for or cancelled, or it expires when its time to pay, {in_words(deadlines.expiry)}, is over",
        )
    if order.status is OrderStatus.FAILED:
        why = "its payment failed" if order.failure_reason is None else _FAILED[order.failure_reason]
        return Standing(WaitsFor.CUSTOMER, why, "it may be paid for again")
    if order.status is OrderStatus.PAID:
        return Standing(WaitsFor.SHOP, "it is paid for", "the shop completes it, or refunds it")
    return Standing(WaitsFor.NOBODY, f"it is {order.status.value}", "nothing more happens to it by itself")


def held_up_by(request: Event | None, waits: Waits | None, letter: DeadLetter | None) -> Standing | None:
    """Tell why the last request of an order that needs the worker is not there. None: it was sent to the worker."""
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
    return None


def _with_worker(order: Order, deadlines: Deadlines, silence: ProviderSilence | None) -> Standing:
    if silence is None:
        again = f"the request is sent again when the order has waited for {in_words(deadlines.stuck_after)}"
        return Standing(
            WaitsFor.WORKER, SENT, f"a worker tries until it is done; {again}, since the broker may have lost it"
        )
    done = "its money is given back" if order.refund_requested else "it is paid"
    held = "; its stock is held" if order.holds_stock else ""
    return Standing(
        WaitsFor.WORKER,
        f"the payment provider has not answered since {silence.since:%Y-%m-%d %H:%M:%S} UTC",
        f"{done} when the provider answers; nothing needs to be done{held}",
    )
