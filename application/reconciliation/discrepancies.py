"""The comparisons of the consistency check, as pure functions: they read nothing themselves."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, get_args

from attrs import frozen

from application.ports.broken import BrokenOrder, BrokenProduct
from application.ports.catalogue import StockCount
from application.ports.idempotency import is_of_a_key
from application.ports.payments import Charge
from domain.ids import OrderId
from domain.money import Money
from domain.orders.events import Event, OrderChangeAccepted
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY, LIFE, WAITS_FOR_WORKER
from domain.payments.payment import Payment


class Remedy(StrEnum):
    """The safe repair of a discrepancy. Where there is none, a person decides."""

    PAY = "process its payment"
    REFUND = "refund the charge"
    REPUBLISH = "republish its request"
    EXPIRE = "expire it"
    RECORD = "record it"


Kind = Literal[
    "stock",
    "broken",
    "history",
    "payment",
    "charge",
    "provider",
    "outbox",
    "stuck",
    "accepted",
    "dead letter",
    "webhook",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
# While the provider can't be reached, payments and charges are not compared.
_NOT_COMPARED: Final[Kind] = "provider"


@frozen(kw_only=True)
class Discrepancy:
    """One finding of the consistency check. `about` is its kind."""

    about: Kind
    what: str
    order_id: OrderId | None = None
    charge: Charge | None = None
    # The order as it was told to a client, if the database doesn't have it.
    told: Order | None = None
    # The change that a client was promised, if the database doesn't have it.
    change: OrderChangeAccepted | None = None
    remedy: Remedy | None = None


def counted(found: Sequence[Discrepancy]) -> Mapping[str, int]:
    """Return how many there are of each kind, also of those that were not found."""
    return {kind: sum(each.about == kind for each in found) for kind in KINDS}


def saw_everything(found: Sequence[Discrepancy]) -> bool:
    return all(each.about != _NOT_COMPARED for each in found)


def of_stock(counts: Sequence[StockCount]) -> list[Discrepancy]:
    return [
        Discrepancy(
            about="stock",
            what=f"product {count.product_id}: {count.left} left and {count.held} held by orders make"
            f" {count.left + count.held}, but {count.counted_in} were counted in",
        )
        for count in counts
        if count.left + count.held != count.counted_in
    ]


def of_broken(order: BrokenOrder) -> Discrepancy:
    """An order that can't be read, so that it is compared with nothing."""
    return Discrepancy(about="broken", order_id=order.id, what=str(order))


def of_broken_product(product: BrokenProduct) -> Discrepancy:
    """A product that can't be read. Its units are compared nevertheless."""
    return Discrepancy(about="broken", what=str(product))


def of_history(order: Order, events: Sequence[Event]) -> list[Discrepancy]:
    sequences = [event.sequence for event in events]
    if sequences == list(range(1, order.version + 1)):
        return []
    what = f"its version is {order.version}, and its events are {', '.join(map(str, sequences)) or 'none'}"
    return [Discrepancy(about="history", order_id=order.id, what=what)]


def of_payment(order: Order, payment: Payment | None, charge: Charge | None, *, asked: bool) -> list[Discrepancy]:
    """What an order lacks. Its charge is compared only if the provider was `asked`.

    A charge that an order should not have is found by `of_charge`.
    """
    expected = LIFE[order.status].payment
    if expected is None:
        return []
    state = order.status.value
    found: list[tuple[Kind, str]] = []
    if payment is None:
        found.append(("payment", f"it is {state}, and has no payment"))
    elif payment.status is not expected:
        found.append(("payment", f"it is {state}, and its payment is {payment.status.value}"))
    if asked and order.status in HAS_MONEY:
        if charge is None:
            found.append(("charge", f"it is {state}, and the provider has taken no money"))
        elif charge.amount != order.total:
            found.append(("charge", f"it is of {_words(order.total)}, and the provider took {_words(charge.amount)}"))
        elif charge.refunded and not order.refund_requested:
            found.append(("charge", f"it is {state}, and the provider has given the money back"))
    return [Discrepancy(about=about, order_id=order.id, what=what) for about, what in found]


def of_charge(charge: Charge, payment: Payment | None, order: Order | None, *, stuck: bool) -> list[Discrepancy]:
    """A charge that was not refunded and that no order should have."""
    if charge.refunded:
        return []
    if payment is None or order is None:
        # It may belong to another shop. Money that is not known to be ours is not moved.
        what = f"the provider has taken {_words(charge.amount)} under {charge.key}, which is no payment of this shop"
        return [Discrepancy(about="charge", what=what, charge=charge)]
    current = order.payment_id == charge.key
    if current and order.status in HAS_MONEY:
        return []
    if current and order.status in WAITS_FOR_WORKER:
        what = f"{_words(charge.amount)} were taken, and it is still {order.status.value}"
        found = Discrepancy(about="charge", what=what, order_id=order.id, charge=charge, remedy=Remedy.PAY)
        return [found] if stuck else []
    state = order.status.value if current else f"{order.status.value}, under another payment"
    what = f"{_words(charge.amount)} were taken under {charge.key}, and it is {state}"
    return [Discrepancy(about="charge", what=what, order_id=order.id, charge=charge, remedy=Remedy.REFUND)]


def of_unrecorded(order: Order) -> Discrepancy:
    """An order that a client was told of some time ago, and that is not in the database."""
    what, remedy = (
        f"a client was told of it at {order.created_at:%Y-%m-%d %H:%M:%S}, and it is not in the database: ",
        None,
    )
    if order.version > 1:
        what += f"it is in version {order.version} among the recent orders. Was an older backup restored?"
    elif is_of_a_key(order.id):
        what += "it waits in the intake queue, or was lost. The client can repeat its request under the same key"
    else:
        what, remedy = what + "it waits in the intake queue, or was lost", Remedy.RECORD
    return Discrepancy(about="accepted", what=what, order_id=order.id, told=order, remedy=remedy)


def of_unrecorded_change(change: OrderChangeAccepted) -> Discrepancy:
    """A change that a client was promised some time ago, and that is no job in the database."""
    what = (
        f"a client was promised its change {change.job_id} at {change.at:%Y-%m-%d %H:%M:%S}, and there is no such job:"
        " it waits in the intake queue, or was lost"
    )
    return Discrepancy(about="accepted", what=what, order_id=change.order_id, change=change, remedy=Remedy.RECORD)


def _words(amount: Money) -> str:
    return f"{amount.minor} minor units of {amount.currency}"
