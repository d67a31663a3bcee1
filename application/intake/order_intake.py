"""Makes an accepted order durable: in the database, in the broker, or in whichever is available."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import evolve, frozen

from application.errors import Aborted, OutcomeUnknown, Overloaded, Trouble, Unavailable
from application.execution.idempotency import Keyed, Replayed
from application.intake.order_request import NumberedRequest, NumberRequests, OrderRequest, is_made_of
from application.intake.place_order import KeyUndecided
from application.intake.queue_orders import DatabaseNeeded, Queued
from domain.ids import OrderId
from domain.orders.order import Order

_Call = NumberedRequest | Keyed[NumberedRequest]
_Place = Callable[[_Call], Awaitable[Order | Replayed]]
_Queue = Callable[[_Call], Awaitable[Order | Queued | Replayed]]


class OrderIntake(Protocol):
    """Turns a request into an order. Each intake says where the order is stored when the response is sent."""

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest], /) -> Order | Queued | Replayed: ...


@frozen
class RefuseWhatIsNew:
    """Place an order in a shop that also queues orders. Refuse a request under a key only when none under it is queued.

    A refusal is final, and stored. So it must not overtake an order that an earlier request under the key has left in
    the queue. Raise `KeyUndecided` while there may be one.
    """

    _place: _Place
    # `IntakeQueue.is_empty`, batched and with its timeout.
    _is_empty: Callable[[None], Awaitable[bool]]

    async def __call__(self, call: _Call) -> Order | Replayed:
        try:
            return await self._place(call)
        except KeyUndecided as undecided:
            if not isinstance(call, Keyed) or not await self._is_nothing_queued(undecided):
                raise
        # What was queued before this request is recorded by now.
        return await self._place(evolve(call, call=evolve(call.call, may_be_queued=False)))

    async def _is_nothing_queued(self, undecided: KeyUndecided) -> bool:
        try:
            return await self._is_empty(None)
        except Trouble:
            raise undecided from None


@frozen
class DirectIntake:
    """The order is in the database when the response is sent."""

    _number: NumberRequests
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Replayed:
        return await self._place(self._number(request))


@frozen
class QueuedIntake:
    """The order is in the queue when the response is sent, or in the database if the queue can't take the order.

    If the price list lacks a product, the order is placed in the database, which has every price. The
    database also decides what the queue can't: whether a key was used for another request, if its order has changed
    since, and whether a request that would be refused now was accepted before.
    """

    _number: NumberRequests
    _queue: _Queue
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._queue(call)
        except (DatabaseNeeded, KeyUndecided):
            return await self._place(call)


@frozen
class AutoIntake:
    """The order is in the database when the response is sent, or in the queue if the database is too slow or down.

    If the queue can't take the order either, the database is tried again, because it may only have been slow. An order
    may reach both: the database may have committed without a reply. The order has the same id in both, so it is
    recorded once, and at the prices that were accepted first, as long as the caches know them.
    """

    _number: NumberRequests
    # Find an accepted or recorded order in the caches.
    _recall: Callable[[OrderId], Awaitable[Order | None]]
    _place: _Place
    _queue: _Queue

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        if isinstance(call, Keyed):
            known = await self._recall(call.call.order_id)
            if known is not None and is_made_of(call.call.wanted, known) is not False:
                call.call.quote.lines = known.lines
        try:
            return await self._place(call)
        except (Unavailable, Aborted):
            # `Overloaded` is not caught, because more work does not help against overload. `KeyInFlight` is not caught,
            # because another request under the key is already placing this order.
            return await self._queue(call)
        except OutcomeUnknown:
            try:
                return await self._queue(call)
            except (Aborted, KeyUndecided, Overloaded, DatabaseNeeded, Unavailable) as error:
                # Not in the queue, but maybe in the database.
                raise OutcomeUnknown(str(error)) from error
