from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from application.once import Keyed, Replayed
from application.ports import Aborted, RecentOrders
from domain.errors import UnknownOrder
from domain.ids import OrderId

C = TypeVar("C", bound=OrderId | Keyed[OrderId])
R = TypeVar("R")


class NotYetRecorded(Aborted):
    """The order has been accepted, and is on its way into the books. Nothing was done."""

    def __init__(self, order_id: OrderId) -> None:
        super().__init__(f"order {order_id} has been accepted, and is not recorded yet")


@frozen
class TellUnrecorded(Generic[C, R]):
    """Around a use case that changes orders: one that is only accepted so far is not unknown, it takes a moment."""

    _change: Callable[[Sequence[C]], Awaitable[Sequence[R]]]
    _recent: RecentOrders

    async def __call__(self, calls: Sequence[C]) -> Sequence[R | NotYetRecorded]:
        outcomes = await self._change(calls)
        unknown = {_order_id(call) for call, outcome in zip(calls, outcomes, strict=True) if _is_unknown(outcome)}
        accepted = await unrecorded(unknown, self._recent)
        return [
            NotYetRecorded(_order_id(call)) if _is_unknown(outcome) and _order_id(call) in accepted else outcome
            for call, outcome in zip(calls, outcomes, strict=True)
        ]


async def unrecorded(unknown: Collection[OrderId], recent: RecentOrders) -> set[OrderId]:
    """Of orders that are not in the books those that were accepted all the same."""
    if not unknown:
        return set()
    return {id_ for id_, order in (await recent.get_many(unknown)).items() if not order.deleted}


def _order_id(call: OrderId | Keyed[OrderId]) -> OrderId:
    return call.call if isinstance(call, Keyed) else call


def _is_unknown(outcome: object) -> bool:
    return isinstance(outcome.answer if isinstance(outcome, Replayed) else outcome, UnknownOrder)
