"""How an accepted order becomes durable: in the database, in the broker, or in the one that can take it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import frozen

from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.idempotency import Keyed, Replayed
from application.intake.place_order import NumberedRequest, NumberRequests, OrderRequest
from application.intake.queue_orders import PriceUnknown, Queued
from domain.orders.order import Order

_Call = NumberedRequest | Keyed[NumberedRequest]
_Place = Callable[[_Call], Awaitable[Order | Replayed]]
_Queue = Callable[[_Call], Awaitable[Order | Queued | Replayed]]


class OrderIntake(Protocol):
    """How a request becomes an order. Each intake says where the order is safe when the client is answered."""

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest], /) -> Order | Queued | Replayed: ...


@frozen
class DirectIntake:
    """The order is in the database when the client is answered."""

    _number: NumberRequests
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Replayed:
        return await self._place(self._number(request))


@frozen
class QueuedIntake:
    """The order is in the queue when the client is answered, or in the database if the queue can't take it.

    An order whose price only the database knows is placed there.
    """

    _number: NumberRequests
    _queue: _Queue
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._queue(call)
        except PriceUnknown:
            return await self._place(call)


@frozen
class AutoIntake:
    """The order is in the database when the client is answered, or in the queue if the database can't take it in time.

    If the queue can't take the order either, the database is tried again, because it may only have been slow. So an
    order may reach both: the database may have committed without an answer. It has one id in both, and is one order.
    """

    _number: NumberRequests
    _place: _Place
    _queue: _Queue

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._place(call)
        except (Unavailable, Aborted):
            # Neither `Overloaded` nor `KeyInFlight` is caught: more work does not help against overload, and the other
            # request under the key is already doing this one's work.
            return await self._queue(call)
        except OutcomeUnknown:
            try:
                return await self._queue(call)
            except (Aborted, Overloaded, PriceUnknown, Unavailable) as error:
                # Not in the queue, but maybe in the database.
                raise OutcomeUnknown(str(error)) from error
