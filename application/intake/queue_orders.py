import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import NamedTuple

from attrs import frozen

from application.errors import Aborted, NotDone, OutcomeUnknown, Overloaded, Trouble, Unavailable
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.order_request import NumberedRequest, is_made_of, numbered_in
from application.intake.place_order import KeyUndecided, expect_placeable, is_of_the_moment, place, price_order
from application.ports.caching import PriceList, RecentOrders
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import AskedUnder, OrderAccepted
from domain.orders.order import Order

Call = NumberedRequest | Keyed[NumberedRequest]


class DatabaseNeeded(NotDone):
    """Only the database can tell what this request is."""


class PriceUnknown(DatabaseNeeded):
    """The price list lacks a product. Only the database can tell whether the product exists."""


class RequestUnknown(DatabaseNeeded):
    """The order of this key has changed since. Only the database can tell whether this is the request it came from."""


class ResponseStored(DatabaseNeeded):
    """The order of this key is in the database, and so is the response to the first request."""


@frozen
class Queued:
    """An order that is stored in the queue, in its first state. `replayed` is set if the request is a repeated one."""

    order: Order
    replayed: bool = False


class Unconfirmed(OutcomeUnknown):
    """The broker did not confirm this order: the order may be in the queue or not."""

    def __init__(self, event: OrderAccepted) -> None:
        super().__init__("the broker did not confirm the order: it may be queued or not")
        self.event = event


class _New(NamedTuple):
    call: Call
    event: OrderAccepted


@frozen
class QueueOrders:
    """Accept orders without the database: each order is priced, validated, and stored on the broker's disk.

    The client must be able to read an order as soon as it gets the response. So the order is written to the recent
    orders. If it can't be read back from there, it is recorded in the database at once, if possible, and returned as a
    placed order.
    """

    _prices: PriceList
    # `IntakeQueue.put_many`, with its timeout.
    _queue: Callable[[Sequence[OrderAccepted]], Awaitable[AbstractSet[OrderId]]]
    _recent: RecentOrders
    # The orders that this process has queued. They can be read here while the shared recent orders are unavailable.
    _queued: RecentOrders
    _record: Callable[[OrderAccepted], Awaitable[None]]
    # Find out which of these orders are in the database, with a timeout.
    _recorded: Callable[[Collection[OrderId]], Awaitable[Collection[OrderId]]]

    async def __call__(self, calls: Sequence[Call]) -> Sequence[Order | Queued | DomainError | Trouble]:
        under_keys = {call.call.order_id for call in calls if isinstance(call, Keyed)}
        orders = await self._recent.get_many(under_keys)
        recorded_before = await self._look(under_keys - orders.keys())
        new: dict[OrderId, _New] = {}
        refused: dict[int, DomainError | DatabaseNeeded | KeyUndecided] = {}
        for index, call in enumerate(calls):
            request = _request(call)
            if request.order_id in orders:
                continue
            try:
                orders[request.order_id], event = self._accept(call, recorded_before)
            except (DomainError, DatabaseNeeded, KeyUndecided) as error:
                refused[index] = error
            else:
                new[request.order_id] = _New(call, event)
        safe = await self._put([event for _, event in new.values()])
        # Two processes may each have accepted a request with the same key, and so the same order id, at once. Both
        # return the order that is in the recent orders.
        found = await self._show([orders[id_] for id_ in new if id_ in safe])
        recorded = await self._record_all([event for id_, (_, event) in new.items() if id_ in safe - found.keys()])

        def answer(call: Call) -> Order | Queued | DomainError | Trouble:
            id_ = _request(call).order_id
            if id_ in new and id_ not in safe:
                return Unconfirmed(new[id_].event)
            order = found.get(id_, orders[id_])
            is_the_same = is_made_of(_request(call).wanted, order)
            if is_the_same is None:
                return RequestUnknown(f"order {order.id} of this idempotency key has changed since it was placed")
            if not is_the_same:
                return KeyReused()
            if id_ in new and new[id_].call is call:
                return recorded.get(id_) or Queued(_as_placed(call, order))
            return Queued(_as_placed(call, order), replayed=True)

        return [refused[index] if index in refused else answer(call) for index, call in enumerate(calls)]

    async def _look(self, ids: AbstractSet[OrderId]) -> Collection[OrderId]:
        """Return those that are in the database. The caches may have forgotten them, and none is queued again."""
        if ids:
            with suppress(Trouble):
                return await self._recorded(ids)
        return ()

    def _accept(self, call: Call, recorded_before: Collection[OrderId]) -> tuple[Order, OrderAccepted]:
        request = _request(call)
        if request.order_id in recorded_before:
            raise ResponseStored(f"order {request.order_id} was recorded before; only the database has its response")
        expect_placeable(request)
        products = self._prices.get_many(request.product_ids)
        if request.quote.lines is None and (missing := request.product_ids - products.keys()):
            raise PriceUnknown(f"product {min(missing)} is not in the price list; only the database can tell its price")
        try:
            order, _ = price_order(request, products)
        except DomainError as error:
            if isinstance(call, Keyed) and is_of_the_moment(error):
                # The order may be queued already: its process may be gone, or the caches have forgotten it.
                raise KeyUndecided(error) from None
            raise
        under = None
        if isinstance(call, Keyed):
            under = AskedUnder(scope=call.key.scope, key=call.key.value, fingerprint=call.fingerprint)
        event = OrderAccepted(
            order_id=order.id,
            at=order.created_at,
            request_id=request.request_id,
            user_id=order.user_id,
            lines=order.lines,
            total=order.total,
            asked_under=under,
            pay=request.wanted.pay,
            details=order.details,
        )
        return order, event

    async def _put(self, events: Sequence[OrderAccepted]) -> AbstractSet[OrderId]:
        """Queue the orders, and return the ids of those that the broker has confirmed."""
        try:
            return await self._queue(events) if events else set()
        except Trouble:
            return set()

    async def _show(self, orders: Sequence[Order]) -> dict[OrderId, Order]:
        """Write the orders to the recent orders, and return the orders that can be read from there."""
        if not orders:
            return {}
        await self._queued.put_many(orders)
        await self._recent.put_accepted(orders)
        ids = {order.id for order in orders}
        found = await self._recent.get_many(ids)
        # After a failover, nothing that may come from the former database is read for a moment.
        with suppress(Unavailable):
            if missing := ids - found.keys():
                found |= await self._recent.get_accepted(missing)
        return found

    async def _record_all(self, events: Iterable[OrderAccepted]) -> dict[OrderId, Order | DomainError]:
        """Record the orders. Return each recorded order, or its refusal if another order has the id.

        An order that can't be recorded now is left out of the result. A worker records it from the queue.
        """
        events = list(events)
        outcomes = await asyncio.gather(*map(self._record, events), return_exceptions=True)
        told: dict[OrderId, Order | DomainError] = {}
        for event, outcome in zip(events, outcomes, strict=True):
            if outcome is None:
                told[event.order_id] = _order(event)
            elif isinstance(outcome, DomainError):
                told[event.order_id] = outcome
        return told


