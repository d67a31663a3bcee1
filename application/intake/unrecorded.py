from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

from application.errors import NotDone, Unavailable
from application.execution.conditional import OrderCall, is_for, order_id_in
from application.execution.idempotency import Keyed, Replayed
from application.ports.caching import RecentOrders
from domain.errors import OrderDeleted, UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order

C = TypeVar("C", bound=OrderCall | Keyed[OrderCall])
R = TypeVar("R")


class NotYetRecorded(NotDone):
    """The order has been accepted, and is not in the database yet."""

    def __init__(self, order_id: OrderId) -> None:
        super().__init__(f"order {order_id} has been accepted and is not recorded yet: try again in a moment")


@frozen
class Unrecorded:
    """Finds accepted orders that are not in the database yet.

    A process is not notified when an order that it queued is recorded, and may still find the order here. So callers
    must look in the database first.
    """

    _recent: RecentOrders
    # The orders that this process has queued. They can be read here while the shared recent orders are unavailable.
    _queued_here: RecentOrders
    # Where no process queues orders, none that the database does not have was accepted.
    _queues: bool = field(default=True, kw_only=True)

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order | Unavailable]:
        """Return those that were accepted, and for each that may have been accepted the reason why that is unknown."""
        if not ids:
            return {}
        found: dict[OrderId, Order | Unavailable] = {**await self.cached(ids)}
        missing = set(ids) - found.keys()
        if not missing:
            return found
        try:
            return found | await self._recent.get_accepted(missing)
        except Unavailable as error:
            return found | dict.fromkeys(missing, error) if self._queues else found

    async def get(self, id_: OrderId) -> Order | None:
        """Return the order if it was accepted. Raise `Unavailable` if that is unknown."""
        found = (await self.get_many({id_})).get(id_)
        if isinstance(found, Unavailable):
            raise found
        return found

    async def cached(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        """Return those that can be read in the caches, recorded or not, although the database may not be asked."""
        return await self._queued_here.get_many(ids) | await self._recent.get_many(ids)


@frozen
class RecallOrders:
    """Find orders in the caches alone, recorded or not."""

    _unrecorded: Unrecorded

    async def __call__(self, ids: Sequence[OrderId]) -> Sequence[Order | None]:
        found = await self._unrecorded.cached(set(ids))
        return [found.get(id_) for id_ in ids]


@frozen
class TellUnrecorded(Generic[C, R]):
    """Wraps a use case that changes orders: for an accepted order it returns `NotYetRecorded`, not `UnknownOrder`.

    It returns `Unavailable` while it is not known whether an order was accepted.
    """

    _change: Callable[[Sequence[C]], Awaitable[Sequence[R]]]
    _unrecorded: Unrecorded

    async def __call__(self, calls: Sequence[C]) -> Sequence[R | Exception]:
        outcomes: list[R | Exception] = list(await self._change(calls))
        unknown = [index for index, outcome in enumerate(outcomes) if _is_unknown(outcome)]
        accepted = await self._unrecorded.get_many({_order_id(calls[index]) for index in unknown})
        for index in unknown:
            match accepted.get(_order_id(calls[index])):
                # Another customer's order is as unknown as one that does not exist.
                case Order() as order if is_for(_order_call(calls[index]), order):
                    outcomes[index] = NotYetRecorded(order.id)
                case Unavailable() as error:
                    outcomes[index] = error
        # An order found in neither place may have been recorded between the two reads.
        unknown = [index for index in unknown if _order_id(calls[index]) not in accepted]
        if unknown:
            for index, outcome in zip(unknown, await self._again([calls[index] for index in unknown]), strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _again(self, calls: Sequence[C]) -> Sequence[R | Exception]:
        try:
            return await self._change(calls)
        except Exception as error:  # noqa: BLE001 - any: the first transaction has committed the other calls
            return [error] * len(calls)


def _order_call(call: OrderCall | Keyed[OrderCall]) -> OrderCall:
    return call.call if isinstance(call, Keyed) else call


def _order_id(call: OrderCall | Keyed[OrderCall]) -> OrderId:
    return order_id_in(_order_call(call))


def _is_unknown(outcome: object) -> bool:
    told = outcome.answer if isinstance(outcome, Replayed) else outcome
    return isinstance(told, UnknownOrder) and not isinstance(told, OrderDeleted)
