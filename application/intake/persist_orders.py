from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from attrs import frozen

from application.execution.idempotency import Keyed, KeyInFlight, KeyReused, Outcome, Replayed, once
from application.intake.place_order import Placed, is_made_of, numbered_in, price_order, record, taken_external_ids
from application.ports.environment import Clock
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product
from domain.errors import DomainError, InvalidOrder
from domain.ids import OrderId, ProductId
from domain.orders.events import OrderAccepted
from domain.orders.order import Order


@frozen
class PersistOrders:
    """Write accepted orders into the database, as if they had been placed there. Recorded orders are skipped.

    An accepted order is never refused because of a later change: no product is ever removed, and no price changes. If a
    client sends two different orders under one id, the mistake may not be visible when the second is accepted. The
    second is dead-lettered for a person to decide. So is an order at other prices, which no API can have accepted.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, events: Sequence[OrderAccepted]) -> Sequence[DomainError | KeyInFlight | None]:
        outcomes: dict[OrderId, Outcome] = {}
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many({event.order_id for event in events})
            missing = [event for event in events if event.order_id not in orders]
            products = await tx.products.get_many({line.product_id for event in missing for line in event.lines})
            new: dict[OrderId, Placed] = {}
            for event in events:
                if event.order_id not in orders and event.order_id not in outcomes:
                    try:
                        new[event.order_id] = _placed(event, products)
                    except DomainError as error:
                        outcomes[event.order_id] = error
                    else:
                        orders[event.order_id] = new[event.order_id].order
            taken = await taken_external_ids(tx, list(new.values()))
            new = {id_: placed for id_, placed in new.items() if id_ not in taken}
            first = {event.order_id: event for event in reversed(missing)}
            calls = [_call(first[id_]) for id_ in new]
            outcomes |= taken
            outcomes |= zip(new, await once(tx, calls, partial(_record_all, tx, new), now=self._now), strict=True)
            # The key may have a stored refusal from before the order was accepted. A stored response is never changed.
            # But the customer has been promised this order since then, so the order is recorded.
            refused = [id_ for id_ in new if _is_refusal(outcomes[id_])]
            await record(tx, [new[id_] for id_ in refused])
        told = {id_: None if id_ in refused else _told(outcome) for id_, outcome in outcomes.items()}
        return [told.get(event.order_id) or _difference(event, orders.get(event.order_id)) for event in events]


async def _record_all(tx: Transaction, new: Mapping[OrderId, Placed], ids: Iterable[OrderId]) -> list[Order]:
    placed = [new[id_] for id_ in ids]
    await record(tx, placed)
    return [each.order for each in placed]


def _placed(event: OrderAccepted, products: Mapping[ProductId, Product]) -> Placed:
    """Price the order from the database, as if it was placed there, and compare: the message may be forged."""
    placed = price_order(numbered_in(event), products)
    if (placed.order.lines, placed.order.total) != (event.lines, event.total):
        raise InvalidOrder(f"order {event.order_id} was accepted at prices that its products do not have")
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
