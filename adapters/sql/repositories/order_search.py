"""Statements that search for orders.

A search walks along the index of its leading condition, for a stretch of orders at most, and picks out those that meet
the other conditions. So no search reads through the table, and each page has a bound.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, Select, and_, bindparam, literal_column, select, tuple_
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import ScalarSelect, Subquery

from adapters.sql.core.expressions import among
from adapters.sql.core.types import UtcDateTime
from adapters.sql.repositories.customers import name_of, number_of
from adapters.sql.repositories.lines import lines_of
from adapters.sql.tables.orders import MAILED, NAMED, NOT_DELETED, order_items, orders
from application.ports.order_search import OrderFilter

# Where an order stands in time. An id need not rise with time; it only decides between orders of one moment.
PLACE: Final = (orders.c.created_at, orders.c.id)


def place_of(parameter: str, place: Sequence[Column[Any]]) -> ScalarSelect[Any]:
    """Looked up by the database, so that a page needs no more than an id to go on from: no row is ever removed."""
    start = orders.alias("start")
    columns = [start.c[column.name] for column in place]
    return select(*columns).where(start.c.id == bindparam(parameter)).scalar_subquery()


def parameters_of(wanted: OrderFilter) -> dict[str, Any]:
    """The parameters of a search. Their names say which conditions there are."""
    given = {
        "order_id": wanted.order_id,
        "external_id": wanted.external_id,
        "email": wanted.email,
        **({} if wanted.user_id is None else {"number": number_of(wanted.user_id), "name": name_of(wanted.user_id)}),
        "statuses": [status.value for status in sorted(wanted.statuses)] or None,
        "product_ids": sorted(wanted.product_ids) or None,
        "placed_after": wanted.placed_after,
        "placed_before": wanted.placed_before,
        "total_min": wanted.total_min,
        "total_max": wanted.total_max,
    }
    return {name: value for name, value in given.items() if value is not None}


@cache
def end_of_stretch(leading: str | None, names: frozenset[str], stretch: int) -> Select[Any]:
    """The last order that this page looks at, or nothing if it is to look at all that there are."""
    return (
        _walked(select(orders.c.id), leading, names).offset(literal_column(str(stretch - 1))).limit(literal_column("1"))
    )


@cache
def search(leading: str | None, names: frozenset[str], columns: tuple[str, ...], stretch: int) -> Select[Any]:
    looked_at = _looked_at(columns, leading, names, stretch)
    chosen = _conditions(looked_at.c, names)
    # To choose among what is in order leaves it in order. To sort it again would read the whole stretch for each page.
    return select(*looked_at.c, lines_of(looked_at.c.id).label("lines")).where(*chosen).limit(bindparam("limit"))


@cache
def search_ids(leading: str | None, names: frozenset[str], stretch: int) -> Select[Any]:
    # What the conditions are about, so that the database need not read more of an order.
    columns = ("id", "external_id", "email", "user_id", "user_name", "status", "total")
    looked_at = _looked_at(columns, leading, names, stretch)
    return select(looked_at.c.id).where(*_conditions(looked_at.c, names)).limit(bindparam("limit"))


def _looked_at(columns: Sequence[str], leading: str | None, names: frozenset[str], stretch: int) -> Subquery:
    # What is placed between the two statements stands before the end. There is room for as much again.
    walked = _walked(select(*(orders.c[name] for name in columns)), leading, names)
    return walked.limit(literal_column(str(2 * stretch))).subquery("looked_at")


def _walked(what: Select[Any], leading: str | None, names: frozenset[str]) -> Select[Any]:
    """Select along the index of the leading condition, newest first."""
    conditions: list[Any] = [NAMED if leading == "external_id" else MAILED if leading == "email" else NOT_DELETED]
    match leading:
        case "order_id":
            conditions.append(orders.c.id == bindparam("order_id"))
        case "external_id":
            conditions.append(orders.c.external_id == bindparam("external_id"))
        case "email":
            conditions.append(orders.c.email == bindparam("email"))
        case "user_id":
            conditions.append(_is_of(orders.c, by_name="name" in names))
        case "statuses":
            conditions.append(orders.c.status == bindparam("status"))
    if "placed_after" in names:
        conditions.append(orders.c.created_at >= bindparam("placed_after", type_=UtcDateTime()))
    if "placed_before" in names:
        conditions.append(orders.c.created_at < bindparam("placed_before", type_=UtcDateTime()))
    if "before" in names:
        conditions.append(tuple_(*PLACE) < place_of("before", PLACE))
    if "end" in names:
        conditions.append(tuple_(*PLACE) >= place_of("end", PLACE))
    return what.where(*conditions).order_by(*(column.desc() for column in PLACE))


def _conditions(row: Any, names: frozenset[str]) -> list[ColumnElement[bool]]:
    """The conditions that choose among the orders that are looked at. The leading one holds for all of them."""
    # Looked up order by order: PostgreSQL would join EXISTS with the whole table of items.
    item: Select[Any] = select(literal_column("1")).where(
        order_items.c.order_id == row.id, among(order_items.c.product_id, "product_ids")
    )
    known: dict[str, ColumnElement[bool]] = {
        "external_id": row.external_id == bindparam("external_id"),
        "email": row.email == bindparam("email"),
        "number": _is_of(row, by_name="name" in names),
        "statuses": among(row.status, "statuses"),
        "product_ids": item.limit(literal_column("1")).scalar_subquery().is_not(None),
        "total_min": row.total >= bindparam("total_min"),
        "total_max": row.total <= bindparam("total_max"),
    }
    return [condition for name, condition in known.items() if name in names]


def _is_of(row: Any, *, by_name: bool) -> ColumnElement[bool]:
    number = row.user_id == bindparam("number")
    return and_(number, row.user_name == bindparam("name") if by_name else row.user_name.is_(None))