@frozen
class QueueOrRecord:
    """Queue an order; if the broker does not confirm the order, record it in the database at once.

    Raise `OutcomeUnknown` if the database can't take the order either: it may still arrive through the queue.
    """

    _queue: Callable[[Call], Awaitable[Order | Queued]]
    _place: Callable[[Call], Awaitable[Order | Replayed]]
    _record: Callable[[OrderAccepted], Awaitable[None]]

    async def __call__(self, call: Call) -> Order | Queued | Replayed:
        try:
            return await self._queue(call)
        except Unconfirmed as unconfirmed:
            event = unconfirmed.event
        try:
            if isinstance(call, Keyed):
                # The key may already have a stored response, which must be returned. So the order is placed in the
                # usual way, which looks up the key. No client has been promised this order yet.
                return _first_or_again(call.call, await self._place(call))
            # `AutoIntake` may have tried to place this order in the database before, and that attempt may have
            # committed meanwhile. Then this call changes nothing.
            await self._record(event)
        except (Aborted, KeyUndecided, Overloaded, Unavailable) as error:
            # Not in the database, but maybe in the queue.
            raise OutcomeUnknown(str(error)) from error
        return _order(event)


def _first_or_again(request: NumberedRequest, answer: Order | Replayed) -> Order | Replayed:
    """Return the answer, without the replayed mark if an earlier attempt at this same request wrote the order.

    That attempt sent no response, so for the client this is the first one. Such an order has the time of the request.
    """
    if isinstance(answer, Replayed) and isinstance(answer.answer, Order) and answer.answer.created_at == request.at:
        return answer.answer
    return answer


def _request(call: Call) -> NumberedRequest:
    return call.call if isinstance(call, Keyed) else call


def _order(event: OrderAccepted) -> Order:
    return place(numbered_in(event), event.lines).order


def _as_placed(call: Call, order: Order) -> Order:
    """Return the order in its first state, so that a repeated request gets the same response as the first."""
    return place(NumberedRequest(order.id, order.created_at, _request(call).wanted), order.lines).order
