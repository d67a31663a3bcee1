from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from attrs import define, field, frozen

from application.errors import NotDone
from application.execution.idempotency import Keyed, KeyReused, Outcome, Replayed, once
from application.ports.environment import Clock, NewId
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
    UnknownProduct,
)
from domain.ids import CustomerId, OrderId, ProductId, first_payment_of
from domain.money import Money
from domain.orders.details import NO_DETAILS, OrderDetails
from domain.orders.events import Event, OrderAccepted
from domain.orders.limits import expect_details_within_limits, expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.payments.payment import Payment

# Refusals of the catalogue as it is now. The same request may have been accepted before.
_OF_THE_MOMENT: Final = (CurrencyMismatch, InvalidAmount, NotForSale, PriceChanged)


class KeyUndecided(NotDone):
    """The shop would refuse this request now, and an order of an earlier one under its key may still be queued."""

    def __init__(self, refusal: DomainError) -> None:
        super().__init__(
            "an order that was accepted under this idempotency key may not be recorded yet, and a new one would be"
            f" refused: {refusal}"
        )


@frozen
class RequestedItem:
    """A product and its quantity, and the price that the customer was shown, if that is to be kept to."""

    product_id: ProductId
    quantity: int
    # An amount alone is in minor units of the currency that the product has.
    unit_price: Money | int | None = None

    def was_shown(self, price: Money) -> bool:
        """Whether this is the price that the customer was shown, or she need not have been shown one."""
        return self.unit_price is None or self.unit_price in (price, price.minor)


@frozen
class OrderRequest:
    """A customer's request for an order, and with `pay` for its payment as well. The same product may come twice."""

    user_id: CustomerId
    items: tuple[RequestedItem, ...]
    pay: bool = False
    details: OrderDetails | None = None


@define(eq=False)
class Quote:
    """The lines at the prices that were found first, for every attempt to store one order."""

    lines: tuple[OrderLine, ...] | None = None


@frozen
class NumberedRequest:
    """A request with the id, the time and the quote of its order.

    They are set before anything is written. So the order is the same one, even if it is stored twice or in two ways,
    and a price changes meanwhile.
    """

    order_id: OrderId
    at: datetime
    wanted: OrderRequest
    quote: Quote = field(factory=Quote, eq=False)
    # An earlier request under its key may have left the order in the intake queue.
    may_be_queued: bool = field(default=False, eq=False)

    @property
    def product_ids(self) -> set[ProductId]:
        return {item.product_id for item in self.wanted.items}

    @property
    def quantities(self) -> list[tuple[ProductId, int]]:
        return [(item.product_id, item.quantity) for item in self.wanted.items]


class Placed(NamedTuple):
    """A new order and its first events. It may wait for its payment already."""

    order: Order
    events: tuple[Event, ...]


@frozen
class NumberRequests:
    """Give a request its order id. A request under a key always gets the same id."""

    _new_id: NewId
    _now: Clock
    # Whether orders may be queued.
    _queues: bool = False

    def __call__(self, call: OrderRequest | Keyed[OrderRequest]) -> NumberedRequest | Keyed[NumberedRequest]:
        if isinstance(call, Keyed):
            request = NumberedRequest(call.key.order_id, self._now(), call.call, may_be_queued=self._queues)
            return Keyed(request, call.key, call.fingerprint)
        return NumberedRequest(OrderId(self._new_id()), self._now(), call)


