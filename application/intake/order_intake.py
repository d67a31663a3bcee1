"""How an accepted order becomes durable: in the database first, in the broker first, or in whichever can take it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import frozen

from application.errors import Aborted, NotDone, OutcomeUnknown, Unavailable
from application.execution.idempotency import Keyed, Replayed
from application.intake.place_order import NumberedRequest, NumberRequests, OrderRequest
from application.intake.queue_orders import PriceUnknown, Queued
from domain.orders.order import Order

_Call = NumberedRequest | Keyed[NumberedRequest]
_Place = Callable[[_Call], Awaitable[Order | Replayed]]
_Queue = Callable[[_Call], Awaitable[Order | Queued | Replayed]]


class OrderIntake(Protocol):
    """The road in: what becomes of a request when it is answered."""

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest], /) -> Order | Queued | Replayed: ...


@frozen
class DirectIntake:
    """An order is in the books when it is answered."""

    _number: NumberRequests
    _place: _Place

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Replayed:
        return await self._place(self._number(request))


@frozen
class QueuedIntake:
    """An order is in the queue when it is answered, or in the books where the queue can't take it.

    The database is asked for what only it can tell, too.
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
    """An order is in the books when it is answered, or in the queue while the database can't take it in time.

    One that the queue can't take either is recorded after all, if the database was only slow. So an order may get to
    both: what the database was asked for in vain may have happened. It has one id, and is one order.
    """

    _number: NumberRequests
    _place: _Place
    _queue: _Queue

    async def __call__(self, request: OrderRequest | Keyed[OrderRequest]) -> Order | Queued | Replayed:
        call = self._number(request)
        try:
            return await self._place(call)
        except (Unavailable, Aborted):
            # Not what is overloaded, nor what is in flight under the same key: more work is no help when there is too
            # much of it, and what another does need not be done here.
            return await self._queue(call)
        except OutcomeUnknown:
            try:
                return await self._queue(call)
            except NotDone as error:
                # Not in the queue, but maybe in the database.
                raise OutcomeUnknown(str(error)) from error
