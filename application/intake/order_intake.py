"""Makes an accepted order durable: in the database, in the broker, or in whichever is available."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import frozen

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.idempotency import Keyed, Replayed
from application.intake.place_order import NumberedRequest, NumberRequests, OrderRequest
from application.intake.queue_orders import DatabaseNeeded, Queued
from domain.orders.order import Order

_Call = NumberedRequest | Keyed[NumberedRequest]
_Place = Callable[[_Call], Awaitable[Order | Replayed]]
_Queue = Callable[[_Call], Awaitable[Order | Queued | Replayed]]


class OrderIntake(Protocol):
    """Turns a request into an order. Each intake says where the order is stored when the response is sent."""

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest], /) -> Order | Queued | Replayed: ...


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

    If the price list lacks a product, the order is placed in the database, which has every price. It also tells
    whether a key is used again for another request, if its order has changed since.
    """

    _number: NumberRequests
    _queue: _Queue
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._queue(call)
        except DatabaseNeeded:
            return await self._place(call)


@frozen
class AutoIntake:
    """The order is in the database when the response is sent, or in the queue if the database is too slow or down.

    If the queue can't take the order either, the database is tried again, because it may only have been slow. An order
    may reach both: the database may have committed without a reply. The order has the same id in both, so it is
    recorded once.
    """

    _number: NumberRequests
    _place: _Place
    _queue: _Queue

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._place(call)
        except (Unavailable, Aborted):
            # `Overloaded` is not caught, because more work does not help against overload. `KeyInFlight` is not caught,
            # because another request under the key is already placing this order.
            return await self._queue(call)
        except OutcomeUnknown:
            try:
                return await self._queue(call)
            except (Aborted, Overloaded, DatabaseNeeded, Unavailable) as error:
                # Not in the queue, but maybe in the database.
                raise OutcomeUnknown(str(error)) from error
