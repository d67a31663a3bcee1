from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from attrs import field, frozen

from application.errors import Unavailable
from application.execution.conditional import OnlyIf
from application.execution.idempotency import Outcome
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.operations.bulk import Act
from application.operations.results import DONE, FAILED, SKIPPED, CameOf, ItemResult, in_words
from application.orders.cancel_order import CancelOrder
from application.orders.read_each import readable_orders
from application.payments.request_payment import RequestPayment
from application.ports.audit import Caller
from application.ports.caching import AcceptedChanges
from application.ports.persistence import Transaction
from domain.ids import JobId, OrderId
from domain.orders.order import Order
from domain.orders.status import MAY_BE_PAID, OrderStatus

_WAITS: Final = "another change of it waits, and is made first"
_NEVER_ASKED: Final = "nobody has asked for its payment yet, so there is none to retry"
_UNCHANGED: Final = "it is as it was asked for already"

# Orders that were accepted and not recorded when the caches were asked, or why that is not known.
Accepted = Mapping[OrderId, Order | Unavailable]


@frozen
class Promised:
    """What a client was told of while the database was away, as the caches know it. It may be recorded by now."""

    orders: Accepted = field(factory=dict)
    changes: Mapping[OrderId, Collection[JobId]] = field(factory=dict)


@frozen
class ActOnOrders:
    """Cancel orders, or ask again for their payment, as the use case for a single order does, which also decides."""

    _cancel: CancelOrder
    _request_payment: RequestPayment
    _unrecorded: Unrecorded
    _accepted_changes: AcceptedChanges

    async def promised(self, ids: Collection[str], *, all_recorded: bool) -> Promised:
        """Look in the caches. No transaction waits for that."""
        wanted = {OrderId(UUID(id_)) for id_ in ids}
        orders = {} if all_recorded else await self._unrecorded.get_many(wanted)
        return Promised(orders, await self._accepted_changes.of_orders(wanted))

    async def __call__(  # noqa: PLR0913 - what is done, by whom, and with what
        self, tx: Transaction, act: Act, by: Caller, ids: Sequence[str], *, promised: Promised, most: int
    ) -> list[ItemResult]:
        """Do it in this transaction. An order that is refused is refused alone.

        Of a retry, no more than `most` payments are asked for: the result ends with the last of them.
        """
        order_ids = [OrderId(UUID(id_)) for id_ in ids]
        orders = await tx.orders.get_many(set(order_ids), lock=True)
        # What waits was accepted earlier, as for a single order.
        busy = {job.order_id for job in await tx.jobs.changes_of(set(order_ids))}
        recorded = await tx.jobs.get_many({id_ for each in promised.changes.values() for id_ in each})
        busy |= {order_id for order_id, each in promised.changes.items() if not recorded.keys() >= set(each)}
        refused = {id_: _WAITS for id_ in order_ids if id_ in busy}
        refused |= {id_: why for id_ in order_ids if id_ not in orders and (why := _in_caches(id_, promised.orders))}
        if act == "retry":
            pending = [order.id for order in orders.values() if order.status is OrderStatus.PENDING]
            refused |= dict.fromkeys(pending, _NEVER_ASKED)
            asks = [at for at, id_ in enumerate(order_ids, 1) if id_ not in refused and _may_be_paid(orders.get(id_))]
            order_ids = order_ids[: asks[most - 1] if len(asks) > most else None]
        versions = {order.id: order.version for order in orders.values()}
        calls = [OnlyIf(id_, by=by) for id_ in order_ids if id_ not in refused]
        decide = self._cancel.locked if act == "cancel" else self._request_payment.locked
        outcomes = iter(await decide(tx, orders, calls))
        return [
            ItemResult(str(id_), FAILED, refused[id_]) if id_ in refused else _result(id_, next(outcomes), versions)
            for id_ in order_ids
        ]


async def came_of_retries(tx: Transaction, ids: Collection[str]) -> CameOf:
    """Tell of the payments that were asked for, as far as they have been taken or refused."""
    orders = (await readable_orders(tx, {OrderId(UUID(id_)) for id_ in ids})).values()
    return CameOf({str(order.id): _paid(order) for order in orders if not order.charge_is_due})


def _paid(order: Order) -> ItemResult:
    if order.failure_reason is None:
        return ItemResult(str(order.id), DONE)
    return ItemResult(str(order.id), FAILED, f"its payment has failed again: {order.failure_reason.value}")


def _in_caches(id_: OrderId, accepted: Accepted) -> str | None:
    """Return why nothing is done with an order that is not in the database, if it may have been accepted."""
    match accepted.get(id_):
        case Order():
            return in_words(NotYetRecorded(id_))
        case Unavailable() as error:
            return in_words(error)
    return None


def _may_be_paid(order: Order | None) -> bool:
    return order is not None and order.status in MAY_BE_PAID


def _result(id_: OrderId, outcome: Outcome, versions: dict[OrderId, int]) -> ItemResult:
    if isinstance(outcome, Exception):
        return ItemResult(str(id_), FAILED, in_words(outcome))
    is_changed = isinstance(outcome, Order) and outcome.version != versions[id_]
    return ItemResult(str(id_), DONE) if is_changed else ItemResult(str(id_), SKIPPED, _UNCHANGED)
