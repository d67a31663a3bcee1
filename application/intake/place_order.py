from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from attrs import frozen

from application.errors import NotDone
from application.execution.idempotency import Keyed, KeyReused, Outcome, Replayed, once
from application.intake.order_request import NumberedRequest, is_made_of
from application.intake.pricing import price_items
from application.ports.idempotency import is_of_a_key
from application.ports.persistence import OrderExists, Transaction, UnitOfWork
from domain.catalogue.product import Product
from domain.errors import (
    CurrencyMismatch,
    DomainError,
    ExternalIdTaken,
    InvalidAmount,
    NotForSale,
    PriceChanged,
)
from domain.ids import OrderId, ProductId, first_payment_of
from domain.orders.events import Event
from domain.orders.limits import expect_details_within_limits, expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.payments.payment import Payment

# Refusals of the catalogue as it is now. The same request may have been accepted before.
_OF_THE_MOMENT: Final = (CurrencyMismatch, InvalidAmount, NotForSale, PriceChanged)


class KeyUndecided(NotDone):
    """The shop would refuse this request now, and an earlier one under its key may have left an order in the queue."""

    def __init__(self, refusal: DomainError) -> None:
        super().__init__(
            "an order that was accepted under this idempotency key may not be recorded yet, and a new one would be"
            f" refused: {refusal}"
        )


class Placed(NamedTuple):
    """A new order and its first events. It may wait for its payment already."""

    order: Order
    events: tuple[Event, ...]


@frozen
class PlaceOrder:
    """Turn requests into orders, all in one transaction. The refusal of one request does not affect the others.

    A request under a key becomes one order, however often it is repeated. If the stored response of the key was pruned
    meanwhile, a repeated request gets the order as it is now. It also gets the order if the stored response is a
    refusal, and the queued intake has accepted the order since.
    """

    _unit_of_work: UnitOfWork

    async def __call__(
        self, requests: Sequence[NumberedRequest | Keyed[NumberedRequest]]
    ) -> Sequence[Outcome | KeyUndecided]:
        try:
            async with self._unit_of_work() as tx:
                outcomes = await once(tx, requests, partial(self.place_all, tx, {}))
                return await _unless_accepted_since(tx, requests, outcomes)
        except OrderExists:
            # An order was placed under a key whose stored response was pruned. That is rare: only now it is looked for.
            async with self._unit_of_work() as tx:
                ids = {request.call.order_id for request in requests if isinstance(request, Keyed)}
                known = await tx.orders.get_many(ids, lock=True)
                return await once(tx, requests, partial(self.place_all, tx, known))

    async def place_all(
        self, tx: Transaction, known: Mapping[OrderId, Order], requests: Sequence[NumberedRequest]
    ) -> list[Order | DomainError | KeyUndecided]:
        """Place them in a transaction of the caller, except those that are `known`."""
        outcomes: list[Order | DomainError | KeyUndecided] = []
        placed: list[Placed] = []
        products = await tx.products.get_many({id_ for request in requests for id_ in request.product_ids})
        for request in requests:
            if (order := known.get(request.order_id)) is not None:
                outcomes.append(_again(request, order))
                continue
            try:
                expect_placeable(request)
                new = price_order(request, products)
            except DomainError as error:
                outcomes.append(error)
            else:
                outcomes.append(new.order)
                placed.append(new)
        taken = await taken_external_ids(tx, placed)
        if taken:
            outcomes = [taken.get(each.id, each) if isinstance(each, Order) else each for each in outcomes]
            placed = [each for each in placed if each.order.id not in taken]
        await record(tx, placed)
        return await _unless_known(tx, requests, outcomes)


