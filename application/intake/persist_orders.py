from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from attrs import frozen

from application.errors import Aborted
from application.execution.idempotency import Keyed, KeyInFlight, KeyReused, Outcome, Replayed, once
from application.intake.order_request import is_made_of, numbered_in
from application.intake.place_order import Placed, place, record, taken_external_ids
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product
from domain.errors import DomainError, InvalidOrder, UnknownProduct
from domain.ids import OrderId, ProductId
from domain.money import Money
from domain.orders.events import OrderAccepted
from domain.orders.order import Order


async def _nobody_waits(_: Transaction, __: Collection[OrderId]) -> None:
    return


@frozen
class PersistOrders:
    """Write accepted orders into the database, as if they had been placed there. Recorded orders are skipped.

    An accepted order is never refused because of a later change: no product is ever removed, and the prices that were
    replaced are known. If a client sends two different orders under one id, the mistake may not be visible when the
    second is accepted. The second is dead-lettered for a person to decide. So is an order at prices that its products
    never had, which no API can have accepted.
    """

    _unit_of_work: UnitOfWork
    # Told in the transaction which orders are recorded by it.
    _wake: Callable[[Transaction, Collection[OrderId]], Awaitable[None]] = _nobody_waits

    async def __call__(self, asked: Sequence[OrderAccepted]) -> Sequence[DomainError | KeyInFlight | None]:
        outcomes: dict[OrderId, Outcome] = {}
        async with self._unit_of_work() as tx:
            events, emptied_at = asked, await tx.shop.emptied_at()
            if emptied_at is not None:
                # What was accepted before the shop was emptied is gone, with all other orders of that time.
                events = [event for event in asked if event.at >= emptied_at]
            # Those that are there are locked, so that no cache keeps what a later copy of an order has put there.
            orders = await tx.orders.get_many({event.order_id for event in events}, lock=True)
            missing = [event for event in events if event.order_id not in orders]
            products = await tx.products.get_many({line.product_id for event in missing for line in event.lines})
            earlier = await _earlier(tx, missing, products)
            new: dict[OrderId, Placed] = {}
            for event in events:
                if event.order_id not in orders and event.order_id not in outcomes:
                    try:
                        new[event.order_id] = _placed(event, products, earlier)
                    except DomainError as error:
                        outcomes[event.order_id] = error
                    else:
                        orders[event.order_id] = new[event.order_id].order
            taken = await taken_external_ids(tx, list(new.values()))
            new = {id_: placed for id_, placed in new.items() if id_ not in taken}
            first = {event.order_id: event for event in reversed(missing)}
            calls = [_call(first[id_]) for id_ in new]
            outcomes |= taken
            outcomes |= zip(new, await once(tx, calls, partial(_record_all, tx, new)), strict=True)
            # The key may have a stored refusal from before the order was accepted. A stored response is never changed.
            # But the customer has been promised this order since then, so the order is recorded.
            refused = [id_ for id_ in new if _is_refusal(outcomes[id_])]
            await record(tx, [new[id_] for id_ in refused])
            if new:
                await self._wake(tx, new.keys())
            if await tx.shop.emptied_at() != emptied_at:
                raise Aborted("the shop was emptied meanwhile")
        told = {id_: None if id_ in refused else _told(outcome) for id_, outcome in outcomes.items()}
        return [told.get(event.order_id) or _difference(event, orders.get(event.order_id)) for event in asked]


async def _record_all(tx: Transaction, new: Mapping[OrderId, Placed], ids: Iterable[OrderId]) -> list[Order]:
    placed = [new[id_] for id_ in ids]
    await record(tx, placed)
    return [each.order for each in placed]


async def _earlier(
    tx: Transaction, events: Sequence[OrderAccepted], products: Mapping[ProductId, Product]
) -> set[tuple[ProductId, Money]]:
    """Return the earlier prices of those products that now have another one than an order was accepted at."""
    changed = {
        line.product_id
        for event in events
        for line in event.lines
        if line.product_id in products and products[line.product_id].price != line.unit_price
    }
    return {(each.product_id, each.price) for each in await tx.earlier_prices.of_products(changed)}


def _placed(
    event: OrderAccepted, products: Mapping[ProductId, Product], earlier: Collection[tuple[ProductId, Money]]
) -> Placed:
    """Return the order at the prices that its customer was shown. Raise a `DomainError`.

    The message may be forged. So the products must have these prices, or have had them before: what was accepted stays
    accepted after a change of a price, or when the product is not for sale any more.
    """
    for line in event.lines:
        if line.product_id not in products:
            raise UnknownProduct(f"there is no product {line.product_id}")
        if line.unit_price != products[line.product_id].price and (line.product_id, line.unit_price) not in earlier:
            raise InvalidOrder(f"order {event.order_id} was accepted at prices that its products never had")
    placed = place(numbered_in(event), event.lines)
    if placed.order.total != event.total:
        raise InvalidOrder(f"order {event.order_id} was accepted at another total than that of its lines")
    return placed


def _call(event: OrderAccepted) -> OrderId | Keyed[OrderId]:
    under = event.asked_under
    if under is None:
        return event.order_id
    return Keyed(event.order_id, IdempotencyKey(under.scope, under.key), under.fingerprint)


def _is_refusal(outcome: Outcome) -> bool:
    return isinstance(outcome, KeyReused) or (isinstance(outcome, Replayed) and isinstance(outcome.answer, DomainError))


def _told(outcome: Outcome) -> DomainError | KeyInFlight | None:
    return outcome if isinstance(outcome, DomainError | KeyInFlight) else None


def _difference(event: OrderAccepted, order: Order | None) -> KeyReused | None:
    if order is None or is_made_of(numbered_in(event).wanted, order) is not False:
        return None
    return KeyReused(f"another order is in the database under the id {event.order_id}")
