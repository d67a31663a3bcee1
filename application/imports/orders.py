from collections.abc import Sequence

from attrs import frozen

from application.access.principal import Principal
from application.imports.run_import import Done
from application.intake.order_request import NumberedRequest, OrderRequest, units
from application.intake.place_order import KeyUndecided, PlaceOrder
from application.ports.environment import Clock, NewId
from application.ports.persistence import Transaction
from domain.errors import DomainError, ExternalIdTaken
from domain.ids import CustomerId, OrderId
from domain.orders.order import Order


@frozen
class OrderRow:
    """An order that a customer of another system has placed and not paid for, known by its external id."""

    external_id: str
    wanted: OrderRequest

    @property
    def name(self) -> tuple[CustomerId, str]:
        return self.wanted.user_id, self.external_id

    @property
    def names(self) -> Sequence[tuple[str, object]]:
        return [("external_id", self.name)]


@frozen
class ApplyOrders:
    """Place the orders that are not there, as over HTTP: at the prices of the shop, and without asking for payment."""

    _place: PlaceOrder
    _new_id: NewId
    _now: Clock

    async def __call__(self, tx: Transaction, by: Principal, rows: Sequence[OrderRow]) -> Sequence[Done | DomainError]:  # noqa: ARG002 - as the others take it
        ids = await tx.orders.with_external_ids({row.name for row in rows})
        there = await tx.orders.get_many(set(ids.values()))
        new = {
            at: NumberedRequest(OrderId(self._new_id()), self._now(), row.wanted)
            for at, row in enumerate(rows)
            if row.name not in ids
        }
        placed = dict(zip(new, await self._place.place_all(tx, {}, list(new.values())), strict=True))
        return [_done(placed[at]) if at in placed else _again(row, there[ids[row.name]]) for at, row in enumerate(rows)]


def _done(outcome: Order | DomainError | KeyUndecided) -> Done | DomainError:
    if isinstance(outcome, KeyUndecided):
        # Never: no row has a key.
        raise outcome
    return Done("added", str(outcome.id)) if isinstance(outcome, Order) else outcome


def _again(row: OrderRow, order: Order) -> Done | ExternalIdTaken:
    # Whatever has become of it since, such as a payment or another address, is no reason to tell of it.
    if units(row.wanted.items) == units(order.lines):
        return Done("unchanged", str(order.id))
    return ExternalIdTaken(f"order {order.id} of this customer has the external id", field="external_id")
