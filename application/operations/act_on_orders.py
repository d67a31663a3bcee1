from collections.abc import Sequence
from typing import Final
from uuid import UUID

from attrs import frozen

from application.execution.conditional import OnlyIf
from application.execution.idempotency import Outcome
from application.operations.bulk import Act
from application.operations.results import DONE, FAILED, SKIPPED, ItemResult, in_words
from application.orders.cancel_order import CancelOrder
from application.payments.request_payment import RequestPayment
from application.ports.audit import Caller
from application.ports.persistence import Transaction
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus

_WAITS: Final = "another change of it waits, and is made first"
_NEVER_ASKED: Final = "nobody has asked for its payment yet, so there is none to retry"
_UNCHANGED: Final = "it is as it was asked for already"


@frozen
class ActOnOrders:
    """Cancel orders, or ask again for their payment, as the use case for a single order does, which also decides."""

    _cancel: CancelOrder
    _request_payment: RequestPayment

    async def __call__(self, tx: Transaction, act: Act, by: Caller, ids: Sequence[str]) -> list[ItemResult]:
        """Do it in this transaction. An order that is refused is refused alone."""
        order_ids = [OrderId(UUID(id_)) for id_ in ids]
        before = await tx.orders.get_many(set(order_ids), lock=True)
        # What waits was accepted earlier, as for a single order.
        busy = {job.order_id for job in await tx.jobs.changes_of(set(order_ids))}
        refused = {id_: _WAITS for id_ in order_ids if id_ in busy}
        if act == "retry":
            pending = [order.id for order in before.values() if order.status is OrderStatus.PENDING]
            refused |= dict.fromkeys(pending, _NEVER_ASKED)
        versions = {order.id: order.version for order in before.values()}
        calls = [OnlyIf(id_, by=by) for id_ in order_ids if id_ not in refused]
        within = self._cancel.within if act == "cancel" else self._request_payment.within
        outcomes = iter(await within(tx, calls))
        return [
            ItemResult(str(id_), FAILED, refused[id_]) if id_ in refused else _result(id_, next(outcomes), versions)
            for id_ in order_ids
        ]


def _result(id_: OrderId, outcome: Outcome, versions: dict[OrderId, int]) -> ItemResult:
    if isinstance(outcome, Exception):
        return ItemResult(str(id_), FAILED, in_words(outcome))
    is_changed = isinstance(outcome, Order) and outcome.version != versions[id_]
    return ItemResult(str(id_), DONE) if is_changed else ItemResult(str(id_), SKIPPED, _UNCHANGED)