async def _unless_known(
    tx: Transaction, requests: Sequence[NumberedRequest], outcomes: list[Order | DomainError | KeyUndecided]
) -> list[Order | DomainError | KeyUndecided]:
    """Replace the refusal of a request under a key by its order, or by `KeyUndecided` if that may be queued."""
    refused = {
        at: error
        for at, error in enumerate(outcomes)
        if isinstance(error, DomainError) and is_of_the_moment(error) and is_of_a_key(requests[at].order_id)
    }
    if refused:
        there = await tx.orders.get_many({requests[at].order_id for at in refused})
        for at, error in refused.items():
            request = requests[at]
            if (order := there.get(request.order_id)) is not None:
                outcomes[at] = _again(request, order)
            elif request.may_be_queued:
                outcomes[at] = KeyUndecided(error)
    return outcomes


async def _unless_accepted_since(
    tx: Transaction, requests: Sequence[NumberedRequest | Keyed[NumberedRequest]], outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    """Return the outcomes, with the order in place of a stored refusal where there is an order."""
    refused = {
        at: request.call
        for at, (request, outcome) in enumerate(zip(requests, outcomes, strict=True))
        if isinstance(request, Keyed) and isinstance(outcome, Replayed) and isinstance(outcome.answer, DomainError)
    }
    if not refused:
        return outcomes
    there = await tx.orders.get_many({request.order_id for request in refused.values()})
    found = {at: there[request.order_id] for at, request in refused.items() if request.order_id in there}
    return [Replayed(found[at]) if at in found else outcome for at, outcome in enumerate(outcomes)]


def is_of_the_moment(error: DomainError) -> bool:
    """Whether the same request may have been accepted before, while the catalogue was another."""
    return isinstance(error, _OF_THE_MOMENT)


def _again(request: NumberedRequest, order: Order) -> Order | KeyReused:
    if is_made_of(request.wanted, order) is False:
        return KeyReused()
    return order


def expect_placeable(request: NumberedRequest) -> None:
    """Check what needs no price. Raise `InvalidOrder`."""
    expect_within_limits(request.quantities)
    expect_details_within_limits(request.wanted.details)


async def taken_external_ids(tx: Transaction, placed: Sequence[Placed]) -> dict[OrderId, ExternalIdTaken]:
    """Return the refusals of those new orders whose customer has another order with the same external id."""
    named = {
        new.order.id: (new.order.user_id, new.order.details.external_id)
        for new in placed
        if new.order.details is not None and new.order.details.external_id is not None
    }
    if not named:
        return {}
    first = await tx.orders.with_external_ids(set(named.values()))
    taken = {}
    for id_, name in named.items():
        if (other := first.setdefault(name, id_)) != id_:
            taken[id_] = ExternalIdTaken(
                f"order {other} of this customer has the external id {name[1]!r}", field="external_id"
            )
    return taken


def price_order(request: NumberedRequest, products: Mapping[ProductId, Product]) -> Placed:
    """Return the order at the prices of these products, in its first state. Raise a `DomainError`."""
    if request.quote.lines is None:
        request.quote.lines = price_items(request.wanted.items, products)
    return place(request, request.quote.lines)


def place(request: NumberedRequest, lines: Sequence[OrderLine]) -> Placed:
    """Return the order with these lines, in its first state. Raise a `DomainError`."""
    wanted = request.wanted
    at, request_id = request.at, request.request_id
    order, placed = Order.place(
        order_id=request.order_id,
        user_id=wanted.user_id,
        lines=lines,
        details=wanted.details,
        at=at,
        request_id=request_id,
    )
    if not wanted.pay:
        return Placed(order, (placed,))
    return Placed(order, (placed, order.request_payment(first_payment_of(order.id), at=at, request_id=request_id)))


async def record(tx: Transaction, placed: Iterable[Placed]) -> None:
    """Write orders and their first events into the database, and the payments that were requested with them."""
    placed = list(placed)
    await tx.orders.add_many([new.order for new in placed])
    await tx.payments.add_many(
        [
            Payment(id=new.order.payment_id, order_id=new.order.id, amount=new.order.total)
            for new in placed
            if new.order.payment_id is not None
        ]
    )
    await tx.events.add_many([event for new in placed for event in new.events])
