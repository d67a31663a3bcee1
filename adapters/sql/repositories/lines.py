"""The lines of orders, which are written in a batch of their own and read with their orders."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.core.bulk import Written, bulk_insert
from adapters.sql.core.expressions import JsonRows
from adapters.sql.tables.orders import order_items
from domain.ids import OrderId, ProductId
from domain.money import Money
from domain.orders.line import OrderLine
from domain.orders.order import Order

# The order, the place of the line in it, and the line.
_NumberedLine = tuple[OrderId, int, OrderLine]

# What is written into each column.
_WRITTEN: Final[Written[_NumberedLine]] = {
    "order_id": itemgetter(0),
    "position": itemgetter(1),
    "product_id": lambda numbered: numbered[2].product_id,
    "quantity": lambda numbered: numbered[2].quantity,
    "unit_price": lambda numbered: numbered[2].unit_price.minor,
}


class _Row(NamedTuple):
    """What is read of each line, by the names of the columns. The order is that of its positions."""

    position: int
    product_id: ProductId
    quantity: int
    unit_price: int


def _line(row: _Row, currency: str) -> OrderLine:
    return OrderLine(product_id=row.product_id, quantity=row.quantity, unit_price=Money(row.unit_price, currency))


INSERT_LINES: Final = bulk_insert(order_items, _WRITTEN)
_ROWS: Final = msgspec.json.Decoder(list[_Row])


def numbered_lines(orders: Sequence[Order]) -> list[_NumberedLine]:
    return [(order.id, position, line) for order in orders for position, line in enumerate(order.lines)]


def lines_of(order_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """The lines of an order as JSON, for `lines_in`."""
    rows = JsonRows(*(order_items.c[name] for name in _Row._fields))
    return select(rows).where(order_items.c.order_id == order_id).correlate(order_id.table).scalar_subquery()


def lines_in(rows: str | None, currency: str) -> tuple[OrderLine, ...]:
    return tuple(_line(row, currency) for row in sorted(_ROWS.decode(rows or "[]")))