@frozen
class PlaceOrder:
    """Turn requests into orders, all in one transaction. The refusal of one request does not affect the others.

    A request under a key becomes one order, however often it is repeated. If the stored response of the key was pruned
    meanwhile, a repeated request gets the order as it is now. So it does if the response is a refusal, and the order
    was accepted by the queued intake since.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(
        self, requests: Sequence[NumberedRequest | Keyed[NumberedRequest]]
    ) -> Sequence[Outcome | KeyUndecided]:
        try:
            async with self._unit_of_work() as tx:
                outcomes = await once(tx, requests, partial(self._place_all, tx, {}), now=self._now)
                return await _unless_accepted_since(tx, requests, outcomes)
        except OrderExists:
            # The order was placed under a key whose stored response was pruned. Only now is it worth a look.
            async with self._unit_of_work() as tx:
                ids = {request.call.order_id for request in requests if isinstance(request, Keyed)}
                known = await tx.orders.get_many(ids, lock=True)
                return await once(tx, requests, partial(self._place_all, tx, known), now=self._now)

    async def _place_all(
        self, tx: Transaction, known: Mapping[OrderId, Order], requests: Sequence[NumberedRequest]
    ) -> list[Order | DomainError | KeyUndecided]:
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
    """Return the outcomes, without the refusals of requests under a key whose order is there, or may be queued."""
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
        return KeyReused("this idempotency key was used for a different request; use a new key")
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
    order, placed = Order.place(
        order_id=request.order_id, user_id=wanted.user_id, lines=lines, details=wanted.details, at=request.at
    )
    if not wanted.pay:
        return Placed(order, (placed,))
    return Placed(order, (placed, order.request_payment(first_payment_of(order.id), at=request.at)))


def numbered_in(event: OrderAccepted) -> NumberedRequest:
    """Return the request that was accepted."""
    items = tuple(RequestedItem(line.product_id, line.quantity) for line in event.lines)
    return NumberedRequest(event.order_id, event.at, OrderRequest(event.user_id, items, event.pay, event.details))


def asked_to_pay(order: Order) -> bool | None:
    """Whether its payment was requested together with it. None: that can't be told, since it was requested again."""
    return None if order.payment_id not in {None, first_payment_of(order.id)} else order.payment_id is not None


def is_made_of(wanted: OrderRequest, order: Order) -> bool | None:
    """Whether the order was made from a request like this one. None: its details may have changed since."""
    is_alike = (
        order.user_id == wanted.user_id
        and _units(order.lines) == _units(wanted.items)
        and asked_to_pay(order) in {None, wanted.pay}
        and _is_at_the_prices_of(wanted, order)
    )
    if not is_alike or order.details == wanted.details:
        return is_alike
    now, then = order.details or NO_DETAILS, wanted.details or NO_DETAILS
    is_new = order.version == (2 if wanted.pay else 1)
    kept = (now.external_id, now.email, now.payment_method) == (then.external_id, then.email, then.payment_method)
    return None if kept and not is_new else False


def _is_at_the_prices_of(wanted: OrderRequest, order: Order) -> bool:
    prices = {line.product_id: line.unit_price for line in order.lines}
    return all(item.unit_price is None or item.was_shown(prices[item.product_id]) for item in wanted.items)


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


def _units(items: Iterable[RequestedItem | OrderLine]) -> list[tuple[ProductId, int]]:
    """The products in the order in which they first come, each with its quantities added up."""
    units: dict[ProductId, int] = {}
    for item in items:
        units[item.product_id] = units.get(item.product_id, 0) + item.quantity
    return list(units.items())


def price_items(items: Sequence[RequestedItem], products: Mapping[ProductId, Product]) -> tuple[OrderLine, ...]:
    """Return one line for each product, with its quantities added up.

    Raise `UnknownProduct`, `NotForSale`, `PriceChanged`.
    """
    lines = []
    for product_id, quantity in _units(items):
        product = products.get(product_id)
        if product is None or not product.active:
            raise _refusal(items, products)
        lines.append(OrderLine(product_id=product_id, quantity=quantity, unit_price=product.price))
    for item in items:
        # Most items come without a price.
        if item.unit_price is not None and not item.was_shown(products[item.product_id].price):
            raise _refusal(items, products)
    return tuple(lines)


def _refusal(items: Sequence[RequestedItem], products: Mapping[ProductId, Product]) -> DomainError:
    """Return the error that names every item that can't be ordered."""
    errors: list[DomainError] = []
    for index, item in enumerate(items):
        field, product = f"items[{index}].product_id", products.get(item.product_id)
        if product is None:
            errors.append(UnknownProduct(f"there is no product {item.product_id}", field=field))
        elif not product.active:
            errors.append(NotForSale(f"product {item.product_id} is not for sale", field=field))
        elif not item.was_shown(product.price):
            errors.append(_price_changed(index, item, product.price))
    first, *others = errors
    return type(first)(str(first), field=first.field, others=others)


def _price_changed(index: int, item: RequestedItem, now: Money) -> PriceChanged:
    was = item.unit_price
    shown = f"{was.minor} {was.currency}" if isinstance(was, Money) else f"{was} {now.currency}"
    told = f"product {item.product_id} costs {now.minor} {now.currency} now, and {shown} was shown"
    return PriceChanged(f"{told} (in minor units)", field=f"items[{index}].unit_price")
