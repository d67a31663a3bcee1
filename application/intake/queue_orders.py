import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from attrs import frozen

from application.errors import NotDone, OutcomeUnknown, Trouble
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.place_order import NumberedRequest, price_order, wanted_in
from application.ports.caching import PriceList, RecentOrders
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.events import AskedUnder, OrderAccepted
from domain.orders.order import Order

Call = NumberedRequest | Keyed[NumberedRequest]


class PriceUnknown(NotDone):
    """Nobody but the database can tell whether there is such a product."""


@frozen
class Queued:
    """An order, as it was placed, that is safe in the queue and will be recorded; `replayed` to who asks again."""

    order: Order
    replayed: bool = False


class Unconfirmed(OutcomeUnknown):
    """The queue has not said that it has this order: it may be there or not."""

    def __init__(self, event: OrderAccepted) -> None:
        super().__init__("the broker did not confirm the order")
        self.event = event


class _New(NamedTuple):
    call: Call
    event: OrderAccepted


@frozen
class QueueOrders:
    """Accept orders without the database: each is priced and valid as it will be recorded, and safe on disk.

    Whoever is told of an order finds it among the recent ones. One that can't be found there would be looked for in
    the books, and so it is recorded here and now, if that can be: then it is returned as an order like any other.
    """

    _prices: PriceList
    # `IntakeQueue.put_many`, in the time that there is for it.
    _queue: Callable[[Sequence[OrderAccepted]], Awaitable[AbstractSet[OrderId]]]
    _recent: RecentOrders
    # What this process has queued, for when the others' can't be had.
    _queued: RecentOrders
    _record: Callable[[OrderAccepted], Awaitable[None]]

    async def __call__(self, calls: Sequence[Call]) -> Sequence[Order | Queued | DomainError | Trouble]:
        orders = await self._recent.get_many({call.call.order_id for call in calls if isinstance(call, Keyed)})
        new: dict[OrderId, _New] = {}
        refused: dict[int, DomainError | PriceUnknown] = {}
        for place, call in enumerate(calls):
            request = _request(call)
            if request.order_id in orders:
                continue
            try:
                orders[request.order_id], event = self._accept(call)
            except (DomainError, PriceUnknown) as error:
                refused[place] = error
            else:
                new[request.order_id] = _New(call, event)
        safe = await self._put([event for _, event in new.values()])
        # Two processes may have accepted an order under one key at once: both tell of the one that is found.
        found = await self._show([orders[id_] for id_ in new if id_ in safe])
        recorded = await self._record_all([event for id_, (_, event) in new.items() if id_ in safe - found.keys()])

        def answer(call: Call) -> Order | Queued | DomainError | Trouble:
            id_ = _request(call).order_id
            if id_ in new and id_ not in safe:
                return Unconfirmed(new[id_].event)
            order = found.get(id_, orders[id_])
            if wanted_in(order) != _request(call).wanted:
                return KeyReused("something else was asked for under this key before")
            if id_ in new and new[id_].call is call:
                return recorded.get(id_) or Queued(_as_placed(order))
            return Queued(_as_placed(order), replayed=True)

        return [refused[place] if place in refused else answer(call) for place, call in enumerate(calls)]

    def _accept(self, call: Call) -> tuple[Order, OrderAccepted]:
        request = _request(call)
        products = self._prices.get_many(request.product_ids)
        if missing := request.product_ids - products.keys():
            raise PriceUnknown(f"whether there is a product {min(missing)} can't be told now")
        order, placed = price_order(request, products)
        under = None
        if isinstance(call, Keyed):
            under = AskedUnder(scope=call.key.scope, key=call.key.value, fingerprint=call.fingerprint)
        event = OrderAccepted(
            order_id=order.id,
            at=placed.at,
            user_id=placed.user_id,
            lines=placed.lines,
            total=placed.total,
            asked_under=under,
        )
        return order, event

    async def _put(self, events: Sequence[OrderAccepted]) -> AbstractSet[OrderId]:
        """Those that are safe in the queue."""
        try:
            return await self._queue(events) if events else set()
        except Trouble:
            return set()

    async def _show(self, orders: Sequence[Order]) -> dict[OrderId, Order]:
        """Put them among the recent orders, and return those that can be read there."""
        if not orders:
            return {}
        await self._queued.put_many(orders)
        await self._recent.put_many(orders)
        return await self._recent.get_many({order.id for order in orders})

    async def _record_all(self, events: Iterable[OrderAccepted]) -> dict[OrderId, Order | DomainError]:
        """Those that could be recorded, and those that are another order in the books. The others wait in the queue."""
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
    """Queue an order; one that the queue did not confirm is recorded here and now, if that can be.

    Without the books it is safe nowhere, and nobody is told of it: raise
    `OutcomeUnknown`, since it may yet come out of the queue.
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
                # Nobody was promised this order, and the database knows what has been answered under its key.
                return _first_or_again(call.call, await self._place(call))
            # It may be there: a first attempt may have come to an end since.
            await self._record(event)
        except NotDone as error:
            # Not in the database, but maybe in the queue.
            raise OutcomeUnknown(str(error)) from error
        return _order(event)


def _first_or_again(request: NumberedRequest, answer: Order | Replayed) -> Order | Replayed:
    """To a request that was recorded by its own first attempt, the order: it has not asked again."""
    if isinstance(answer, Replayed) and isinstance(answer.answer, Order) and answer.answer.created_at == request.at:
        return answer.answer
    return answer


def _request(call: Call) -> NumberedRequest:
    return call.call if isinstance(call, Keyed) else call


def _order(event: OrderAccepted) -> Order:
    return Order.place(order_id=event.order_id, user_id=event.user_id, lines=event.lines, at=event.at)[0]


def _as_placed(order: Order) -> Order:
    """As it was at first: whoever asks again is told the same as before."""
    return Order.place(order_id=order.id, user_id=order.user_id, lines=order.lines, at=order.created_at)[0]
